package hostfs

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hostdir"
	"ukvm.dev/hypercall"
)

// TestBits: changes of attributes have the same bits all the way.
func TestBits(t *testing.T) {
	guest := []uint32{vnode.SetMode, vnode.SetUID, vnode.SetGID, vnode.SetSize, vnode.SetAtime, vnode.SetMtime}
	contract := []uint32{
		hypercall.ShareSetMode, hypercall.ShareSetUID, hypercall.ShareSetGID, hypercall.ShareSetSize, hypercall.ShareSetAtime, hypercall.ShareSetMtime,
	}
	host := []uint32{hostdir.SetMode, hostdir.SetUID, hostdir.SetGID, hostdir.SetSize, hostdir.SetAtime, hostdir.SetMtime}
	if !slices.Equal(guest, contract) || !slices.Equal(contract, host) {
		t.Errorf("%b in guests, %b between, %b on the host", guest, contract, host)
	}
}

// TestForgotten: handles of nodes that nobody holds go back to the host, and those of nodes in use stay.
func TestForgotten(t *testing.T) {
	r := newRig(t, hostdir.Options{}, 0)
	held := r.put(t, "held", []byte("x"))
	for i := range 500 {
		r.put(t, fmt.Sprint(i), nil)
	}
	for deadline := time.Now().Add(20 * time.Second); r.dir.Nodes() > 100; {
		if time.Now().After(deadline) {
			t.Fatalf("%d handles are left", r.dir.Nodes())
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
		r.put(t, "another", nil) // requests take them along
	}
	if n := r.lookup(t, "held"); n != held {
		t.Error("a node that is held was forgotten")
	}
	runtime.KeepAlive(held)
}

// TestLimit: more files than there can be handles are looked at one after the other; if all are held, it is ENFILE.
func TestLimit(t *testing.T) {
	const most = 64
	for _, valid := range []time.Duration{0, time.Minute} {
		r := newRig(t, hostdir.Options{MaxNodes: most}, valid)
		for i := range 10 * most {
			r.put(t, fmt.Sprint(i), nil)
		}
		var held []vnode.Node
		var errno syscall.Errno
		for i := range 2 * most {
			var n vnode.Node
			if n, errno = r.Root().Lookup(fmt.Sprint(i)); errno != 0 {
				break
			}
			held = append(held, n)
		}
		if errno != syscall.ENFILE || len(held) < most/2 {
			t.Errorf("with %d nodes held: %v", len(held), errno)
		}
		runtime.KeepAlive(held)
		held = nil
		r.put(t, "again", nil)
	}
}

// TestIdentity: a file that another one has replaced is not taken for it.
func TestIdentity(t *testing.T) {
	r := newRig(t, hostdir.Options{}, 0)
	old := r.put(t, "f", []byte("old"))
	if err := os.WriteFile(r.host("g"), []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.host("g"), r.host("f")); err != nil {
		t.Fatal(err)
	}
	if n := r.lookup(t, "f"); n == old || n.Attr().Size != 5 || old.Attr().Size != 3 {
		t.Errorf("f has %d bytes, the one before %d", n.Attr().Size, old.Attr().Size)
	}
}
