package packetrx

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
	"ukvm.dev/netif/internal/vnet"
)

// spoiled is a socket with a ring that a guest has, in memory of the test's. Nothing waits in the queue of long frames.
func spoiled(t testing.TB) *Socket {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	s := &Socket{FD: fds[0], what: "packet test", shared: true, ring: ring{mem: make([]byte, ringSize)}}
	if err := s.SetFeatures(vnet.Features()); err != nil {
		t.Fatal(err)
	}
	return s
}

// FuzzSpoiledRing has a guest write into its ring what it likes, and say it is where it likes. Each value of the account, 4 bytes, is
// followed by the beginning of a slot, 48 bytes, and is where that lies.
func FuzzSpoiledRing(f *testing.F) {
	slot := func(at, status, length, snaplen uint32, mac uint16, gso byte) []byte {
		b := make([]byte, 52)
		le := binary.LittleEndian
		le.PutUint32(b, at)
		le.PutUint32(b[4:], status)
		le.PutUint32(b[8:], length)
		le.PutUint32(b[12:], snaplen)
		le.PutUint16(b[16:], mac)
		b[4+32], b[4+33] = 1, gso
		return b
	}
	f.Add(slot(0, 1, 60, 60, 42, 0))
	f.Add(append(slot(1023, 1, 60, 60, 42, 0), slot(0, 3, 6000, 900, 42, 1)...))
	f.Add(append(slot(1<<31, 1|0x10, 60, 60, 42, 0), slot(1<<31+1, 1, 60, 60, 1020, 0)...))
	f.Add(slot(5, 1, 1<<31, 1<<31, 65535, 5))
	f.Add(slot(7, 1|4, 982, 982, 42, 5))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := spoiled(t)
		frames := make([]netif.Frame, 4)
		for i := range frames {
			frames[i].Data = [][]byte{make([]byte, 700), make([]byte, 814)}
		}
		for ; len(data) >= 52; data = data[52:] {
			at := binary.LittleEndian.Uint32(data)
			copy(s.ring.mem[at%slots*slotSize:], data[4:52])
			theirs := s.Seek(netif.Taken{Slot: at, Frames: 1, Bytes: 60})
			n, err := s.Receive(frames)
			if err != nil {
				t.Fatalf("the guest has broken its link: %v", err)
			}
			if theirs && n > 0 && s.Slot() == at%slots {
				t.Fatal("a frame was taken from a slot that is still next")
			}
			for _, f := range frames[:n] {
				if f.Len < netif.EthernetSize || f.Len > f.Room() {
					t.Fatalf("a frame of %d bytes", f.Len)
				}
			}
			if s.Slot() >= slots {
				t.Fatalf("slot %d", s.Slot())
			}
			s.Arm()
		}
	})
}

// TestLongThatIsNot: where the guest says that a long frame waits, and none does, a frame is lost and nothing else.
func TestLongThatIsNot(t *testing.T) {
	s := spoiled(t)
	frames := []netif.Frame{{Data: [][]byte{make([]byte, 1514)}}}
	h := s.ring.header(0)
	h.Status, h.Len, h.Snaplen, h.Mac = unix.TP_STATUS_USER|unix.TP_STATUS_COPY, 5000, 900, 42
	if s.Seek(netif.Taken{}) {
		t.Error("a long frame is for the guest")
	}
	n, err := s.Receive(frames)
	if _, _, dropped := s.Counters(); n != 0 || err != nil || dropped != 1 || s.Slot() != 1 || h.Status != 0 {
		t.Errorf("%d, %v, %d dropped, slot %d, status %d", n, err, dropped, s.Slot(), h.Status)
	}
}

// TestOurs: what waits before a frame that the guest cannot take comes with it, and what waits behind does not.
func TestOurs(t *testing.T) {
	s := spoiled(t)
	frames := make([]netif.Frame, 8)
	for i := range frames {
		frames[i].Data = [][]byte{make([]byte, 1514)}
	}
	const next = slots - 2
	for i, bits := range []uint32{0, unix.TP_STATUS_VLAN_VALID, 0, unix.TP_STATUS_VLAN_VALID, 0, 0} {
		h := s.ring.header(next + i)
		h.Status, h.Len, h.Snaplen, h.Mac = unix.TP_STATUS_USER|bits, 60, 60, 42
	}
	if !s.Seek(netif.Taken{Slot: next, Frames: 7, Bytes: 420}) {
		t.Error("a short frame is not for the guest")
	}
	n, err := s.Receive(frames)
	if got, bytes, dropped := s.Counters(); n != 2 || err != nil || got != 9 || bytes != 540 || dropped != 2 || s.Slot() != 2 {
		t.Errorf("%d, %v; %d frames, %d bytes, %d dropped; slot %d", n, err, got, bytes, dropped, s.Slot())
	}
	if n, err := s.Receive(frames); n != 0 || err != nil {
		t.Errorf("then %d, %v", n, err)
	}
}
