package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/netif"
)

// ringLink is a link with a ring in a file of memory, in which nothing ever comes but by the test's hand.
type ringLink struct {
	netif.Link
	file  int
	mem   []byte // the link's own view of it
	given netif.Ring
	err   error

	at    netif.Taken // as the guest said last
	slot  uint32      // as the guest is told
	waits bool
	fd    int
}

const ringName = "ukvm-test-ring"

func newRingLink(t *testing.T) *ringLink {
	t.Helper()
	l := &ringLink{Link: newLink(t), given: netif.Ring{Slots: 64, Size: 1024}}
	l.fd = l.Link.FD()
	var err error
	if l.file, err = unix.MemfdCreate(ringName, unix.MFD_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l.file) })
	if err := unix.Ftruncate(l.file, 64<<10); err != nil {
		t.Fatal(err)
	}
	l.mem = l.mapIt(t)
	t.Cleanup(func() { unix.Munmap(l.mem) })
	return l
}

func (l *ringLink) mapIt(t *testing.T) []byte {
	t.Helper()
	b, err := unix.Mmap(l.file, 0, 64<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *ringLink) ShareRing() (netif.Ring, error) { return l.given, l.err }

func (l *ringLink) Seek(t netif.Taken) bool {
	l.at = t
	return l.waits
}

func (l *ringLink) FD() int { return l.fd }

func (l *ringLink) Slot() uint32 { return l.slot }

// views is how often this process has the memory of a ringLink mapped.
func views(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte(ringName))
}

// framesField is a field of a card's Frames.
func framesField(card int, offset uintptr) hypercall.GVA {
	return hypercall.RingsVA + hypercall.GVA(card)*hypercall.RingSlot + hypercall.GVA(unsafe.Offsetof(hypercall.Queue{}.Frames)+offset)
}

// TestFrameRing: a guest with two cards gets the ring of the second into its memory. It reads and writes there without an exit; what it
// says about the ring reaches the link, and where the link is reaches it; what waits in the ring keeps it awake. When the VM
// is gone, so is its view of the ring.
func TestFrameRing(t *testing.T) {
	l := newRingLink(t)
	before := views(t)
	l.given.Mem, l.slot, l.waits = l.mapIt(t), 9, true
	binary.LittleEndian.PutUint64(l.mem[5*1024:], 0x1122334455667788)
	const ring = hypercall.FrameRingsVA + hypercall.FrameRingSpan
	frames := hypercall.Frames{}
	code := new(kvmtest.Code).Start("upcall").
		Expect(framesField(1, unsafe.Offsetof(frames.Slots)), 0, 1).
		Call(hypercall.CallPoll, 0).
		Expect(framesField(1, unsafe.Offsetof(frames.Slots)), 1024<<32|64, 2).
		Expect(ring+5*1024, 0x1122334455667788, 3).Store(ring+63*1024, 42).
		Store(framesField(1, unsafe.Offsetof(frames.Next)), 7).
		Store(framesField(1, unsafe.Offsetof(frames.Count)), 100).Store(framesField(1, unsafe.Offsetof(frames.Bytes)), 6000).
		Call(hypercall.CallPoll, 0).
		Expect(framesField(1, unsafe.Offsetof(frames.Next)), 9, 4).
		Halt(0).Label("upcall").Halt(5)
	vm := newGuest(t, code.Image(), Config{NICs: []NIC{{Link: newLink(t), Config: netif.Config{MTU: 1500}}, {Link: l, Config: netif.Config{MTU: 1500}}}})
	if err := runVM(t, vm); err != nil {
		t.Fatal(err)
	}
	// The VM asks once more when it has told the guest where the link is.
	if want := (netif.Taken{Slot: 9, Frames: 100, Bytes: 6000}); l.at != want || l.mem[63*1024] != 42 {
		t.Errorf("%+v, %d", l.at, l.mem[63*1024])
	}
	if n := views(t); n != before+1 {
		t.Errorf("%d views of the ring, want %d", n, before+1)
	}
	if err := vm.Close(); err != nil {
		t.Error(err)
	}
	if n := views(t); n != before {
		t.Errorf("%d views of the ring after the VM is gone, want %d", n, before)
	}
}

// TestFrameRingSpin: a guest that takes nothing from its ring, because it says that it is somewhere else or busy, does not keep the
// monitor from letting it run.
func TestFrameRingSpin(t *testing.T) {
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC) // readable for ever
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, busy := range []uint64{0, 1} {
		l := newRingLink(t)
		l.given.Mem, l.fd = l.mapIt(t), fd
		l.waits = busy == 1
		code := new(kvmtest.Code).Start("upcall").Out(kick).
			Store(framesField(0, unsafe.Offsetof(hypercall.Frames{}.Next)), busy<<32|7). // and Busy
			Call(hypercall.CallPoll, 0).Call(hypercall.CallPoll, 0).Halt(0).Label("upcall").Halt(5)
		if err := runGuest(t, code, Config{NICs: []NIC{{Link: l, Config: netif.Config{MTU: 1500}}}}); err != nil {
			t.Error(err)
		}
		if busy == 1 && l.at.Slot == 7 {
			t.Error("the link was told of where a busy guest is")
		}
	}
}

// TestFrameRingCalls: no call of the guest's reaches the ring, and nothing in it is run.
func TestFrameRingCalls(t *testing.T) {
	const ring = uint64(hypercall.FrameRingsVA)
	op := func(kind uint32) []byte {
		o := hypercall.MemoryOp{Op: kind, Prot: hypercall.ProtRead, Start: hypercall.FrameRingsVA, End: hypercall.FrameRingsVA + page}
		return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&o)), unsafe.Sizeof(o)))
	}
	for _, c := range []struct {
		name string
		code *kvmtest.Code
		data []byte
		says string
	}{
		{"write from the ring", new(kvmtest.Code).Start("upcall").Out(kick).Call(hypercall.CallConsoleWrite, 1, ring, 8), nil, "not mapped"},
		{"write up to the ring", new(kvmtest.Code).Start("upcall").Out(kick).Call(hypercall.CallConsoleWrite, 1, ring-4, 8), nil, "not mapped"},
		{"entropy into the ring", new(kvmtest.Code).Start("upcall").Out(kick).Call(hypercall.CallEntropy, ring, 8), nil, "not mapped"},
		{"drop it", new(kvmtest.Code).Start("upcall").Out(kick).Call(hypercall.CallMemory, uint64(kvmtest.DataVA), 1), op(hypercall.MemoryDrop), "memory operation on"},
		{"protect it", new(kvmtest.Code).Start("upcall").Out(kick).Call(hypercall.CallMemory, uint64(kvmtest.DataVA), 1), op(hypercall.MemoryProtect), "memory operation on"},
		{"populate it", new(kvmtest.Code).Start("upcall").Out(kick).Call(hypercall.CallMemory, uint64(kvmtest.DataVA), 1), op(hypercall.MemoryCommit), "memory operation on"},
		{"send from it", sendFrom(hypercall.FrameRingsVA), nil, "not mapped"},
	} {
		l := newRingLink(t)
		l.given.Mem = l.mapIt(t)
		image := c.code.Halt(0).Label("upcall").Halt(1).Image()
		image.Data = c.data
		checkExit(t, c.name, runVM(t, newGuest(t, image, Config{NICs: []NIC{{Link: l, Config: netif.Config{MTU: 1500}}}})), Violation, c.says)
	}

	l := newRingLink(t)
	l.given.Mem = l.mapIt(t)
	copy(l.mem, new(kvmtest.Code).Halt(0).Bytes())
	code := new(kvmtest.Code).Start("upcall").Out(kick).Raw(rax(ring)...).Raw(0xff, 0xe0). // JMP RAX
												Label("upcall").Expect(kvmtest.Vector, vectorPage, 2).Halt(3)
	checkExit(t, "run what is in the ring", runGuest(t, code, Config{NICs: []NIC{{Link: l, Config: netif.Config{MTU: 1500}}}}), Exited, "exit code 3")
}

// sendFrom has a card send what lies at an address.
func sendFrom(at hypercall.GVA) *kvmtest.Code {
	const queue = hypercall.RingsVA + hypercall.QueueSize
	avail := queue + hypercall.GVA(unsafe.Offsetof(hypercall.Queue{}.Avail))
	return new(kvmtest.Code).Start("upcall").Out(kick).Store(queue, uint64(at)).Store(queue+8, 80).Store(avail, 1<<16).Out(kick)
}

// TestNoFrameRing: as long as there is no ring, there is nothing where it would be. One that a link cannot give is none, and one that
// makes no sense ends the guest; neither leaves anything behind.
func TestNoFrameRing(t *testing.T) {
	kvmtest.Require(t)
	l := newRingLink(t)
	before := views(t)
	for name, c := range map[string]struct {
		ring netif.Ring
		err  error
		says string // "" if the guest may go on
	}{
		"none": {}, "closed": {err: netif.ErrClosed}, "fails": {err: errors.New("no ring today")},
		"no slots":               {ring: netif.Ring{Slots: 0, Size: 1024}, says: "0 slots of 1024"},
		"more slots than memory": {ring: netif.Ring{Slots: 65, Size: 1024}, says: "65 slots of 1024"},
		"slots without a size":   {ring: netif.Ring{Slots: 64}, says: "64 slots of 0"},
	} {
		l.given, l.err = c.ring, c.err
		if c.says != "" {
			l.given.Mem = l.mapIt(t)
		}
		code := new(kvmtest.Code).Start("upcall").Out(kick).Load(hypercall.FrameRingsVA).Halt(1).
			Label("upcall").Expect(kvmtest.Vector, vectorPage, 2).Halt(0)
		vm := newGuest(t, code.Image(), Config{NICs: []NIC{{Link: l, Config: netif.Config{MTU: 1500}}}})
		if err := runVM(t, vm); c.says != "" {
			checkExit(t, name, err, HostFailure, c.says)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		vm.Close()
		if n := views(t); n != before {
			t.Errorf("%s: %d views of the ring, want %d", name, n, before)
		}
	}
}
