package ndp

import (
	"net/netip"

	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// detection is duplicate address detection for one address (RFC 4862 §5.4), with DupAddrDetectTransmits of 1.
type detection struct {
	box   *Box
	addr  netip.Addr
	timer timer.Timer
}

// Detect begins to find out whether another station has an address of ours. Until neighbour.Interval has passed, Duplicate
// may be called. IP has been told of the address, so that its solicited-node group is heard.
func (b *Box) Detect(addr netip.Addr) {
	if b.tentative[addr] != nil {
		return
	}
	if b.tentative == nil {
		b.tentative = make(map[netip.Addr]*detection)
	}
	d := &detection{box: b, addr: addr}
	d.timer.Init(b.Wheel, d.timeout)
	d.timer.Set(b.Now() + neighbour.Interval)
	b.tentative[addr] = d
	b.solicit(addr, netip.IPv6Unspecified(), wire.SolicitedNode(addr))
}

// Tentative reports whether detection is under way for an address.
func (b *Box) Tentative(addr netip.Addr) bool { return b.tentative[addr] != nil }

// Forget ends detection for an address that is no longer ours.
func (b *Box) Forget(addr netip.Addr) {
	if d := b.tentative[addr]; d != nil {
		d.timer.Stop()
		delete(b.tentative, addr)
	}
}

// timeout is the end: nobody else has it.
func (d *detection) timeout() { delete(d.box.tentative, d.addr) }

func (b *Box) duplicate(addr netip.Addr) {
	b.Stats.Conflicts++
	b.Forget(addr)
	b.Duplicate(addr)
}
