package packet

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ring has slots for frames that come, each with a header before it (struct tpacket2_hdr). Its MiB is rather for many of
// them than for long ones, which come by another way: where 64 connections send at once, a guest that does not run for a
// moment finds more than a thousand frames.
const (
	slotSize  = 512 // bytes, enough for an acknowledgement or a request: 436 of a frame
	slots     = 2048
	blockSize = 64 << 10 // bytes that lie together in the kernel's memory, if it finds so many
	ringSize  = slots * slotSize
)

// ring is the memory that the kernel fills (packet(7), PACKET_RX_RING, TPACKET_V2). It belongs to one reader.
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
	r.mem, err = unix.Mmap(fd, 0, ringSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return r, fmt.Errorf("map the ring: %w", err)
	}
	return r, nil
}

func (r *ring) close() error {
	if r.mem == nil {
		return nil
	}
	mem := r.mem
	r.mem = nil
	return unix.Munmap(mem)
}

// header is that of the next slot. Only its Status may be looked at, with status, until that says that it is the reader's.
//
// Safety: the slot lies in mem, which is as long as slots of slotSize, and mmap(2) aligns it to a page.
func (r *ring) header() *unix.Tpacket2Hdr {
	return (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.mem[r.next*slotSize]))
}

// status is that of the next slot. What the kernel wrote before it set TP_STATUS_USER is seen by who sees that.
func (r *ring) status() uint32 { return atomic.LoadUint32(&r.header().Status) }

// slot is the memory of the next slot.
func (r *ring) slot() []byte { return r.mem[r.next*slotSize:][:slotSize] }

// release gives the next slot back to the kernel and goes on to the one behind it.
func (r *ring) release() {
	atomic.StoreUint32(&r.header().Status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % slots
}
