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

// Names in the directory of derived GOROOTs.
const (
	lockSuffix    = ".lock"
	temporaryMark = ".tmp-" // begins what is not in use yet or any more
)

// How long things stay in the cache without being used.
const (
	keepRoots = 30 * 24 * time.Hour // derived GOROOTs
	keepImage = 30 * 24 * time.Hour // images of `ukvm run`
	keepWork  = 24 * time.Hour      // work directories of builds that were killed
)

// A fileLock is a lock on a file, among processes and within one. It ends when its process ends.
type fileLock struct{ f *os.File }

// lockFile takes the lock, waiting for it if need be; how is syscall.LOCK_SH or LOCK_EX. waiting, if not nil, is called
// once when there is something to wait for.
func lockFile(ctx context.Context, path string, how int, waiting func()) (*fileLock, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		l, err := tryLock(path, how)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// tryLock takes the lock or returns an error that is syscall.EWOULDBLOCK.
func tryLock(path string, how int) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// The file may have been removed (prune) between the open and the lock: then this lock locks nothing.
	mine, err1 := f.Stat()
	there, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, syscall.EWOULDBLOCK)
	}
	return &fileLock{f}, nil
}

// unlock gives the lock back. It may be called on a nil lock, and more than once.
func (l *fileLock) unlock() {
	if l != nil {
		l.f.Close()
	}
}

// touch marks a file or directory as used now.
func touch(path string) {
	now := time.Now()
	os.Chtimes(path, now, now) // a failure only means that it is made anew some day
}

// prune removes what has not been used for long, and what was left half made. Nothing depends on it, so it reports no
// errors.
func prune(cache string, now time.Time) {
	roots := filepath.Join(cache, "goroot")
	for _, e := range list(roots) {
		if e.IsDir() {
			pruneRoot(roots, e.Name(), now.Add(-keepRoots))
		}
	}
	removeOld(filepath.Join(cache, "image"), now.Add(-keepImage))
	removeOld(filepath.Join(cache, "tmp"), now.Add(-keepWork))
}

// pruneRoot removes one entry of the directory of derived GOROOTs unless it was used after limit or is locked. One without
// a manifest is half made or half removed.
func pruneRoot(roots, entry string, limit time.Time) {
	old := func() bool { return modified(filepath.Join(roots, entry, manifestName)).Before(limit) }
	name, _, temporary := strings.Cut(entry, temporaryMark)
	if !temporary && !old() {
		return
	}
	path := filepath.Join(roots, name+lockSuffix)
	lock, err := tryLock(path, syscall.LOCK_EX)
	if err != nil {
		return // in use
	}
	defer lock.unlock()
	if temporary {
		os.RemoveAll(filepath.Join(roots, entry))
	} else if old() {
		removeTree(filepath.Join(roots, entry))
		os.Remove(path)
	}
}

// removeOld removes the entries of a directory that were last touched before limit.
func removeOld(dir string, limit time.Time) {
	for _, e := range list(dir) {
		path := filepath.Join(dir, e.Name())
		if modified(path).Before(limit) {
			removeTree(path)
		}
	}
}

// removeTree removes a directory. It goes away under its own name first, so that no one finds half of it.
func removeTree(dir string) error {
	gone := dir + temporaryMark + "gone"
	if err := os.Rename(dir, gone); err == nil {
		dir = gone
	}
	return os.RemoveAll(dir)
}

// list returns the entries of a directory, none if it cannot be read.
func list(dir string) []fs.DirEntry {
	entries, _ := os.ReadDir(dir)
	return entries
}

// modified returns when a file was last modified or touched, the zero time if it does not exist.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
