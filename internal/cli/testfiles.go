package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/archive"
)

const (
	maxTestFiles = 20_000  // files of a package's directory
	maxFileAbove = 1 << 20 // bytes of a file in a directory above: sources and settings, but no programs
)

// TestFiles adds the files that the tests of the package in dir, an absolute path, can expect to find where they are on
// the host: the directory with everything in it, and of the directories above, up to the module's root, their files,
// unless those are large, and testdata. If the directory is larger than limit bytes, its subdirectories are left out but
// for testdata.
func TestFiles(b *archive.Builder, dir string, limit int64) error {
	filter := wanted
	if n, err := treeSize(dir, limit); err != nil {
		return err
	} else if n > limit {
		filter = func(host string, d fs.DirEntry) bool {
			return !d.IsDir() || d.Name() == "testdata" || filepath.Dir(host) != dir && wanted(host, d)
		}
	}
	if err := b.Add(dir, dir, filter); err != nil {
		return err
	}
	if b.Size() > limit {
		return fmt.Errorf("%s of files in %s are too much for the guest's memory: give it more with -m",
			FormatSize(uint64(b.Size())), dir)
	}
	for _, above := range aboveInModule(dir) {
		entries, err := os.ReadDir(above)
		if err != nil {
			continue // a directory can be passed through and not readable
		}
		for _, d := range entries {
			path, most := filepath.Join(above, d.Name()), int64(maxFileAbove)
			if d.IsDir() {
				most = limit
			}
			if d.IsDir() != (d.Name() == "testdata") || !d.IsDir() && !d.Type().IsRegular() || !wanted(path, d) {
				continue
			}
			n, err := treeSize(path, most)
			if errors.Is(err, fs.ErrNotExist) || err == nil && (n > most || b.Size()+n > limit) {
				continue
			}
			if err == nil {
				err = b.Add(path, path, wanted)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// aboveInModule returns the directories above dir up to that of its go.mod, none if it has no go.mod.
func aboveInModule(dir string) []string {
	var above []string
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return above
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
		above = append(above, dir)
	}
}

// wanted leaves out what no test reads, or can read.
func wanted(host string, d fs.DirEntry) bool {
	switch d.Name() {
	case ".git", ".hg", ".svn", "node_modules":
		return !d.IsDir()
	}
	return d.Type() == fs.ModeSymlink || unix.Access(host, unix.R_OK) == nil
}

// treeSize adds up the sizes of a file, or of a directory's files. It stops counting soon after limit, or if there are very
// many.
func treeSize(root string, limit int64) (size int64, err error) {
	files := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !wanted(path, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			size += info.Size()
		}
		if files++; files > maxTestFiles {
			size = limit + 1
		}
		if size > limit {
			return fs.SkipAll
		}
		return nil
	})
	return size, err
}
