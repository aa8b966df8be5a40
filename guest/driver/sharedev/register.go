package sharedev

import (
	"syscall"
	"time"

	"ukvm.dev/guest/fs/hostfs"
	"ukvm.dev/guest/posix"
	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// In a guest the driver serves the directories that the host shares. Package os imports it: it is initialised before anything opens
// a file.
func init() { posix.OpenShare = mount }

// mount is posix.OpenShare.
func mount(index int, d *hypercall.Device, device uint64) (vnode.FileSystem, syscall.Errno) {
	caller, errno := Open(index)
	if errno != 0 {
		return nil, errno
	}
	return hostfs.New(caller, hostfs.Config{
		Device: device, ReadOnly: d.Share.Flags&hypercall.ShareReadOnly != 0,
		Valid: time.Duration(d.Share.Valid) * time.Millisecond,
	})
}
