package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// deliver copies an image from the cache to output, below dir if it is relative, and returns its path there. If output is
// a directory, or ends in a slash, the image keeps its name. It appears whole or not at all.
func deliver(image, output, dir string) (string, error) {
	path := output
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() || strings.HasSuffix(output, "/") {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return "", fmt.Errorf("write image: %w", err)
		}
		path = filepath.Join(path, filepath.Base(image))
		info, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", fmt.Errorf("write image: %w", err)
	case !info.Mode().IsRegular():
		return path, nil // /dev/null: only the build was wanted
	case info.Size() > 0 && !isELF(path):
		return "", fmt.Errorf("write image: %s exists and is no executable", path)
	}
	return path, replaceFile(path, image)
}

// replaceFile copies from to path by way of a temporary file beside it.
func replaceFile(path, from string) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".ukvm-")
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	defer os.RemoveAll(dir)
	temporary := filepath.Join(dir, filepath.Base(path))
	err = copyFile(temporary, from, info.Mode().Perm())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

// isELF reports whether a file begins like an executable.
func isELF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	_, err = io.ReadFull(f, magic[:])
	return err == nil && bytes.Equal(magic[:], []byte("\x7fELF"))
}
