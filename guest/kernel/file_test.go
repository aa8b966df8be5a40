package kernel

import (
	"fmt"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
)

// TestDescriptorNumbers opens, duplicates and closes at random; a number is always the lowest free one, as a naive model
// finds it.
func TestDescriptorNumbers(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			boots(t)
			r := random(seed)
			const limit = 200
			sys(nrPrlimit64, 0, limitFiles, put(0, limit, maxFiles), 0)
			kinds := map[uint64]uint8{0: kindConsole, 1: kindConsole, 2: kindConsole}
			lowest := func(from uint64) uint64 {
				for ; from < limit; from++ {
					if kinds[from] == kindNone {
						return from
					}
				}
				return fail(eMFILE)
			}
			anyFD := func() uint64 { return r.Uint64N(limit + 3) }
			for step := range 5000 {
				var got, want uint64
				kind := uint8(kindNone)
				switch r.IntN(8) {
				case 0:
					want, kind = lowest(0), kindEventfd
					got = sys(nrEventfd2, 0, 0)
				case 1:
					from := r.Uint64N(limit + 20)
					want, kind = lowest(from), kindObject
					got = sys(nrAttach, from, 0)
				case 2, 3:
					fd := anyFD()
					want = fail(eBADF)
					if kinds[fd] != kindNone {
						want = 0
						kinds[fd] = kindNone
					}
					got = sys(nrClose, fd)
					if got != want {
						t.Fatalf("step %d: close(%d): %d, want %d", step, fd, int64(got), int64(want))
					}
					continue
				case 4:
					fd, from := anyFD(), r.Uint64N(limit)
					switch kinds[fd] {
					case kindNone:
						want = fail(eBADF)
					case kindObject:
						want = fail(eINVAL)
					default:
						want, kind = lowest(from), kinds[fd]
					}
					got = sys(nrFcntl, fd, 0, from)
				case 5:
					fd, to := anyFD(), r.Uint64N(limit)
					switch {
					case kinds[fd] == kindNone:
						want = fail(eBADF)
					case fd == to:
						want, kind = to, kinds[fd]
					case kinds[fd] == kindObject:
						want = fail(eINVAL)
					default:
						want, kind = to, kinds[fd]
					}
					got = sys(nrDup2, fd, to)
				case 6:
					to := r.Uint64N(limit + 2)
					want, kind = to, kindObject
					if to >= limit {
						want = fail(eBADF)
					}
					got = sys(nrAttachAt, to, 0)
				case 7:
					fd := anyFD()
					want = fail(eBADF)
					if kinds[fd] == kindObject {
						want = 0
						kinds[fd] = kindNone
					}
					if got = sys(nrDetach, fd); got != want {
						t.Fatalf("step %d: detach(%d): %d, want %d", step, fd, int64(got), int64(want))
					}
					continue
				}
				if got != want {
					t.Fatalf("step %d: %d, want %d", step, int64(got), int64(want))
				}
				if errno(got) == 0 {
					kinds[got] = kind
				}
				if step%16 != 0 {
					continue
				}
				for fd := range uint64(limit + 3) {
					k := sys(nrKind, fd) & 0xff
					if uint8(k) != kinds[fd] {
						t.Fatalf("step %d: descriptor %d is of kind %d, want %d", step, fd, k, kinds[fd])
					}
				}
			}
		})
	}
}

// TestDescriptorLimits opens all there may be.
func TestDescriptorLimits(t *testing.T) {
	boots(t)
	last := uint64(0)
	for {
		fd := sys(nrEventfd2, 0, 0)
		if errno(fd) == eMFILE {
			break
		}
		last = fd
	}
	if last != defaultSoft-1 {
		t.Errorf("the last descriptor is %d, want %d", last, defaultSoft-1)
	}
	// The soft limit may be raised to the hard one, and no further.
	if got := errno(sys(nrPrlimit64, 0, limitFiles, put(0, maxFiles, maxFiles+1), 0)); got != ePERM {
		t.Errorf("above the hard limit: errno %d", got)
	}
	if r := sys(nrPrlimit64, 0, limitFiles, put(0, maxFiles, maxFiles), put(32, 0, 0)); r != 0 || *word(arena + 32) != defaultSoft || *word(arena + 40) != maxFiles {
		t.Errorf("raise the limit: %d, was %d, %d", int64(r), *word(arena + 32), *word(arena + 40))
	}
	for n := last + 1; n < maxFiles; n++ {
		if fd := enterForTest(nrAttach, 0, 0); fd != n {
			t.Fatalf("descriptor %d, want %d", int64(fd), n)
		}
	}
	if got := errno(sys(nrEventfd2, 0, 0)); got != eMFILE {
		t.Errorf("%d descriptors: errno %d", maxFiles, got)
	}
	sys(nrDetach, 70000)
	if fd := sys(nrEventfd2, 0, 0); fd != 70000 {
		t.Errorf("one closed: %d", int64(fd))
	}
}

// enterForTest is sys without the checks, which take a while.
func enterForTest(nr, a, b uint64) uint64 {
	f := &threads[running].frame
	f.RAX, f.RDI, f.RSI = nr, a, b
	dispatch(&threads[running])
	return f.RAX
}

// TestEpollLimits makes all epolls and interests there may be.
func TestEpollLimits(t *testing.T) {
	boots(t)
	var eps []uint64
	for {
		ep := sys(nrEpollCreate1, 0)
		if e := errno(ep); e == eMFILE {
			break
		} else if e != 0 {
			t.Fatalf("errno %d", e)
		}
		eps = append(eps, ep)
	}
	if len(eps) != maxEpolls {
		t.Errorf("%d epolls, want %d", len(eps), maxEpolls)
	}
	sys(nrClose, eps[5])
	if ep := sys(nrEpollCreate1, 0); ep != eps[5] {
		t.Errorf("one closed: %d", int64(ep))
	}
	sys(nrPrlimit64, 0, limitFiles, put(0, maxFiles, maxFiles), 0)
	put(64, epollIn, 0)
	add := func(ep, fd uint64) uint64 {
		f := &threads[running].frame
		f.RDX, f.R10 = fd, arena+64
		f.RAX, f.RDI, f.RSI = nrEpollCtl, ep, 1
		dispatch(&threads[running])
		return errno(f.RAX)
	}
	fds, added := []uint64{}, 0
	for range maxInterests / 32 {
		fds = append(fds, enterForTest(nrAttach, 0, 0))
	}
full:
	for _, ep := range eps {
		for _, fd := range fds {
			switch e := add(ep, fd); e {
			case 0:
				added++
			case eNOMEM:
				break full
			default:
				t.Fatalf("add %d: errno %d", added, e)
			}
		}
	}
	if added != maxInterests-1 {
		t.Errorf("%d interests, want %d", added, maxInterests-1)
	}
	// All are given back with the descriptors, and with the epolls.
	for _, fd := range fds {
		enterForTest(nrDetach, fd, 0)
	}
	for e := range epolls {
		if epolls[e].count != 0 {
			t.Fatalf("epoll %d has %d interests", e, epolls[e].count)
		}
	}
	checkKernel()
}

func TestFlagsOfDescriptors(t *testing.T) {
	boots(t)
	fd := sys(nrEventfd2, 0, oNonblock|oCloexec)
	if got := sys(nrFcntl, fd, 3, 0); got != oRdwr|oNonblock {
		t.Errorf("F_GETFL: %#x", got)
	}
	if got := sys(nrFcntl, fd, 1, 0); got != 1 {
		t.Errorf("F_GETFD: %d", got)
	}
	sys(nrFcntl, fd, 4, 0)
	sys(nrFcntl, fd, 2, 0)
	if fl, fdf := sys(nrFcntl, fd, 3, 0), sys(nrFcntl, fd, 1, 0); fl != oRdwr || fdf != 0 {
		t.Errorf("cleared: %#x, %d", fl, fdf)
	}
	one := put(0, 1)
	if r := sys(nrIoctl, fd, fionbio, one); r != 0 || sys(nrFcntl, fd, 3, 0) != oRdwr|oNonblock {
		t.Error("FIONBIO has no effect")
	}
	sys(nrFcntl, fd, 2, 1)
	dup := sys(nrDup, fd)
	if sys(nrFcntl, dup, 1, 0) != 0 || sys(nrFcntl, dup, 3, 0) != oRdwr|oNonblock {
		t.Error("a duplicate has close-on-exec, or other status flags")
	}
	if d := sys(nrFcntl, fd, 1030, 10); sys(nrFcntl, d, 1, 0) != 1 || d < 10 {
		t.Error("F_DUPFD_CLOEXEC")
	}
	if d := sys(nrDup3, fd, 40, oCloexec); d != 40 || sys(nrFcntl, d, 1, 0) != 1 {
		t.Error("dup3 with O_CLOEXEC")
	}
}

// TestUnknownCalls are ENOSYS and counted by number.
func TestUnknownCalls(t *testing.T) {
	boots(t)
	r := random(10)
	counts := [hypercall.UnservedMax]uint32{}
	unknown := []uint64{nrFork, nrVfork, nrExecve, 101 /* ptrace */, 5, 250, 335, 400, 511, 512, 1000, nrUpperEnd, 1 << 40, ^uint64(0)}
	for range 500 {
		n := unknown[r.IntN(len(unknown))]
		if got := errno(sys(n)); got != eNOSYS {
			t.Fatalf("call %d: errno %d", n, got)
		}
		if n < hypercall.UnservedMax && n != nrFork && n != nrVfork && n != nrExecve {
			counts[n]++
		}
	}
	for n, want := range counts {
		if got := control().Log.Unserved[n]; got != want {
			t.Errorf("call %d: counted %d times, was made %d times", n, got, want)
		}
	}
}

// TestDevice sees that a device's descriptor follows its rings.
func TestDevice(t *testing.T) {
	boots(t)
	b := boot_()
	b.Devices = 2
	if got := errno(sys(nrOpenDevice, 2)); got != eNOENT {
		t.Errorf("a device that is not there: errno %d", got)
	}
	dev := sys(nrOpenDevice, 1)
	if dev != 3 || errno(sys(nrOpenDevice, 1)) != eNOENT {
		t.Fatalf("open: %d, or twice", int64(dev))
	}
	if got := sys(nrFcntl, dev, 3, 0); got != oRdwr|oNonblock {
		t.Errorf("flags %#x", got)
	}
	ep := sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn | epollEdge
	*word(arena + 4) = 77
	sys(nrEpollCtl, ep, 1, dev, arena)
	wait := func() uint64 { return sys(nrEpollPwait, ep, arena+64, 10, 0, 0, 8) }
	if n := wait(); n != 0 {
		t.Error("readable before anything has come")
	}
	for n := range 2 {
		q := Queue(1, n)
		if got, want := uint64(uintptr(unsafe.Pointer(q))), ringsAddr+hypercall.RingSlot+uint64(n)*hypercall.QueueSize; got != want {
			t.Fatalf("queue %d at %#x, want %#x", n, got, want)
		}
		q.Used.Index++
		if got := wait(); got != 1 || *word(arena + 68) != 77 {
			t.Fatalf("queue %d has news: %d", n, got)
		}
		if got := wait(); got != 0 {
			t.Errorf("queue %d: the same news twice", n)
		}
		q.Used.Index++
		if got := wait(); got != 1 {
			t.Errorf("queue %d: more news: %d", n, got)
		}
		q.Avail.Event = q.Used.Index // the driver has looked
		if got := wait(); got != 0 || files[dev].level != 0 {
			t.Errorf("queue %d: readable after the driver has looked", n)
		}
		q.Avail.Flags = hypercall.AvailQuiet
		q.Used.Index++
		if got := wait(); got != 0 {
			t.Errorf("queue %d: news that nobody wants", n)
		}
	}
	// An idle guest wakes for it.
	Queue(1, 0).Avail.Flags = 0
	Queue(1, 0).Avail.Event = Queue(1, 0).Used.Index
	monitor.script = []func(){func() {}, func() { Queue(1, 0).Used.Index++ }}
	if n := sys(nrEpollPwait, ep, arena+64, 10, ^uint64(0), 0, 8); n != 1 {
		t.Errorf("asleep: %d", int64(n))
	}
	sys(nrClose, dev)
	collectDevices()
	if d := sys(nrOpenDevice, 1); errno(d) != 0 {
		t.Errorf("open again: errno %d", errno(d))
	}
	if before := monitor.kicks; sys(nrKick) != 0 || monitor.kicks != before+1 {
		t.Error("a kick did not reach the monitor")
	}
}

// TestFrameRingWakes: a frame in a device's ring raises its descriptor once, for each that becomes the next, as often as the ring goes
// round; what the monitor will bring does not.
func TestFrameRingWakes(t *testing.T) {
	boots(t)
	const slots, size = 4, 64
	ring := make([]uint64, slots*size/8)
	status := func(i int) *uint32 { return (*uint32)(unsafe.Pointer(&ring[i%slots*size/8])) }
	framesAddr = uint64(uintptr(unsafe.Pointer(&ring[0])))
	boot_().Devices = 1
	frames := &Queue(0, 0).Frames
	*frames = hypercall.Frames{}
	defer func() { *frames = hypercall.Frames{} }()
	dev := sys(nrOpenDevice, 0)
	ep := sys(nrEpollCreate1, 0)
	*word32(arena) = epollIn | epollEdge
	sys(nrEpollCtl, ep, 1, dev, arena)
	wait := func() uint64 { return sys(nrEpollPwait, ep, arena+64, 10, 0, 0, 8) }
	if n := wait(); n != 0 {
		t.Error("readable before anything has come")
	}
	*status(0) = hypercall.FrameReady
	if n := wait(); n != 0 {
		t.Error("readable for what is in a ring that is not there yet")
	}
	frames.Slots, frames.Size = slots, size
	for _, bits := range []uint32{hypercall.FrameLong, hypercall.FrameVLAN} {
		*status(0) = hypercall.FrameReady | bits
		if n := wait(); n != 0 {
			t.Errorf("readable for a frame with %#x", bits)
		}
	}
	*status(0) = 0
	for i := range 3 * slots {
		*status(i) = hypercall.FrameReady
		if n := wait(); n != 1 {
			t.Fatalf("frame %d: %d", i, n)
		}
		if n := wait(); n != 0 {
			t.Fatalf("frame %d raises the descriptor twice", i)
		}
		*status(i) = 0
		frames.Next = uint32(i+1) % slots
		frames.Count++
		if n := wait(); n != 0 || files[dev].level != 0 {
			t.Fatalf("readable after frame %d was taken", i)
		}
	}
	// A driver that has taken a whole round, and finds another frame in the same slot.
	*status(0) = hypercall.FrameReady
	if n := wait(); n != 1 {
		t.Fatal(n)
	}
	frames.Count += slots
	if n := wait(); n != 1 {
		t.Error("a frame one round later does not raise the descriptor")
	}
	*status(0) = 0
	monitor.script = []func(){func() {}, func() { *status(0) = hypercall.FrameReady }}
	frames.Count++
	if n := sys(nrEpollPwait, ep, arena+64, 10, ^uint64(0), 0, 8); n != 1 {
		t.Errorf("asleep: %d", int64(n))
	}
}
