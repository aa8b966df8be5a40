package net

import (
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"ukvm.dev/guest/driver/netdev"
	"ukvm.dev/guest/kernel"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

// In a guest this package serves AF_INET and AF_INET6. The stack starts with the first socket: a program that has none pays nothing.
func init() {
	if kernel.InGuest() {
		posix.RegisterFamily(syscall.AF_INET, &system)
		posix.RegisterFamily(syscall.AF_INET6, lazyFamily6{&system})
	}
}

// system is the guest's stack, to be.
var system lazyStack

type lazyStack struct {
	once  sync.Once
	stack *Stack
}

// System returns the guest's stack, the one that sockets use, and starts it if need be. It is not for hosts.
func System() *Stack {
	system.once.Do(system.start)
	return system.stack
}

// Socket is posix.Family.
func (l *lazyStack) Socket(typ, protocol int) (posix.Socket, syscall.Errno) {
	l.once.Do(l.start)
	return l.stack.Family().Socket(typ, protocol)
}

// lazyFamily6 is the IPv6 family of the guest's stack, to be.
type lazyFamily6 struct{ lazy *lazyStack }

// Socket is posix.Family.
func (l lazyFamily6) Socket(typ, protocol int) (posix.Socket, syscall.Errno) {
	l.lazy.once.Do(l.lazy.start)
	return l.lazy.stack.Family6().Socket(typ, protocol)
}

// Interfaces is posix.Interfacer.
func (l *lazyStack) Interfaces() []posix.Interface {
	l.once.Do(l.start)
	return l.stack.Interfaces()
}

// Routes is posix.Router.
func (l *lazyStack) Routes() []posix.Route {
	l.once.Do(l.start)
	return l.stack.routes()
}

// patience is how long the first socket waits for DHCP. A server on the link answers within milliseconds.
const patience = 5 * time.Second

// start makes the stack and an interface of each network device, and waits for their addresses: a program that connects
// first thing must not find a network that is not there yet.
func (l *lazyStack) start() {
	b := kernel.Boot()
	var c Clock // SystemClock
	for i := range int(b.Devices) {
		if b.Device[i].Kind == hypercall.DeviceNet {
			c = newKernelClock()
		}
	}
	l.stack = New(Config{
		Memory: int64(b.Memory), Clock: c, Hostname: cString(b.Hostname[:]),
		Resolvers: func(servers []netip.Addr, search string) {
			var text []string
			for _, a := range servers {
				text = append(text, a.String())
			}
			posix.SetResolvers(text, strings.Fields(search))
		},
		Log: func(text string) { println("ukvm: filter:", text) },
	})
	l.stack.firewall(kernel.Firewall())
	for i := range int(b.Devices) {
		d := &b.Device[i]
		if d.Kind != hypercall.DeviceNet {
			continue
		}
		if err := l.stack.attach(i, cString(d.Name[:]), &d.Net); err != nil {
			println("ukvm: network card", cString(d.Name[:])+":", err.Error())
		}
	}
	l.stack.enter()
	l.stack.public = true
	l.stack.publish()
	l.stack.leave()
	posix.AtExit(l.finish)
	for _, name := range l.stack.awaitAddresses(patience) {
		println("ukvm: network card", name+": no DHCP server answers; the program goes on without an address for now")
	}
}

// finish is the end of the program: what it has written is delivered. It must end itself, although a panic may have come
// from this package, with the lock held.
func (l *lazyStack) finish() {
	closed := make(chan (<-chan struct{}), 1)
	go func() { closed <- l.stack.Close() }()
	select {
	case done := <-closed:
		<-done
	case <-time.After(time.Second):
	}
}

// attach makes an interface of a network device and configures it as the monitor says.
func (s *Stack) attach(index int, name string, c *hypercall.NetConfig) error {
	d, err := netdev.Open(index, longestFrame(c), s.Pool())
	if err != nil {
		return err
	}
	i, err := s.AddCard(Card{
		Name: name, MAC: c.MAC, MTU: int(c.MTU),
		Features: features(c),
		Transmit: d.Transmit,
		Flush:    func() {},
	})
	if err != nil {
		return err
	}
	go func() {
		if err := d.Run(i.Receive); err != nil {
			println("ukvm: network card", name+":", err.Error())
		}
	}()
	if addr := netip.AddrFrom4(c.Addr); c.Flags&(hypercall.NetDHCP|hypercall.NetIP6) == 0 && addr.IsUnspecified() {
		return nil // a card without an address
	}
	return i.Configure(*c)
}

// longestFrame is the longest frame that a card may receive, in bytes, with a VLAN tag.
func longestFrame(c *hypercall.NetConfig) int {
	n := wire.EthernetSize + vlanTag + int(c.MTU)
	if c.Flags&hypercall.NetRxTCP4 != 0 {
		n = max(n, int(c.RxSegment))
	}
	return n
}

const vlanTag = 4

// features is what a card does by itself, as the monitor has agreed with the host's network. What it leaves to us on the
// way up needs no switch: packets say of themselves whether their checksum is to be verified, and how long they are.
func features(c *hypercall.NetConfig) (f nic.Features) {
	f.TxChecksum = c.Flags&hypercall.NetTxChecksum != 0
	const (
		headers  = wire.EthernetSize + wire.IPv4Size + wire.TCPMax
		headers6 = wire.EthernetSize + wire.IPv6Size + wire.TCPMax
	)
	if f.TxChecksum && c.Flags&hypercall.NetTxTCP4 != 0 {
		f.TSO4 = max(0, int(min(c.TxSegment, wire.EthernetSize+wire.IPv4Max))-headers)
	}
	if f.TxChecksum && c.Flags&hypercall.NetTxTCP6 != 0 {
		f.TSO6 = max(0, int(min(c.TxSegment, wire.EthernetSize+wire.IPv4Max))-headers6)
	}
	return f
}
