package cli

import (
	"strings"
	"testing"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want uint64
	}{
		{"64M", 64 << 20}, {"64Mi", 64 << 20}, {"64MiB", 64 << 20}, {"64mb", 64 << 20}, {"1G", 1 << 30}, {"512k", 512 << 10},
		{"2T", 2 << 40}, {"4096", 4096}, {"4096b", 4096}, {"0", 0},
	} {
		if got, err := ParseSize(c.in); got != c.want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "M", "64X", "6.4M", "-1M", "64 M", "64MM", "64i", "64ib", "64iM", "99999999999999999999", "20000000T"} {
		if n, err := ParseSize(in); err == nil || !strings.Contains(err.Error(), "size") {
			t.Errorf("ParseSize(%q) = %d, %v", in, n, err)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 100: "100", 64 << 20: "64M", 1 << 30: "1G", 1536 << 20: "1536M", 5000: "5K", 100<<20 + 1: "101M", 3 << 40: "3T",
	} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %s, want %s", n, got, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("64M")
	f.Add("1TiB")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		again, err := ParseSize(FormatSize(n))
		if err != nil || again < n {
			t.Errorf("%q is %d, written as %s, read as %d, %v", s, n, FormatSize(n), again, err)
		}
	})
}
