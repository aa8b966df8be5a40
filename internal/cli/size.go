package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a size in bytes as -m takes it: a number and K, M, G or T, which are powers of 1024 however they are
// written (M, MB, Mi, MiB, m).
func ParseSize(s string) (uint64, error) {
	digits := strings.TrimRight(s, "kKmMgGtTiIbB")
	n, err := strconv.ParseUint(digits, 10, 64)
	shift := 0
	switch strings.ToLower(s[len(digits):]) {
	case "", "b":
	case "k", "kb", "ki", "kib":
		shift = 10
	case "m", "mb", "mi", "mib":
		shift = 20
	case "g", "gb", "gi", "gib":
		shift = 30
	case "t", "tb", "ti", "tib":
		shift = 40
	default:
		err = strconv.ErrSyntax
	}
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, fmt.Errorf("%q is not a size: write a number and K, M or G, for example 64M", s)
	}
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return n << shift, nil
}

// FormatSize writes a size as ParseSize reads it, exactly if it is a whole number of some unit, else rounded up.
func FormatSize(n uint64) string {
	const units = "KMGT"
	for i := len(units); i > 0; i-- {
		if unit := uint64(1) << (10 * i); n >= unit && n%unit == 0 {
			return fmt.Sprintf("%d%c", n/unit, units[i-1])
		}
	}
	if n < 1<<10 {
		return strconv.FormatUint(n, 10)
	}
	i := 1
	for i < len(units) && n > 9999<<(10*i) {
		i++
	}
	return fmt.Sprintf("%d%c", (n+1<<(10*i)-1)>>(10*i), units[i-1])
}
