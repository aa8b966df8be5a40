package hypercall

// Frame rings. Frames for a guest may arrive in memory that the guest can see: the ring of a packet socket (packet(7),
// PACKET_RX_RING with TPACKET_V2), which the host's kernel fills, on the processor of whoever sends. The guest takes short
// frames from it without an exit. Others come through the receive queue, as all do on a device without a ring.
//
// Queue.Frames of the receive queue says whether device i has a ring at FrameRingsVA + i*FrameRingSpan: it may come to have one when
// frames are many. Slots are filled in order, round and round. A frame is for the guest if its slot has
//
//   - FrameReady, and neither FrameLong nor FrameVLAN,
//   - Len equal to Snaplen, at least the size of an Ethernet header, with the whole frame in the slot at Mac,
//   - a NetHeader before it, without NumBuffers and so of NetHeaderSize-2 bytes, whose GSOType, but for FrameECN, is one
//     of the GSO constants.
//
// It stores 0 in Status when it has copied the frame, and goes on to the next slot. At any other frame it stops: the monitor
// takes those, and all that wait before the last of them, when it serves the queues. So what is in the receive queue is
// older than what is in the ring. A frame for the guest counts as news.
//
// The guest can be interrupted anywhere, and the monitor serves queues then, too. So that Next is not changed under a
// guest that is about to change it, it sets Busy first.

// FrameSlot begins a slot (struct tpacket2_hdr).
type FrameSlot struct {
	Status  uint32 // IN: 0, OUT: Frame bits
	Len     uint32 // OUT: length of the frame in bytes
	Snaplen uint32 // OUT: how many of them are in the slot
	Mac     uint16 // OUT: where in the slot
	_       uint16
	_       [4]uint32
}

// Frame bits of a slot (TP_STATUS_*). Others mean nothing here.
const (
	FrameReady = 0x01 // the frame is complete
	FrameLong  = 0x02 // it did not fit, and waits elsewhere
	FrameVLAN  = 0x10 // it has a VLAN tag, which is not in it
)

// FrameECN may be set in the GSOType of a frame in a ring: its first segment has CWR.
const FrameECN = 0x80

// Frames is about a ring, in the receive queue.
type Frames struct {
	Slots uint32 // OUT: 0 if there is none yet
	Size  uint32 // OUT: of a slot in bytes
	Next  uint32 // IN and OUT: the slot that is looked at next
	Busy  uint32 // IN: not 0 while the guest looks at the queue or the ring, and the monitor leaves both alone
	Count uint64 // IN: frames that the guest has taken
	Bytes uint64 // IN: their lengths
}
