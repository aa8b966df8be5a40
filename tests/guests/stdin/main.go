// Command stdin reads standard input to its end and prints how many bytes came and their SHA-256. The test expects what
// it wrote, whatever the volume and the pace, and the end of /dev/null and of -i=false at once.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

func main() {
	h := sha256.New()
	n, err := io.Copy(h, os.Stdin)
	fmt.Printf("%d %x %v\n", n, h.Sum(nil), err)
}
