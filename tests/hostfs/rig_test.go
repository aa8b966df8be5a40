package hostfs

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ukvm.dev/devices/share"
	"ukvm.dev/guest/driver/sharedev"
	"ukvm.dev/guest/fs/hostfs"
	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hostdir"
	"ukvm.dev/hypercall"
)

// rig is a file system, and the host's directory that it shows.
type rig struct {
	*hostfs.FS
	path string
	dir  *hostdir.Dir
}

// addresses is guest memory: an address is one of this process's.
type addresses struct{}

func (addresses) Slices(dst [][]byte, va hypercall.GVA, n uint64, _ uint32) ([][]byte, error) {
	addr := uintptr(va)
	return append(dst, unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n)), nil
}

// mapper has files appear in the process's own memory.
type mapper map[hypercall.GVA]uint64

func (m mapper) Map(fd int, at int64, n uint64, write bool) (hypercall.GVA, syscall.Errno) {
	prot := uintptr(syscall.PROT_READ)
	if write {
		prot |= syscall.PROT_WRITE
	}
	va, _, errno := syscall.Syscall6(syscall.SYS_MMAP, 0, uintptr(n), prot, syscall.MAP_SHARED, uintptr(fd), uintptr(at))
	if errno != 0 {
		return 0, errno
	}
	syscall.Close(fd)
	m[hypercall.GVA(va)] = n
	return hypercall.GVA(va), 0
}

func (m mapper) Unmap(va hypercall.GVA) syscall.Errno {
	n, ok := m[va]
	if !ok {
		return syscall.EINVAL
	}
	delete(m, va)
	_, _, errno := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(va), uintptr(n), 0)
	return errno
}

// newRig shares a directory of the test's. It looks for descriptors that are left.
func newRig(t testing.TB, o hostdir.Options, valid time.Duration) *rig {
	t.Helper()
	r := &rig{path: t.TempDir()}
	before := descriptors(t)
	var err error
	if r.dir, err = hostdir.Open(r.path, o); err != nil {
		t.Fatal(err)
	}
	mem := make([]byte, hypercall.QueueSize+hypercall.PageSize)
	mem = mem[-int(uintptr(unsafe.Pointer(&mem[0])))&(hypercall.PageSize-1):][:hypercall.QueueSize]
	woken := make(chan struct{}, 1)
	d := share.New(r.dir, mem, addresses{}, mapper{}, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	serve := func() {
		if _, err := d.Serve(); err != nil {
			t.Error(err)
		}
	}
	done := make(chan struct{})
	var caller *sharedev.Device
	await := func() {
		select {
		case <-woken:
			caller.Stopped(serve)
		case <-done:
			select {}
		}
	}
	t.Cleanup(func() {
		d.Close()
		close(done)
		if err := r.dir.Close(); err != nil {
			t.Error(err)
		}
		if after := descriptors(t); after > before {
			t.Errorf("%d descriptors are open, %d were", after, before)
		}
	})
	queue := (*hypercall.Queue)(unsafe.Pointer(&mem[0]))
	caller = sharedev.New(queue, 64<<20, serve, await)
	var errno syscall.Errno
	if r.FS, errno = hostfs.New(caller, hostfs.Config{Device: 33, ReadOnly: o.ReadOnly, Valid: valid}); errno != 0 {
		t.Fatal(errno)
	}
	return r
}

func descriptors(t testing.TB) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// host is the path of a name on the host.
func (r *rig) host(name string) string { return r.path + "/" + name }

// lookup finds a path of single names below the root.
func (r *rig) lookup(t testing.TB, names ...string) vnode.Node {
	t.Helper()
	var n vnode.Node = r.Root()
	for _, name := range names {
		var errno syscall.Errno
		if n, errno = n.(vnode.Dir).Lookup(name); errno != 0 {
			t.Fatalf("%s: %v", name, errno)
		}
	}
	return n
}

// open opens a file for reading and writing until the test's end.
func (r *rig) open(t testing.TB, n vnode.Node) vnode.File {
	t.Helper()
	f, ok := n.(vnode.Opener)
	if !ok {
		t.Fatalf("%T is not opened", n)
	}
	if errno := f.Open(true); errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(f.Close)
	return f
}

// create makes a regular file and opens it.
func (r *rig) create(t testing.TB, dir vnode.Dir, name string) vnode.File {
	t.Helper()
	n, errno := dir.Make(name, vnode.Make{Mode: syscall.S_IFREG | 0o644})
	if errno != 0 {
		t.Fatalf("make %s: %v", name, errno)
	}
	return r.open(t, n)
}

// want checks an errno.
func want(t testing.TB, what string, got, wanted syscall.Errno) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: %v, want %v", what, said(got), said(wanted))
	}
}

func said(e syscall.Errno) error {
	if e == 0 {
		return errors.New("no error")
	}
	return e
}
