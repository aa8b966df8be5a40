package kernel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Descriptors, eventfds and epoll do the same random things here and in Linux, and must agree in every result.

// A side is one of the two: it makes system calls on memory that both reach.
type side struct {
	call func(nr uint64, a ...uint64) uint64
	fd   []uint64 // the real numbers of the descriptors of a test; closed ones are noFD
}

const noFD = ^uint64(0)

func ours() *side { return &side{call: sys} }

func linux(t testing.TB) *side {
	s := &side{call: func(nr uint64, a ...uint64) uint64 {
		var b [6]uintptr
		for i, x := range a {
			b[i] = uintptr(x)
		}
		r, _, e := unix.Syscall6(uintptr(nr), b[0], b[1], b[2], b[3], b[4], b[5])
		if e != 0 {
			return fail(uint64(e))
		}
		return uint64(r)
	}}
	t.Cleanup(func() {
		for _, fd := range s.fd {
			if fd != noFD {
				unix.Close(int(fd))
			}
		}
	})
	return s
}

// event is what epoll_wait has stored, with the number of the test in place of the descriptor's.
func events(n uint64) (l []string) {
	b := unsafe.Slice(byteAt(arena+1024), 12*n)
	for ; len(b) > 0; b = b[12:] {
		l = append(l, fmt.Sprintf("%d:%#x", binary.LittleEndian.Uint64(b[4:]), binary.LittleEndian.Uint32(b)))
	}
	return l
}

func TestEpollAgainstLinux(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := random(seed)
			b := make([]byte, 6*400)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			compareEpoll(t, b)
		})
	}
}

func FuzzEpoll(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) { compareEpoll(t, b[:min(len(b), 6*400)]) })
}

// compareEpoll does what bytes choose on both sides.
func compareEpoll(t *testing.T, b []byte) {
	boots(t)
	sides := [2]*side{ours(), linux(t)}
	const nEvent, nEpoll = 6, 3
	both := func(what string, do func(s *side) uint64) uint64 {
		t.Helper()
		got, want := do(sides[0]), do(sides[1])
		t.Log(what, int64(want))
		if got != want {
			t.Fatalf("%s: %d, Linux has %d", what, int64(got), int64(want))
		}
		return got
	}
	open := func(i int, nr uint64, a ...uint64) {
		for _, s := range sides {
			fd := s.call(nr, a...)
			if errno(fd) != 0 {
				t.Fatalf("open: errno %d", errno(fd))
			}
			if i == len(s.fd) {
				s.fd = append(s.fd, fd)
			} else {
				s.fd[i] = fd
			}
		}
	}
	for i := range nEvent {
		open(i, nrEventfd2, uint64(i%2), oNonblock|uint64(i%3/2)) // every third a semaphore
	}
	for i := range nEpoll {
		open(nEvent+i, nrEpollCreate1, 0)
	}
	for step := 0; len(b) >= 6; step++ {
		op, i, j, x, y, z := b[0], int(b[1]), int(b[2]), b[3], b[4], b[5]
		b = b[6:]
		i = i % nEvent
		ep := nEvent + j%nEpoll
		name := func(what string) string { return fmt.Sprintf("step %d, %s(%d, %d)", step, what, i, j) }
		switch op % 10 {
		case 0, 1:
			value := uint64(x % 3)
			switch x {
			case 255:
				value = ^uint64(0)
			case 254:
				value = eventfdMax
			case 253:
				value = eventfdMax - 1
			}
			both(name("write"), func(s *side) uint64 { return s.call(nrWrite, s.fd[i], put(0, value), 8) })
		case 2:
			both(name("read"), func(s *side) uint64 {
				*word(arena) = 0
				return s.call(nrRead, s.fd[i], arena, 8)
			})
			got := *word(arena) // Linux's, which came last
			both(name("value"), func(s *side) uint64 { return got })
		case 3, 4:
			target := int(x) % (nEvent + nEpoll)
			ev := uint32(0)
			for bit, e := range []uint32{epollIn, epollOut, epollRdHup, epollEdge, epollOneShot, epollEdge} {
				if y>>bit&1 != 0 {
					ev |= e
				}
			}
			op := 1 + uint64(z%4)
			both(fmt.Sprintf("step %d, epoll_ctl(%d, %d, %d, %#x)", step, ep, op, target, ev), func(s *side) uint64 {
				*word32(arena) = ev
				*word(arena + 4) = uint64(target)<<8 | uint64(z%4)
				return s.call(nrEpollCtl, s.fd[ep], op, s.fd[target], arena)
			})
		case 5, 6, 7:
			max := 1 + uint64(x)%5
			if x%2 == 0 {
				max = 50
			}
			var lists [2][]string
			for i, s := range sides {
				n := s.call(nrEpollPwait, s.fd[ep], arena+1024, max, 0, 0, 8)
				if errno(n) != 0 {
					t.Fatalf("epoll_wait: errno %d", errno(n))
				}
				lists[i] = events(n)
			}
			t.Log("wait", ep, max, lists[1])
			if !slices.Equal(lists[0], lists[1]) {
				t.Fatalf("step %d, epoll_wait(%d, %d): %v, Linux has %v", step, ep, max, lists[0], lists[1])
			}
		case 8:
			if x%4 != 0 {
				continue
			}
			both(name("close"), func(s *side) uint64 { return s.call(nrClose, s.fd[i]) })
			open(i, nrEventfd2, uint64(y%2), oNonblock|uint64(z%2))
		case 9:
			if x%8 != 0 {
				continue
			}
			both(name("close epoll"), func(s *side) uint64 { return s.call(nrClose, s.fd[ep]) })
			open(ep, nrEpollCreate1, 0)
		}
	}
}
