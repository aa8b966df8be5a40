package packetrx

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/vnet"
)

// Arm is that of a netif.Link: FD is readable exactly while something waits.
func (s *Socket) Arm() bool {
	s.armed = true
	return s.cut.more() || s.ring.status(0)&unix.TP_STATUS_USER != 0
}

// Receive is that of a netif.Link.
func (s *Socket) Receive(frames []netif.Frame) (int, error) {
	woken := s.armed
	s.armed = false
	left := s.ours()
	for n := 0; n < len(frames); {
		f := &frames[n]
		var ok bool
		if s.cut.more() {
			ok = s.cut.next(f)
		} else {
			status := s.ring.status(0)
			if left == 0 || status&unix.TP_STATUS_USER == 0 {
				if n == 0 && woken { // whoever slept may have been woken by an error
					return 0, s.trouble()
				}
				return n, nil
			}
			left--
			if status&unix.TP_STATUS_LOSING != 0 {
				s.CountLost()
			}
			var err error
			ok, err = s.take(f, status)
			s.ring.release()
			if err != nil {
				return n, err
			}
		}
		if !ok {
			s.dropped.Add(1)
			continue
		}
		s.frames.Add(1)
		s.bytes.Add(uint64(f.Len))
		n++
	}
	return len(frames), nil
}

// take stores the frame of the next slot in f, or what it is cut into first. If it does not, the frame is lost.
//
// A guest that has the ring can write anything into it, also that a frame waits in the socket's queue where none does.
func (s *Socket) take(f *netif.Frame, status uint32) (ok bool, err error) {
	slot := s.ring.slot(0)
	start, size, ok := s.ring.place(0)
	if !ok {
		start, size = vnet.Size, 0
	}
	var header hypercall.NetHeader
	s.decode(slot[start-vnet.Size:], &header)
	work := s.cut.has(&header, &s.features)
	to := netif.Frame{Data: f.Data}
	if work {
		if s.whole[0] == nil {
			s.whole[0] = make([]byte, vnet.LongestSegment)
		}
		to.Data = s.whole[:]
	}
	room := to.Room()
	switch {
	case status&unix.TP_STATUS_COPY != 0:
		if size, err = s.readLong(to.Data); err != nil {
			return false, err
		}
		if s.decode(s.header[:], &header); s.cut.has(&header, &s.features) != work {
			return false, nil
		}
	case s.ring.header(0).Len != uint32(size): // too long, and the kernel had no memory for it
		return false, nil
	case size <= room:
		w := to.Writer()
		w.Write(slot[start : start+size])
	}
	switch {
	case size < netif.EthernetSize, size > room, status&unix.TP_STATUS_VLAN_VALID != 0:
		return false, nil
	case work:
		return s.cut.start(s.whole[0][:size], &header) && s.cut.next(f), nil
	}
	f.Header, f.Len = header, size
	if !s.features.RxChecksum {
		f.Header.Flags = 0 // the kernel says DataValid also to those who did not ask
	}
	return true, nil
}

// decode reads the header before a frame.
func (s *Socket) decode(b []byte, h *hypercall.NetHeader) {
	vnet.Decode(b, h)
	h.GSOType &^= hypercall.FrameECN // the guest finds that in the frame
}

// readLong reads a frame that was too long for its slot, and its header. It returns its length, more than there is room
// for if that is so, and less than 0 if there is none.
func (s *Socket) readLong(to [][]byte) (int, error) {
	for {
		s.vector.Add(s.header[:])
		for _, piece := range to {
			s.vector.Add(piece)
		}
		s.vector.Add(s.spill[:])
		n, err := s.vector.Read(s.FD)
		switch {
		case err == nil:
			return n - len(s.header), nil
		case errors.Is(err, unix.EAGAIN):
			return -1, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENETDOWN): // said once, before what was queued
			if s.Gone() {
				return 0, s.Removed()
			}
		default:
			return 0, fmt.Errorf("read from %s: %w", s.what, err)
		}
	}
}
