package pcap

import (
	"fmt"

	"ukvm.dev/netif"
)

// link is a Link that is captured.
type link struct {
	netif.Link
	capture *Capture
	index   int // of the interface in the file
}

var (
	_ netif.Link      = (*link)(nil)
	_ netif.Offloader = (*link)(nil)
)

// Link returns inner with what passes over it captured, as an interface called name. Config is what the guest is told about
// the link. The result is a Dialer or a Counter if inner is one. It is an Offloader in any case, which takes no offloads if
// inner is none.
func (c *Capture) Link(inner netif.Link, name string, config netif.Config) netif.Link {
	l := &link{Link: inner, capture: c, index: c.addInterface(name, config)}
	dialer, dials := inner.(netif.Dialer)
	counter, counts := inner.(netif.Counter)
	switch {
	case dials && counts:
		return struct {
			*link
			netif.Dialer
			netif.Counter
		}{l, dialer, counter}
	case dials:
		return struct {
			*link
			netif.Dialer
		}{l, dialer}
	case counts:
		return struct {
			*link
			netif.Counter
		}{l, counter}
	}
	return l
}

// Send captures frames before they are sent: an answer does not come before its question in the file.
func (l *link) Send(frames []netif.Frame) (int, error) {
	l.capture.record(l.index, flagOutbound, frames)
	return l.Link.Send(frames)
}

// Receive captures what has come.
func (l *link) Receive(frames []netif.Frame) (int, error) {
	n, err := l.Link.Receive(frames)
	l.capture.record(l.index, flagInbound, frames[:n])
	return n, err
}

// Drain is as in netif.Drainer, where the link is one.
func (l *link) Drain(quit <-chan struct{}) {
	if d, ok := l.Link.(netif.Drainer); ok {
		d.Drain(quit)
	}
}

// Features are those of the link.
func (l *link) Features() netif.Features {
	if o, ok := l.Link.(netif.Offloader); ok {
		return o.Features()
	}
	return netif.Features{}
}

// SetFeatures switches on what the link can do.
func (l *link) SetFeatures(f netif.Features) error {
	if o, ok := l.Link.(netif.Offloader); ok {
		return o.SetFeatures(f)
	}
	if !f.Within(netif.Features{}) {
		return fmt.Errorf("set features of a link that has none: %+v", f)
	}
	return nil
}
