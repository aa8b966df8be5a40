package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// maxTries is how often a derived GOROOT is made in a row that others keep damaging.
const maxTries = 3

// A root is a derived GOROOT, locked against being removed or changed while it is used.
type root struct {
	dir  string
	made bool // just now: nothing has been compiled with it yet
	lock *fileLock
}

// release ends the use.
func (r *root) release() { r.lock.unlock() }

// openRoot returns the derived GOROOT for a plan, and makes or mends it if need be. Any number of processes may do so at
// once: one makes it, the others wait.
func (s *session) openRoot(ctx context.Context, p *plan) (*root, error) {
	roots := filepath.Join(s.cache, "goroot")
	if err := os.MkdirAll(roots, 0o777); err != nil {
		return nil, fmt.Errorf("make the cache: %w", err)
	}
	s.pruneDaily()
	waiting := func() { s.cfg.progress("waiting for another ukvm that prepares the standard library") }
	r := &root{dir: filepath.Join(roots, p.key)}
	for try := 0; ; try++ {
		lock, err := lockFile(ctx, r.dir+lockSuffix, syscall.LOCK_SH, waiting)
		if err != nil {
			return nil, err
		}
		err = p.check(ctx, r.dir)
		if err == nil {
			touch(filepath.Join(r.dir, manifestName))
			r.lock = lock
			return r, nil
		}
		lock.unlock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if try == maxTries {
			return nil, fmt.Errorf("prepare the standard library: %w", err)
		}
		if err := s.makeRoot(ctx, p, r, err); err != nil {
			return nil, fmt.Errorf("prepare the standard library: %w", err)
		}
	}
}

// makeRoot makes r anew under an exclusive lock, unless someone else has done so. reason is why it is not as it should be.
func (s *session) makeRoot(ctx context.Context, p *plan, r *root, reason error) error {
	waiting := func() { s.cfg.progress("waiting for another ukvm that uses a damaged standard library") }
	lock, err := lockFile(ctx, r.dir+lockSuffix, syscall.LOCK_EX, waiting)
	if err != nil {
		return err
	}
	defer lock.unlock()
	if p.check(ctx, r.dir) == nil {
		return nil
	}
	if errors.Is(reason, fs.ErrNotExist) && modified(r.dir).IsZero() {
		s.cfg.progress("preparing the standard library of %s for guests, once", p.origin)
	} else {
		s.cfg.progress("preparing the standard library for guests again: %v", reason)
	}
	leftovers, _ := filepath.Glob(r.dir + temporaryMark + "*")
	for _, dir := range leftovers {
		os.RemoveAll(dir)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(r.dir), filepath.Base(r.dir)+temporaryMark)
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	if err := p.derive(ctx, fresh, sibling(r.dir, p.base)); err != nil {
		return err
	}
	if err := removeTree(r.dir); err != nil {
		return err
	}
	if err := os.Rename(fresh, r.dir); err != nil {
		return err
	}
	r.made = true
	return nil
}

// sibling finds another derived GOROOT for the same toolchain: another version of ukvm left it. Most files are the same,
// so they can be linked.
func sibling(dir, base string) string {
	for _, e := range list(filepath.Dir(dir)) {
		path := filepath.Join(filepath.Dir(dir), e.Name())
		if e.IsDir() && path != dir && strings.HasPrefix(e.Name(), base) && !strings.Contains(e.Name(), temporaryMark) {
			return path
		}
	}
	return ""
}

// derive makes the derived GOROOT in dir, an empty directory. like is one for the same toolchain or "".
func (p *plan) derive(ctx context.Context, dir, like string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := p.checkStray(); err != nil {
		return err
	}
	from, err := filepath.EvalSymlinks(filepath.Join(p.origin, "src"))
	if err != nil {
		return err
	}
	c := copier{from: from, to: filepath.Join(dir, "src"), skip: map[string]bool{"cmd": true}}
	if like != "" {
		c.like = filepath.Join(like, "src")
	}
	for file := range p.files {
		c.skip[filepath.FromSlash(file)] = true
	}
	if err := c.copy(ctx); err != nil {
		return err
	}
	if err := writeFiles(c.to, p.files); err != nil {
		return err
	}
	for file, text := range p.files {
		c.files = append(c.files, copiedFile{file, int64(len(text))})
	}
	links := []string{"src/cmd"}
	entries, err := os.ReadDir(p.origin)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != "src" && e.Name() != manifestName {
			links = append(links, e.Name())
		}
	}
	for _, link := range links {
		if err := os.Symlink(filepath.Join(p.origin, link), filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	return newManifest(p.origin, links, c.files).write(dir)
}

// check checks a derived GOROOT: what differs from the origin byte by byte, everything else by its size. It takes some
// tens of milliseconds.
func (p *plan) check(ctx context.Context, dir string) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	for file, text := range p.files {
		b, err := os.ReadFile(filepath.Join(dir, "src", file))
		if err != nil {
			return err
		}
		if string(b) != text {
			return fmt.Errorf("%s: damaged", filepath.Join(dir, "src", file))
		}
	}
	return m.verify(ctx, dir)
}

// pruneDaily removes old things from the cache, once a day.
func (s *session) pruneDaily() {
	stamp := filepath.Join(s.cache, "pruned")
	if now := time.Now(); modified(stamp).Before(now.Add(-24 * time.Hour)) {
		if os.WriteFile(stamp, nil, 0o666) == nil {
			prune(s.cache, now)
		}
	}
}
