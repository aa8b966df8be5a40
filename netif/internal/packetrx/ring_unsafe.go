package packetrx

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ukvm.dev/netif/internal/vnet"
)

// The ring has slots for frames that come, each with a header before it (struct tpacket2_hdr). Its MiB is rather for many of
// them than for long ones, which come by another way: where 64 connections send at once, a guest that does not run for a
// moment finds many hundred frames.
const (
	slotSize  = 1 << 10 // bytes, enough for an acknowledgement or a request: 948 of a frame
	slots     = 1024
	blockSize = 64 << 10 // bytes that lie together in the kernel's memory, if it finds so many
	ringSize  = slots * slotSize
)

// ring is the memory that the kernel fills (packet(7), PACKET_RX_RING, TPACKET_V2). It belongs to one reader at a time. Slots
// are counted from the next one on.
type ring struct {
	mem  []byte
	next int // the slot that is filled next, or has been
}

// newRing gives the socket fd a ring and maps it.
func newRing(fd int) (r ring, err error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return r, fmt.Errorf("choose the version of the ring: %w", err)
	}
	req := unix.TpacketReq{Block_size: blockSize, Block_nr: ringSize / blockSize, Frame_size: slotSize, Frame_nr: slots}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return r, fmt.Errorf("make a ring of %d KiB: %w", ringSize>>10, err)
	}
	r.mem, err = mapRing(fd)
	return r, err
}

// mapRing maps the ring of the socket fd.
func mapRing(fd int) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, ringSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	return mem, nil
}

func (r *ring) close() error {
	if r.mem == nil {
		return nil
	}
	mem := r.mem
	r.mem = nil
	return unix.Munmap(mem)
}

// header is that of slot i. Only its Status may be looked at, with status, until that says that it is the reader's.
//
// Safety: the slot lies in mem, which is as long as slots of slotSize, and mmap(2) aligns it to a page.
func (r *ring) header(i int) *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.slot(i)[0]))
}

// status is that of slot i. What the kernel wrote before it set TP_STATUS_USER is seen by who sees that.
func (r *ring) status(i int) uint32 { return atomic.LoadUint32(&r.header(i).Status) }

// slot is the memory of slot i.
func (r *ring) slot(i int) []byte { return r.mem[(r.next+i)%slots*slotSize:][:slotSize] }

// place is where the frame of slot i lies in it, and how much of it; false if that makes no sense.
func (r *ring) place(i int) (start, size int, ok bool) {
	h := r.header(i)
	start, size = int(h.Mac), int(min(h.Snaplen, slotSize))
	return start, size, start >= vnet.Size && start+size <= slotSize
}

// release gives the next slot back to the kernel and goes on to the one behind it.
func (r *ring) release() {
	atomic.StoreUint32(&r.header(0).Status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % slots
}
