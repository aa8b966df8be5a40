// Package nic is the stack's side of a network card: the box between Ethernet and a driver. It queues what the card has
// no room for, does in software what the card cannot (checksums), and counts.
//
//	    Receive ▲                  │ Output
//	   ┌────────┴──────────────────▼────────┐
//	   │ NIC         queue while the card   │
//	   │             is full, checksums     │
//	   └────────▲──────────────────┬────────┘
//	Input, Room │                  ▼ Transmit, Flush        the driver
//
// Not safe for concurrent use: the stack's lock guards it.
package nic

import (
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/timer"
)

// Features says what a card does by itself.
type Features struct {
	TxChecksum bool // completes TCP and UDP checksums of what is sent (NeedsCsum)
	TSO4       int  // largest TCP payload it cuts into segments itself (GSOTCP4), in bytes; 0: none. Needs TxChecksum
	TSO6       int  // the same over IPv6 (GSOTCP6)
}

// QueueMax is how many packets wait, at most, while a card is full; further ones are dropped. TCP stops sending data
// long before, see Busy.
const QueueMax = 1024

// Stats counts what passes, with IncludeOS's names in the comments.
type Stats struct {
	PacketsRx uint64 // packets_rx, stat_rx_total_packets
	PacketsTx uint64 // packets_tx, stat_tx_total_packets
	BytesRx   uint64 // stat_rx_total_bytes
	BytesTx   uint64 // stat_tx_total_bytes

	SendqMax     uint64 // sendq_max: longest the queue has been
	SendqNow     uint64 // sendq_now
	SendqDropped uint64 // sendq_dropped
}

// NIC is the box. The function values are set by the stack's wiring and the driver; all are needed.
type NIC struct {
	Receive packet.Handler // up: frames without device header

	// Transmit puts a frame on the card's ring and takes ownership of it; false means the ring is full and the packet
	// stays the caller's. A driver gives the device p.Net (see packet.EncodeNet) and the pieces of p, and releases p
	// when the device is done. It is called with the stack's lock held, and may release finished packets there.
	Transmit func(p *packet.Packet) bool
	// Flush follows a batch of Transmit calls: ring the doorbell. It is called with the stack's lock held.
	Flush func()
	// Drained is told that a card that was Busy no longer is.
	Drained func()
	Now     func() int64
	Wheel   *timer.Wheel

	Features Features
	Stats    Stats

	queue packet.Queue
	dirty bool // Transmit was called since the last Flush
	busy  bool
	retry timer.Timer
}

// RetryTime is how long a full card is left alone, at most, in nanoseconds: it is tried again after that, and at the end
// of every batch, so that a driver need not tell of Room.
const RetryTime = 1e6

// Busy reports whether packets wait for the card: a sender that can wait should, until Drained.
func (n *NIC) Busy() bool {
	if n.queue.Len() > 0 {
		n.busy = true
	}
	return n.busy
}

// Input takes a frame from the driver.
func (n *NIC) Input(p *packet.Packet) {
	n.Stats.PacketsRx++
	n.Stats.BytesRx += uint64(p.Len())
	n.Receive(p)
}

// Output sends a frame, now or when the card has room again.
func (n *NIC) Output(p *packet.Packet) {
	if !n.Features.TxChecksum {
		p.CompleteChecksum()
	}
	p.FinishNet()
	if n.queue.Len() == 0 && n.transmit(p) {
		return
	}
	if n.queue.Len() >= QueueMax {
		n.Stats.SendqDropped++
		p.Release()
		return
	}
	n.queue.Push(p)
	if !n.retry.Active() {
		n.retry.Init(n.Wheel, n.again)
		n.retry.Set(n.Now() + RetryTime)
	}
	n.Stats.SendqNow = uint64(n.queue.Len())
	n.Stats.SendqMax = max(n.Stats.SendqMax, n.Stats.SendqNow)
}

func (n *NIC) transmit(p *packet.Packet) bool {
	size := p.Len() // p is the driver's afterwards
	if !n.Transmit(p) {
		return false
	}
	n.dirty = true
	n.Stats.PacketsTx++
	n.Stats.BytesTx += uint64(size)
	return true
}

// Room is called when the card may have room again: what waits is sent.
func (n *NIC) Room() {
	for p := n.queue.Pop(); p != nil; p = n.queue.Pop() {
		if !n.transmit(p) {
			n.queue.InsertAfter(nil, p)
			break
		}
	}
	n.Stats.SendqNow = uint64(n.queue.Len())
	if n.busy && n.queue.Len() == 0 {
		n.busy = false
		n.Drained()
	}
}

// Retry sends what waits for a full card, as far as there is room.
func (n *NIC) Retry() {
	if n.queue.Len() > 0 {
		n.Room()
	}
}

// again is the retry timer.
func (n *NIC) again() {
	n.Room()
	if n.queue.Len() > 0 {
		n.retry.Set(n.Now() + RetryTime)
	}
}

// Sync ends a batch: the card is flushed if anything was put on its ring.
func (n *NIC) Sync() {
	if n.dirty {
		n.dirty = false
		n.Flush()
	}
}
