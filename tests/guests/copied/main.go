// Command copied prints a directory tree with the checksums of its files. The test compares it with what --copy was
// given.
package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	err := filepath.WalkDir(os.Args[1], func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Printf("%s %v %x\n", path, info.Mode(), sha256.Sum256(b))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			fmt.Println(path, "->", to, err)
		default:
			fmt.Println(path, info.Mode())
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if err := os.WriteFile(filepath.Join(os.Args[1], "new"), []byte("writable"), 0o600); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
