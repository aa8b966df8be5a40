// Command files works with files in memory: makes, reads, renames, links, truncates, removes and watches out for errors.
// The test expects what the same program prints as a Linux program.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	dir, err := os.MkdirTemp("", "files-")
	check(err)
	check(os.Chdir(dir))
	check(os.MkdirAll("a/b/c", 0o750))
	check(os.WriteFile("a/b/file", bytes.Repeat([]byte("0123456789"), 100_000), 0o640))
	f, err := os.OpenFile("a/b/file", os.O_RDWR|os.O_APPEND, 0)
	check(err)
	_, err = f.WriteString("end")
	check(err)
	b := make([]byte, 5)
	_, err = f.ReadAt(b, 999_998)
	check(err)
	fmt.Printf("%q\n", b)
	check(f.Truncate(2_000_000))
	at, err := f.Seek(-3, io.SeekEnd)
	check(err)
	fmt.Println("at", at)
	check(f.Close())
	fmt.Println("closed:", errors.Is(f.Close(), fs.ErrClosed))

	check(os.Symlink("b/file", "a/link"))
	check(os.Link("a/link", "a/hard"))
	check(os.Rename("a/b/file", "a/b/renamed"))
	_, err = os.Stat("a/link")
	fmt.Println("dangling:", errors.Is(err, fs.ErrNotExist))
	check(filepath.WalkDir("a", func(path string, d fs.DirEntry, err error) error {
		check(err)
		info, err := d.Info()
		check(err)
		size := info.Size()
		if d.IsDir() {
			size = 0
		}
		fmt.Println(path, info.Mode(), size)
		return nil
	}))
	fmt.Println("not empty:", errors.Is(os.Remove("a"), syscall.ENOTEMPTY))
	fmt.Println("exists:", errors.Is(os.Mkdir("a", 0o700), fs.ErrExist))
	_, err = os.ReadFile("a/b")
	fmt.Println("directory:", errors.Is(err, syscall.EISDIR))
	_, err = os.Open("a/b/renamed/x")
	fmt.Println("no directory:", errors.Is(err, syscall.ENOTDIR))

	// A file that is open lives on without its name.
	f, err = os.Open("a/b/renamed")
	check(err)
	check(os.Remove("a/b/renamed"))
	_, err = f.ReadAt(b, 7)
	check(err)
	fmt.Printf("%q\n", b)
	check(f.Close())

	root, err := os.OpenRoot("a")
	check(err)
	_, err = root.Open("../../etc/hosts")
	fmt.Println("escape:", err != nil)
	check(root.Close())

	r, w, err := os.Pipe()
	check(err)
	go func() {
		for range 1000 {
			w.Write(make([]byte, 1000))
		}
		w.Close()
	}()
	n, err := io.Copy(io.Discard, r)
	fmt.Println("through a pipe:", n, err)

	check(os.Chdir("/"))
	check(os.RemoveAll(dir))
	_, err = os.Stat(dir)
	fmt.Println("gone:", errors.Is(err, fs.ErrNotExist))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
