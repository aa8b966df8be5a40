package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// copyWorkers is how many files are copied, or checked, at a time.
const copyWorkers = 2

// A copier copies a source tree.
type copier struct {
	from, to string
	like     string          // a tree that may hold the same files already, to link them; or ""
	skip     map[string]bool // paths below from that are not copied

	mu    sync.Mutex
	files []copiedFile
}

// A copiedFile is a file of the copy: its path below the top, and its size in bytes.
type copiedFile struct {
	path string
	size int64
}

// copy makes the copy: directories, and files with their times. Symbolic links are followed to files and kept, as absolute
// ones, to directories.
func (c *copier) copy(ctx context.Context) error {
	var work []string
	err := filepath.WalkDir(c.from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(c.from, path)
		if err != nil {
			return err
		}
		switch {
		case c.skip[rel]:
			if d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			return os.MkdirAll(filepath.Join(c.to, rel), 0o777)
		default:
			work = append(work, rel)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return inParallel(ctx, len(work), func(i int) error { return c.file(work[i]) })
}

// file copies one file.
func (c *copier) file(rel string) error {
	from, to := filepath.Join(c.from, rel), filepath.Join(c.to, rel)
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		target, err := filepath.EvalSymlinks(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	if !c.link(rel, info) {
		if err := copyFile(to, from, info.Mode().Perm()|0o600); err != nil {
			return err
		}
		if err := os.Chtimes(to, info.ModTime(), info.ModTime()); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = append(c.files, copiedFile{rel, info.Size()})
	return nil
}

// link makes the copy a hard link to one in another tree, if that looks like an unharmed copy of the same file.
func (c *copier) link(rel string, info fs.FileInfo) bool {
	if c.like == "" {
		return false
	}
	path := filepath.Join(c.like, rel)
	other, err := os.Lstat(path)
	return err == nil && other.Mode().IsRegular() && other.Size() == info.Size() && other.ModTime().Equal(info.ModTime()) &&
		os.Link(path, filepath.Join(c.to, rel)) == nil
}

// copyFile copies a file to one that does not exist, by a reflink or in the kernel where the file system can
// (os.File.ReadFrom).
func copyFile(to, from string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = dst.ReadFrom(src)
	return errors.Join(err, dst.Close())
}

// inParallel calls f(0) to f(n-1), a few at a time, until one fails or ctx is done.
func inParallel(ctx context.Context, n int, f func(int) error) error {
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		errs [copyWorkers]error
	)
	for w := range errs {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[w] = context.Cause(ctx); errs[w] == nil {
					errs[w] = f(i)
				}
			}
			next.Store(int64(n)) // the others stop too
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// writeFiles writes texts below dir, making directories. Paths are below dir.
func writeFiles(dir string, files map[string]string) error {
	for rel, text := range files {
		path := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			return fmt.Errorf("write derived file: %w", err)
		}
	}
	return nil
}
