// Package pair connects two netif.Links in memory, for tests: what one sends, the other receives, with faults injected
// on the way if asked. Which frames suffer is decided by a seeded generator for each direction, so the same frames sent
// in the same order suffer the same; only Delay and the hold time of a reordered frame depend on the clock
// (testing/synctest makes that deterministic too).
package pair

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"ukvm.dev/netif"
)

// Config describes both directions of a pair. The zero value is a perfect link with the MTU of Ethernet.
type Config struct {
	MTU   int    // largest IP packet in bytes; 0: 1500. Longer frames are dropped, but for those with a GSO type
	Queue int    // frames on the way in each direction; 0: 256. What comes on top is dropped.
	Seed  uint64 // for both generators

	// Offload lets each end leave checksums and segmentation to the other. The pair does no work for either: what has not
	// been agreed with the receiving end is dropped there. Not with Faults.Corrupt, which nobody would notice.
	Offload bool

	AtoB, BtoA Faults

	// Hook sees every frame that is sent, before faults. It may alter the frame in place, but not keep it; if it
	// returns false the frame is dropped. It is called with a lock held, from both directions at once.
	Hook func(from *Link, p *Packet) bool
}

// Faults are probabilities from 0 to 1, for each frame on its own.
type Faults struct {
	Loss      float64
	Duplicate float64       // the copy follows at once
	Corrupt   float64       // one bit is inverted, anywhere behind the Ethernet addresses
	Reorder   float64       // the frame is overtaken by the next one to three frames, or waits holdTime if none come
	Delay     time.Duration // of every frame
	Jitter    time.Duration // more delay, evenly distributed from 0 to this; overtaking follows from it
}

const (
	defaultMTU   = 1500
	defaultQueue = 256
	maxGSOFrame  = netif.EthernetSize + 65535
	holdTime     = 5 * time.Millisecond
)

// New makes a pair.
func New(c Config) (a, b *Link, err error) {
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	if c.MTU < 0 || c.Queue < 0 {
		return nil, nil, fmt.Errorf("make pair: mtu %d and queue %d must be positive", c.MTU, c.Queue)
	}
	if c.Offload && (c.AtoB.Corrupt > 0 || c.BtoA.Corrupt > 0) {
		return nil, nil, errors.New("make pair: corruption needs checksums")
	}
	ab, err := newWire(c, c.AtoB, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make pair: %w", err)
	}
	ba, err := newWire(c, c.BtoA, 1)
	if err != nil {
		ab.close()
		return nil, nil, fmt.Errorf("make pair: %w", err)
	}
	a = &Link{out: ab, in: ba, fd: ba.event.FD(), hook: c.Hook, offload: c.Offload}
	b = &Link{out: ba, in: ab, fd: ab.event.FD(), hook: c.Hook, offload: c.Offload}
	return a, b, nil
}

// Link is one end of a pair. When it is closed, the other end stays open and what is sent to it is dropped.
type Link struct {
	out, in *wire
	fd      int
	hook    func(*Link, *Packet) bool
	offload bool

	mu     sync.RWMutex // held for reading by the calls under way
	closed bool
}

var (
	_ netif.Link      = (*Link)(nil)
	_ netif.Offloader = (*Link)(nil)
	_ netif.Counter   = (*Link)(nil)
)

// Features are all there are, if Config.Offload says so.
func (l *Link) Features() netif.Features {
	if !l.offload {
		return netif.Features{}
	}
	return netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: maxGSOFrame, RxSegment: maxGSOFrame, TCP6: true}
}

// SetFeatures applies to frames that are sent, and to those that are received, from now on.
func (l *Link) SetFeatures(f netif.Features) error {
	if !f.Within(l.Features()) || f.TxSegment < 0 || f.RxSegment < 0 {
		return fmt.Errorf("set features of pair: %+v is more than %+v", f, l.Features())
	}
	if f.RxSegment > 0 && !f.RxChecksum || f.TxSegment > 0 && !f.TxChecksum {
		return errors.New("set features of pair: segmentation needs checksums")
	}
	l.out.setSender(f)
	l.in.setReceiver(f)
	return nil
}

// Send copies frames onto the wire.
func (l *Link) Send(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	for i := range frames {
		l.out.send(l, &frames[i])
	}
	return len(frames), nil
}

// Receive copies frames off the wire.
func (l *Link) Receive(frames []netif.Frame) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, netif.ErrClosed
	}
	return l.in.receive(frames), nil
}

// Arm prepares for sleeping.
func (l *Link) Arm() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.closed || l.in.arm()
}

// FD is an eventfd.
func (l *Link) FD() int { return l.fd }

// Counters counts dropped frames at the sender, injected losses among them, and at the receiver those that did not fit.
func (l *Link) Counters() netif.Counters {
	var c netif.Counters
	l.out.mu.Lock()
	c.TxFrames, c.TxBytes, c.TxDropped = l.out.sent, l.out.sentBytes, l.out.sendDropped
	l.out.mu.Unlock()
	l.in.mu.Lock()
	c.RxFrames, c.RxBytes, c.RxDropped = l.in.received, l.in.receivedBytes, l.in.receiveDropped
	l.in.mu.Unlock()
	return c
}

// Close makes this end fail with ErrClosed.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.in.close()
	}
	return nil
}
