package net

import (
	"net/netip"
	"time"

	"ukvm.dev/guest/net/dhcp"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// dhcpQueue bounds what waits on port 68, in bytes; it is read at once.
const dhcpQueue = 16 << 10

// startDHCP lets the DHCP client configure the interface. Its messages go through an end point of the UDP box that is
// bound to this interface, so it works before there is an address.
func (i *Interface) startDHCP() error {
	s := i.stack
	i.stopDHCP()
	e := &i.dhcpPort
	s.boxes.UDP.Open(e, dhcpQueue)
	e.Link, e.Broadcast, e.ReuseAddr = i.link.Index, true, true
	if err := e.Bind(netip.Addr{}, wire.DHCPClientPort); err != nil {
		return err
	}
	e.Upcall = func(ready.Events) {
		var b [1500]byte
		for p := e.Inbox.Front(); p != nil; p = e.Inbox.Front() {
			n := p.CopyOut(b[:])
			e.Inbox.Drop()
			i.DHCP.Receive(b[:n])
		}
	}
	s.boxes.IP4.RemoveAddrs(&i.link)
	i.DHCP.Start()
	return nil
}

// awaitAddresses waits until DHCP or a router has configured the interfaces that have no address yet, and returns the names of those
// that have no address when the time is up.
func (s *Stack) awaitAddresses(limit time.Duration) (late []string) {
	s.enter()
	var waiting []*Interface
	for _, i := range s.interfaces {
		if i.DHCP.Active() || i.RA.Active() && !i.link.Addr().IsValid() {
			waiting = append(waiting, i)
		}
	}
	s.leave()
	if len(waiting) == 0 {
		return nil
	}
	expired := make(chan struct{})
	timer := time.AfterFunc(limit, func() { close(expired) })
	defer timer.Stop()
	for _, i := range waiting {
		select {
		case <-i.ready:
		case <-expired:
		}
	}
	for _, i := range waiting {
		select {
		case <-i.ready:
		default:
			late = append(late, i.Name)
		}
	}
	return late
}

func (i *Interface) stopDHCP() {
	i.DHCP.Stop()
	i.dhcpPort.Close()
}

// sendDHCP is dhcp.Client.Send.
func (i *Interface) sendDHCP(message []byte, _, dst netip.Addr) {
	// An error is a message lost; the client repeats it.
	_ = i.dhcpPort.Send(message, netip.AddrPortFrom(dst, wire.DHCPServerPort))
}

// bound is dhcp.Client.Bound.
func (i *Interface) bound(l dhcp.Lease) {
	if cur := i.link.Addrs(); len(cur) == 1 && cur[0] == l.Addr {
		return // renewed
	}
	// The table of routes or addresses is never full here: those of this interface have just been removed.
	_ = i.apply(settings{addr: l.Addr, router: l.Router, dns: l.DNS, search: l.Domain, mtu: l.MTU})
}

// lost is dhcp.Client.Lost.
func (i *Interface) lost() {
	i.stack.boxes.IP4.RemoveAddrs(&i.link)
	i.ARP.Flush()
}
