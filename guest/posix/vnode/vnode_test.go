package vnode

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestValues: what goes through from system calls has the values of Linux's headers.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"RenameReplace", int(RenameReplace), 0},
		{"RenameNoReplace", int(RenameNoReplace), unix.RENAME_NOREPLACE},
		{"RenameExchange", int(RenameExchange), unix.RENAME_EXCHANGE},
		{"PathMax", PathMax, unix.PathMax},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, Linux has %d", c.name, c.got, c.want)
		}
	}
}

// TestType: the type bits of a mode are what stat(2) says.
func TestType(t *testing.T) {
	for _, c := range []struct{ mode, want uint32 }{
		{unix.S_IFREG | 0o4755, unix.S_IFREG}, {unix.S_IFDIR | 0o1777, unix.S_IFDIR}, {unix.S_IFLNK | 0o777, unix.S_IFLNK},
		{unix.S_IFIFO | 0o600, unix.S_IFIFO}, {unix.S_IFCHR, unix.S_IFCHR}, {unix.S_IFBLK, unix.S_IFBLK}, {unix.S_IFSOCK, unix.S_IFSOCK},
		{0o644, 0},
	} {
		if got := (Attr{Mode: c.mode}).Type(); got != c.want {
			t.Errorf("type of %#o: %#o, want %#o", c.mode, got, c.want)
		}
	}
}
