package posix

import (
	"strconv"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// OpenShare opens the directory that the device of an index shares. Package sharedev sets it, where it is linked, before the tree is
// first looked at.
var OpenShare func(index int, d *hypercall.Device, device uint64) (vnode.FileSystem, syscall.Errno)

// shareKind is what /proc/mounts calls a shared directory.
const shareKind = "fuse.ukvm"

// mountShares puts the shared directories where they belong. It panics if that is not possible: the program would write its data
// to memory instead.
func (t *tree) mountShares(b *hypercall.Boot) {
	for i := range int(b.Devices) {
		d := &b.Device[i]
		if d.Kind != hypercall.DeviceShare {
			continue
		}
		path := cString(d.Share.Path[:])
		if OpenShare == nil {
			panic("ukvm: " + path + " cannot be shared: this image has no driver for shared directories")
		}
		if _, ok := t.makeDirs(path).(vnode.Dir); !ok {
			panic("ukvm: there is no directory " + path + " for a directory of the host's, and it cannot be made")
		}
		fs, errno := OpenShare(i, d, deviceShares+uint64(i))
		if errno == 0 {
			errno = t.mount(path, shareKind, fs)
		}
		if errno != 0 {
			panic("ukvm: share " + path + " (device " + strconv.Itoa(i) + "): " + errno.Error())
		}
	}
}
