// Package packetrx is the receiving half of a packet socket (packet(7)).
//
// Frames come in a ring that the kernel fills, on the processor of who sends if that is on this host. One that fits its slot
// is copied from there, by the guest itself if it shares the ring; a longer one waits in a queue of the kernel's, and is
// read into the guest's memory with one system call. What the guest has not agreed to, and datagrams that came as one
// frame (UDP_SEGMENT), is cut and summed here. Frames with a VLAN tag are dropped.
package packetrx

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/iovec"
	"ukvm.dev/netif/internal/vnet"
)

// Socket is a packet socket with a ring. Its methods are called one at a time, but for Counters and CountLost.
type Socket struct {
	FD int

	what     string // the link, for errors
	index    int    // of the interface
	ring     ring
	shared   bool // with a guest
	features netif.Features
	armed    bool // Receive has not been called since Arm
	cut      cutter

	header [vnet.Size]byte
	vector iovec.Vector
	spill  [1]byte   // behind the Data of a frame: written to only if the frame is too long
	whole  [1][]byte // a frame that has to be cut or summed; nil until there is one

	frames, bytes, dropped atomic.Uint64
	taken, takenBytes      atomic.Uint64 // by the guest itself, as it says
}

// Direction says which frames of an interface come.
type Direction int

// Directions.
const (
	Incoming Direction = iota // those that the interface receives
	Outgoing                  // those that are sent through it
)

// longBytes is how much of the memory of frames that are too long for a slot the kernel keeps for the reader, in bytes (it
// doubles that): some hundred of 64 KiB.
const longBytes = 8 << 20

// Open makes a socket that gets nothing yet. What names the link in errors: a word, and a device. On error nothing is left;
// unix.EPERM is wrapped if the process may not have one.
func Open(what string, d Direction) (s *Socket, err error) {
	s = &Socket{what: what}
	s.FD, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: make a packet socket: %w", what, err)
	}
	if err = s.setUp(d); err != nil {
		unix.Close(s.FD)
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return s, nil
}

func (s *Socket) setUp(d Direction) error {
	ignore := 0
	if d == Incoming {
		ignore = 1
	}
	for _, o := range []struct {
		what         string
		level, which int
		value        int
	}{
		{"headers with checksums and segmentation", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"frames too long for the ring", unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1},
		{"ignoring what is sent", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, ignore},
		{"memory for long frames", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, longBytes},
	} {
		if err := unix.SetsockoptInt(s.FD, o.level, o.which, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.what, err)
		}
	}
	if d == Outgoing {
		if err := s.onlySent(); err != nil {
			return fmt.Errorf("ignoring what is received: %w", err)
		}
	}
	return nil
}

// onlySent has the kernel filter out what is not on its way to the interface (packet(7), Documentation/networking/filter.rst).
func (s *Socket) onlySent() error {
	const packetType = 0xfffff000 + 4 // SKF_AD_OFF + SKF_AD_PKTTYPE
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: packetType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.PACKET_OUTGOING, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18}, // whole
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return unix.SetsockoptSockFprog(s.FD, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// MakeRing makes the ring. That takes milliseconds: the kernel waits for all its processors (synchronize_net).
func (s *Socket) MakeRing() (err error) {
	if s.ring, err = newRing(s.FD); err != nil {
		return fmt.Errorf("%s: %w", s.what, err)
	}
	return nil
}

// Bind has frames of an interface come, into the ring. If it fails, the socket is of no use.
func (s *Socket) Bind(index int) error {
	s.index = index
	if err := unix.Bind(s.FD, &unix.SockaddrLinklayer{Protocol: bits.ReverseBytes16(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		return fmt.Errorf("%s: bind a packet socket: %w", s.what, err)
	}
	return nil
}

// SetFeatures notes what the guest does itself; the link has checked that. It fails if the guest has the ring: it takes
// frames as they come.
func (s *Socket) SetFeatures(f netif.Features) error {
	if s.shared && !wantsAll(f) {
		return fmt.Errorf("%s: the guest has the ring", s.what)
	}
	s.features = f
	return nil
}

// Close lets go of the interface. A ring that was shared stays where it is mapped.
func (s *Socket) Close() error {
	s.dropped.Add(s.lost())
	return errors.Join(s.ring.close(), unix.Close(s.FD))
}

// Counters are frames, their bytes, and how many the socket had no room for, or no use.
func (s *Socket) Counters() (frames, bytes, dropped uint64) {
	return s.frames.Load() + s.taken.Load(), s.bytes.Load() + s.takenBytes.Load(), s.dropped.Load()
}

// CountLost asks the kernel for its part of what was dropped.
func (s *Socket) CountLost() { s.dropped.Add(s.lost()) }

// lost is how many frames the kernel had no room for since it was asked last.
func (s *Socket) lost() uint64 {
	stats, err := unix.GetsockoptTpacketStats(s.FD, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return uint64(stats.Drops)
}

// trouble is what the kernel has to say of the socket: nil also when the interface is down, as it may come up again.
func (s *Socket) trouble() error {
	if e, err := unix.GetsockoptInt(s.FD, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e == 0 {
		return nil
	}
	if s.Gone() {
		return s.Removed()
	}
	return nil
}

// Gone reports whether the interface is no more.
func (s *Socket) Gone() bool {
	name, err := unix.Getsockname(s.FD)
	at, ok := name.(*unix.SockaddrLinklayer)
	return err != nil || !ok || at.Ifindex != s.index
}

// Removed is the error of a link whose interface is no more.
func (s *Socket) Removed() error {
	return fmt.Errorf("%s was removed from outside: %w", s.what, unix.ENODEV)
}
