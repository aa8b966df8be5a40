package hostdir_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// TestMount: a file system that is mounted below is in, but nothing is renamed or linked from one into the other.
func TestMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	path := t.TempDir()
	done := make(chan struct{})
	var refused error
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlock: the thread, with its mounts, ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			refused = err
			return
		}
		nested := filepath.Join(path, "nested")
		if err := os.Mkdir(nested, 0o755); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount("tmpfs", nested, "tmpfs", 0, ""); err != nil {
			t.Error(err)
			return
		}
		d, err := hostdir.Open(path, hostdir.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		defer d.Close()
		root := hostdir.Root
		n, _, e := d.Lookup(root, "nested")
		want(t, "lookup", e, ok)
		a, _, e := d.Make(root, "a", unix.S_IFREG|0o600, "")
		want(t, "make", e, ok)
		b, _, e := d.Make(n, "b", unix.S_IFREG|0o600, "")
		want(t, "make below", e, ok)
		want(t, "rename", d.Rename(root, "a", n, "a", 0), syscall.EXDEV)
		want(t, "rename out", d.Rename(n, "b", root, "b", 0), syscall.EXDEV)
		want(t, "link", d.Link(n, "a", a), syscall.EXDEV)
		want(t, "link out", d.Link(root, "b", b), syscall.EXDEV)
		want(t, "remove what is mounted", d.Remove(root, "nested", true), syscall.EBUSY)
		want(t, "rename what is mounted", d.Rename(root, "nested", root, "x", 0), syscall.EBUSY)
		want(t, "open below", d.Open(b, true), ok)
		if a == b {
			t.Error("two files are one node")
		}
	}()
	<-done
	if refused != nil {
		t.Skipf("no mount namespace: %v", refused)
	}
}
