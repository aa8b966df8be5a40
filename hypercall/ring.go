package hypercall

// Rings carry bulk I/O. Each queue is a split virtqueue (virtio 1.2 §2.7) without notifications, all
// little-endian, with two deviations: descriptor addresses are GVAs, and the tables lie at fixed places. The guest owns
// Desc and Avail, the monitor owns Used. Index fields run freely from 0 to 65535 and wrap.
//
// The slot of device i is at RingsVA + i*RingSlot; its queue q is at + q*QueueSize in it.
//
// There are no doorbells and no interrupts. The monitor serves all queues in Poll, that is before the guest sleeps; in
// Kick, for a guest that has filled a queue and goes on; and every few milliseconds while the guest is busy. A queue has
// news for the guest if Avail.Flags is 0 and Used.Index differs from Avail.Event, up to which the guest has looked: then
// Poll does not sleep, and the guest kernel reports the device ready to whoever waits for it.
const (
	QueueLen  = 256 // descriptors of a queue
	QueueSize = 0x4000
	RingSlot  = 2 * QueueSize
)

// Desc is a descriptor (§2.7.5).
type Desc struct {
	Addr  GVA    // IN
	Len   uint32 // IN
	Flags uint16 // IN: Desc bits
	Next  uint16 // IN: index of the next descriptor if DescNext is set
}

// Desc bits.
const (
	DescNext  = 1 // the chain goes on at Next
	DescWrite = 2 // the monitor writes here; else it reads
)

// Avail is the ring of descriptor chains the guest offers (§2.7.6).
type Avail struct {
	Flags uint16 // IN: 0, or AvailQuiet
	Index uint16 // IN: where the guest will put the next entry
	Ring  [QueueLen]uint16
	Event uint16 // IN: the Used.Index up to which the guest has looked
}

// AvailQuiet says that the guest does not want to know about used chains (VIRTQ_AVAIL_F_NO_INTERRUPT).
const AvailQuiet = 1

// Used is the ring of chains the monitor is done with (§2.7.8).
type Used struct {
	Flags uint16 // OUT: 0
	Index uint16 // OUT: where the monitor will put the next entry
	Ring  [QueueLen]UsedElem
	_     uint32
}

// UsedElem is an entry of Used.
type UsedElem struct {
	ID  uint32 // OUT: head of the chain
	Len uint32 // OUT: bytes written into it
}

// Queue is the memory of one queue.
type Queue struct {
	Desc   [QueueLen]Desc
	Avail  Avail
	_      [4096 - (QueueLen*2 + 6) - 32]byte
	Frames Frames // of a receive queue
	Used   Used
}

// NetHeader precedes every frame of a network device, both ways (struct virtio_net_hdr_v1, virtio 1.2 §5.1.6). A
// received frame that does not fit one chain goes on in the next NumBuffers-1 chains (§5.1.6.3.2).
type NetHeader struct {
	Flags      uint8  // NetHeader bits
	GSOType    uint8  // GSO constants
	HdrLen     uint16 // length of the headers of a GSO frame
	GSOSize    uint16 // payload bytes of each segment
	CsumStart  uint16 // with NeedsCsum: sum from here
	CsumOffset uint16 // with NeedsCsum: and store there, from CsumStart
	NumBuffers uint16 // received frames: how many chains it takes
}

// NetHeaderSize is the size of NetHeader in bytes.
const NetHeaderSize = 12

// MaxNetChain bounds the bytes of a chain of a network device, both ways: a NetHeader and the longest frame there is, with a
// VLAN tag.
const MaxNetChain = NetHeaderSize + 18 + 1<<16

// NetHeader flags.
const (
	NeedsCsum = 1 // the checksum at CsumStart+CsumOffset holds the pseudo-header sum and must be completed
	DataValid = 2 // the checksum has been verified
)

// GSO types.
const (
	GSONone = 0
	GSOTCP4 = 1
	GSOTCP6 = 4
)
