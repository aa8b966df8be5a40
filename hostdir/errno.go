package hostdir

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nameMax is the longest name, in bytes (NAME_MAX of limits.h).
const nameMax = 255

// errno is the error of a system call. That this process has no descriptor left is, for those it works for, that the
// system has none.
func errno(err error) syscall.Errno {
	switch e, ok := err.(syscall.Errno); {
	case err == nil:
		return 0
	case !ok:
		return syscall.EIO
	case e == syscall.EMFILE:
		return syscall.ENFILE
	default:
		return e
	}
}

// retry makes a system call until no signal interrupts it; Go sends itself some.
func retry(call func() (int, error)) (int, syscall.Errno) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, errno(err)
		}
	}
}

// openat opens one thing. No terminal becomes this process's, and no program that it starts gets the descriptor.
func openat(dir int, name string, flags int, mode uint32) (int, syscall.Errno) {
	return retry(func() (int, error) {
		return unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
	})
}

// procName is the name of a descriptor in /proc/self/fd.
func procName(fd int) string { return strconv.Itoa(fd) }

// checkName sees that a name is one component of a path that leads down.
func checkName(name string) syscall.Errno {
	switch {
	case len(name) > nameMax:
		return syscall.ENAMETOOLONG
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	}
	return 0
}
