package tap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namedNetNS is where iproute2 keeps namespaces by name.
const namedNetNS = "/run/netns"

// inNetNS runs f on a thread in the namespace that c asks for, and returns its error. Everything f opens belongs to that
// namespace; f must not start goroutines that expect to be there too.
func (c *Config) inNetNS(f func() error) error {
	if c.NetNSFile != nil {
		return onThreadIn(int(c.NetNSFile.Fd()), f)
	}
	if c.NetNS == "" {
		return f()
	}
	path := c.NetNS
	if !strings.Contains(path, "/") {
		path = filepath.Join(namedNetNS, path)
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("network namespace %s does not exist: make it with `ip netns add` or give the path of one", c.NetNS)
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
