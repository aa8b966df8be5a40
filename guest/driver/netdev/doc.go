// Package netdev is the driver of the network device: the guest's end of its two queues (hypercall/ring.go).
//
//	Transmit ──► descriptors of the packet's pieces ──► Avail of queue 1 ──► monitor ──► Used: the packet is released
//	Run      ◄── packets with what arrived          ◄── Used of queue 0  ◄── monitor ◄── Avail: empty packets
//
// No frame is copied: sent packets are read by the monitor where the stack has made them, received ones are written to
// memory from the stack's pool. The exception are short ones on a card that also receives long ones (large receive, or a
// great MTU): its buffers are big, and what would waste one is moved to memory of its size.
//
// A device may have a frame ring besides (hypercall/frames.go): short frames come in it, without an exit, and are copied.
//
// The monitor touches the queues only while the guest does not run, so ordinary stores are enough; it looks at them
// whenever the guest goes to sleep, so nothing tells it of new packets, except that a full queue is served at once
// (kernel.Kick).
package netdev
