package netif

// RingLink is a Link whose incoming frames lie in memory that a guest can have, too (hypercall/frames.go). Seek, Slot and
// ShareRing are called as Receive is.
type RingLink interface {
	Link

	// ShareRing maps that memory once more, for a guest that has agreed to all Features; the caller unmaps it. From then
	// on Receive leaves to the guest what it can take itself. A Ring without memory means that there is none to share.
	ShareRing() (Ring, error)

	// Seek tells how far the guest has come, before Receive and Arm, and reports whether what waits next is for the guest.
	Seek(t Taken) bool

	// Slot is the one that Receive looks at next.
	Slot() uint32
}

// Ring is the memory of a RingLink.
type Ring struct {
	Mem   []byte // whole pages
	Slots int
	Size  int // of a slot in bytes
}

// Taken is what a guest says it has taken from a ring. Nothing depends on it but what the guest gets, and the counters.
type Taken struct {
	Slot   uint32 // the one that is next
	Frames uint64 // in all
	Bytes  uint64
}
