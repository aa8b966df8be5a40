// Command random prints what should differ between any two runs, one a line. The test compares two boots, and asks for
// much to see that the bytes are spread evenly.
package main

import (
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"io"
	mathrand "math/rand/v2"
	"os"
)

func main() {
	var b [32]byte
	rand.Read(b[:])
	fmt.Printf("crypto/rand %x\n", b)
	fmt.Println("math/rand", mathrand.Uint64(), mathrand.Uint64())
	fmt.Println("maphash", maphash.String(maphash.MakeSeed(), "x"))
	f, err := os.Open("/dev/urandom")
	if err != nil {
		panic(err)
	}
	io.ReadFull(f, b[:])
	fmt.Printf("/dev/urandom %x\n", b)

	var counts [256]int
	much := make([]byte, 4<<20)
	rand.Read(much)
	for _, c := range much {
		counts[c]++
	}
	mean := float64(len(much)) / 256
	chi2 := 0.0
	for _, c := range counts {
		chi2 += (float64(c) - mean) * (float64(c) - mean) / mean
	}
	// 255 degrees of freedom: mean 255, standard deviation 22.6; 8 deviations are not chance.
	fmt.Fprintln(os.Stderr, "even:", chi2 > 255-8*22.6 && chi2 < 255+8*22.6)
}
