package hostdir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// TestOpen: what cannot be given gets a sentence.
func TestOpen(t *testing.T) {
	path, _ := prison(t, hostdir.Options{})
	for _, c := range []struct{ path, err string }{
		{filepath.Join(path, "none"), "no such file"},
		{filepath.Join(path, "../file"), "not a directory"},
	} {
		if d, err := hostdir.Open(c.path, hostdir.Options{}); err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: %v, %v", c.path, d, err)
		}
	}
}

// TestLimit: there are no more handles than was said, and a forgotten one makes room.
func TestLimit(t *testing.T) {
	_, d := prison(t, hostdir.Options{MaxNodes: 10})
	var last hostdir.Node
	for i := range 20 {
		h, _, errno := d.Make(hostdir.Root, fmt.Sprint(i), unix.S_IFDIR|0o755, "")
		if i < 9 {
			want(t, "make", errno, 0)
			last = h
		} else {
			want(t, "one too many", errno, syscall.ENFILE)
		}
	}
	if n := d.Nodes(); n != 10 {
		t.Errorf("%d handles", n)
	}
	d.Forget(last, 1)
	_, _, errno := d.Lookup(hostdir.Root, "19") // it was made all the same
	want(t, "after one was forgotten", errno, 0)
}

// TestDescriptors: nothing is left open, whatever was going on.
func TestDescriptors(t *testing.T) {
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	d, err := hostdir.Open(t.TempDir(), hostdir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 200 {
				name := fmt.Sprint(w, " ", i%20)
				h, _, errno := d.Make(hostdir.Root, name, unix.S_IFREG|0o400, "")
				if errno == syscall.EEXIST {
					h, _, errno = d.Lookup(hostdir.Root, name)
				}
				if errno != 0 {
					continue // it is closed
				}
				if d.Open(h, i%2 == 0) == 0 {
					d.WriteAt(h, [][]byte{[]byte(name)}, 0, true)
					d.Sync(h, true)
					if i%3 != 0 {
						d.Done(h)
					}
				}
				if i%4 == 0 {
					d.Forget(h, 1)
				}
				if w == 0 && i == 150 {
					if err := d.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}

// TestReadOnlyTimes: reading leaves no trace if nothing may change.
func TestReadOnlyTimes(t *testing.T) {
	path, d := prison(t, hostdir.Options{ReadOnly: true})
	name := filepath.Join(path, "sub/f")
	if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	past := []unix.Timespec{{Sec: 1000}, {Sec: 2000}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, name, past, 0); err != nil {
		t.Fatal(err)
	}
	sub, _, _ := d.Lookup(hostdir.Root, "sub")
	f, _, errno := d.Lookup(sub, "f")
	want(t, "lookup", errno, 0)
	want(t, "open", d.Open(f, false), 0)
	if n, errno := d.ReadAt(f, [][]byte{make([]byte, 2), make([]byte, 9)}, 0, false); n != 4 || errno != 0 {
		t.Errorf("read %d, %v", n, errno)
	}
	a, errno := d.Attr(f)
	if errno != 0 || a.Atime != 1000e9 || a.Mtime != 2000e9 {
		t.Errorf("%+v, %v", a, errno)
	}
}

// TestLocks: two that have the directory exclude each other.
func TestLocks(t *testing.T) {
	path, a := prison(t, hostdir.Options{})
	b := open(t, path, hostdir.Options{})
	h, _, errno := a.Make(hostdir.Root, "lock", unix.S_IFREG|0o644, "")
	want(t, "make", errno, 0)
	want(t, "open", a.Open(h, true), 0)
	g, _, errno := b.Lookup(hostdir.Root, "lock")
	want(t, "lookup", errno, 0)
	want(t, "open", b.Open(g, true), 0)
	want(t, "lock", a.Lock(h, unix.LOCK_EX), 0)
	want(t, "lock by another", b.Lock(g, unix.LOCK_SH), syscall.EWOULDBLOCK)
	want(t, "unlock", a.Lock(h, unix.LOCK_UN), 0)
	want(t, "lock by another", b.Lock(g, unix.LOCK_SH), 0)
	want(t, "shared lock", a.Lock(h, unix.LOCK_SH), 0)
}

func BenchmarkLookup(b *testing.B) {
	_, d := prison(b, hostdir.Options{})
	for b.Loop() {
		if _, _, errno := d.Lookup(hostdir.Root, "sub"); errno != 0 {
			b.Fatal(errno)
		}
	}
}

func BenchmarkRead128K(b *testing.B) { transfer(b, false) }

func BenchmarkWrite128K(b *testing.B) { transfer(b, true) }

func transfer(b *testing.B, write bool) {
	_, d := prison(b, hostdir.Options{})
	h, _, errno := d.Make(hostdir.Root, "f", unix.S_IFREG|0o644, "")
	if errno != 0 || d.Open(h, true) != 0 {
		b.Fatal(errno)
	}
	const size = 128 << 10
	buf := [][]byte{make([]byte, size)}
	if _, _, errno := d.WriteAt(h, buf, 0, false); errno != 0 {
		b.Fatal(errno)
	}
	b.SetBytes(size)
	for b.Loop() {
		if write {
			_, _, errno = d.WriteAt(h, buf, 0, false)
		} else {
			_, errno = d.ReadAt(h, buf, 0, true)
		}
		if errno != 0 {
			b.Fatal(errno)
		}
	}
}
