// Package netns runs functions in other network namespaces.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// named is where iproute2 keeps namespaces by name.
const named = "/run/netns"

// A Place is a network namespace: a name (as in `ip netns`), a path if it contains a slash, or empty for that of the process.
// File, if not nil, is used instead.
type Place struct {
	Name string
	File interface{ Fd() uintptr }
}

// Do runs f on a thread in the namespace, and returns its error. Everything f opens belongs to that namespace; f must not
// start goroutines that expect to be there too.
func (p Place) Do(f func() error) error {
	if p.File != nil {
		return onThreadIn(int(p.File.Fd()), f)
	}
	if p.Name == "" {
		return f()
	}
	path := p.Name
	if !strings.Contains(path, "/") {
		path = filepath.Join(named, path)
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("network namespace %s does not exist: make it with `ip netns add` or give the path of one", p.Name)
	}
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer file.Close()
	return onThreadIn(int(file.Fd()), f)
}

// onThreadIn runs f on a thread of its own in the namespace of fd. Only if the thread is back where it came from may
// the scheduler have it again; otherwise it ends together with its goroutine.
func onThreadIn(fd int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("BUG: the function did not return")
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, e := os.Open("/proc/thread-self/ns/net")
		if e != nil {
			runtime.UnlockOSThread()
			err = fmt.Errorf("open the thread's network namespace: %w", e)
			return
		}
		defer home.Close()
		if e := unix.Setns(fd, unix.CLONE_NEWNET); e != nil {
			runtime.UnlockOSThread()
			err = enterError(e)
			return
		}
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = f()
	}()
	return <-done
}

func enterError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("enter network namespace: needs CAP_SYS_ADMIN, here and there: run as root: %w", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("enter network namespace: the file is none: %w", err)
	}
	return fmt.Errorf("enter network namespace: %w", err)
}
