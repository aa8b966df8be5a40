package conformance

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

var (
	hostAddr = netip.MustParseAddr("10.0.0.1")
	peerAddr = netip.MustParseAddr("10.0.0.2")
	// floodAddr is an address from which SYNs come that never become connections.
	floodAddr = netip.MustParseAddr("10.0.0.99")
	hostMAC   = wire.MAC{2, 0, 0, 0, 0, 1}
	peerMAC   = wire.MAC{2, 0, 0, 0, 0, 2}
)

// host is a stack under test with a card whose other side is the test. It answers ARP for all neighbours by itself.
type host struct {
	*net.Stack
	t       testing.TB
	clock   *nettest.Clock
	iface   *net.Interface
	sent    []frame       // what the stack has sent and nobody has looked at
	tap     func(f frame) // instead of sent
	batch   []*packet.Packet
	six     bool // over IPv6
	version int  // which the script is for, see card
	flood   int  // SYNs that have come from floodAddr
}

// frame is a TCP segment that the stack has sent.
type frame struct {
	at   int64
	ip   wire.IPv4 // of IPv4
	ip6  wire.IPv6 // of IPv6
	tcp  wire.TCP
	data []byte
}

// newHost makes a stack with so many MiB of memory, on a clock that has run for start nanoseconds.
func newHost(t testing.TB, c card, start int64) *host {
	h := &host{t: t, clock: nettest.NewClock(), six: c.six, version: c.ip}
	h.clock.Run(start)
	rng := rand.New(rand.NewPCG(1, 2))
	h.Stack = net.New(net.Config{Clock: h.clock.Alarm(), Random: rng.Uint64, Memory: int64(c.memory) << 20})
	if e := h.Family().(posix.Marker).SetECN(c.ecn); e != 0 {
		t.Fatal(e)
	}
	features := nic.Features{TxChecksum: true, TSO4: c.tso, TSO6: c.tso}
	if c.six && c.ip != 6 {
		c.mtu += longer // segments have the same length
	}
	i, err := h.AddCard(net.Card{
		Name: "eth0", MAC: hostMAC, MTU: c.mtu, Features: features, Transmit: h.transmit, Flush: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.iface = i
	if h.six {
		h.configure6(c)
		return h
	}
	if err := i.Configure(hypercall.NetConfig{Addr: hostAddr.As4(), Prefix: 24, Router: peerAddr.As4()}); err != nil {
		t.Fatal(err)
	}
	h.arp(wire.ARPRequest, peerAddr)
	h.clock.Run(0)
	return h
}

// transmit is the card's. The stack's lock is held.
func (h *host) transmit(p *packet.Packet) bool {
	for _, f := range nettest.Frames(p) {
		h.take(f)
	}
	p.Release()
	return true
}

func (h *host) take(b []byte) {
	e, ok := wire.ParseEthernet(b)
	if !ok {
		h.t.Errorf("sent a malformed frame %x", b)
		return
	}
	b = b[wire.EthernetSize:]
	switch e.Type() {
	case wire.TypeARP:
		a, ok := wire.ParseARP(b)
		if ok && a.Op() == wire.ARPRequest && a.TargetIP() != hostAddr {
			target := a.TargetIP()
			h.clock.At(h.clock.Now(), func() { h.arp(wire.ARPReply, target) })
		}
		return
	case wire.TypeIPv4:
	case wire.TypeIPv6:
		h.take6(b)
		return
	default:
		h.t.Errorf("sent a frame of type %x", e.Type())
		return
	}
	ip, ok := wire.ParseIPv4(b)
	if ok && ip.Proto() == wire.ProtoICMP && h.tap != nil {
		return // errors about what attackers send
	}
	if !ok || !ip.ChecksumOK() || ip.Src() != hostAddr || ip.Proto() != wire.ProtoTCP || ip.TotalLen() != len(b) || ip.IsFragment() {
		h.t.Errorf("sent a wrong IP packet %x", b)
		return
	}
	sum := wire.Pseudo(ip.Src(), ip.Dst(), wire.ProtoTCP, len(b)-len(ip))
	sum.Add(b[len(ip):])
	tcp, ok := wire.ParseTCP(b[len(ip):])
	if !ok || sum.Checksum() != 0 {
		h.t.Errorf("sent a wrong segment %x", b)
		return
	}
	h.sort(frame{h.clock.Now(), ip, nil, tcp, b[len(ip)+len(tcp):]})
}

// sort keeps a segment for who looks at it.
func (h *host) sort(f frame) {
	switch {
	case h.tap != nil:
		h.tap(f)
	case f.dst() != h.addr(floodAddr):
		h.sent = append(h.sent, f)
	}
}

// arp makes a neighbour say where it is.
func (h *host) arp(op uint16, sender netip.Addr) {
	b := make([]byte, wire.ARPSize)
	wire.ARP(b).Encode(op, peerMAC, sender, hostMAC, hostAddr)
	h.hold(wire.TypeARP, b)
	h.deliver()
}

// hold puts a frame into the card's batch.
func (h *host) hold(typ wire.EtherType, payload []byte) {
	p := h.Pool().Receive(max(packet.Small, wire.EthernetSize+len(payload)))
	b := p.Bytes()
	wire.Ethernet(b[:wire.EthernetSize]).Encode(hostMAC, peerMAC, typ)
	copy(b[wire.EthernetSize:], payload)
	p.Truncate(wire.EthernetSize + len(payload))
	h.batch = append(h.batch, p)
}

// deliver hands the batch to the stack.
func (h *host) deliver() {
	batch := h.batch
	h.batch = nil
	h.iface.Receive(batch)
}

// ip encloses a payload in an IPv4 packet.
func ip(f wire.IPv4Fields, payload []byte) []byte {
	f.TotalLen, f.Flags = wire.IPv4Size+len(payload), wire.IPv4DF
	if f.TTL == 0 {
		f.TTL = 64
	}
	b := make([]byte, f.TotalLen)
	wire.IPv4(b[:wire.IPv4Size]).Encode(&f)
	copy(b[wire.IPv4Size:], payload)
	return b
}

// tcp makes a segment with a right checksum.
func tcp(src, dst netip.Addr, f wire.TCPFields, options, data []byte) []byte {
	n := wire.TCPSize + len(options)
	b := make([]byte, n+len(data))
	f.Checksum = 0
	wire.TCP(b[:n]).Encode(&f)
	copy(b[wire.TCPSize:], options)
	copy(b[n:], data)
	sum := wire.Pseudo(src, dst, wire.ProtoTCP, len(b))
	sum.Add(b)
	wire.TCP(b[:n]).SetChecksum(sum.Checksum())
	return b
}

// segment makes a segment arrive with the next deliver.
func (h *host) segment(src netip.Addr, f wire.TCPFields, options, data []byte) {
	src, dst := h.addr(src), h.addr(hostAddr)
	h.holdIP(wire.IPv4Fields{Proto: wire.ProtoTCP, Src: src, Dst: dst}, tcp(src, dst, f, options, data))
}

// stat returns a counter.
func (h *host) stat(name string) (uint64, bool) {
	var value uint64
	found := false
	h.Stats(func(n string, v uint64) {
		if n == name {
			value, found = v, true
		}
	})
	return value, found
}

// empty reports what is left of connections, nil if nothing is.
func (h *host) empty() error {
	for _, name := range []string{"tcp.connections", "tcp.time_wait", "tcp.memory"} {
		if v, ok := h.stat(name); v != 0 || !ok {
			return fmt.Errorf("%s is %d", name, v)
		}
	}
	return nil
}

// sock is a socket and what it has been told.
type sock struct {
	net.Socket
	level           posix.Events
	written, readAt int // bytes
}

func watch(k net.Socket) *sock {
	s := &sock{Socket: k}
	k.Notify(func(level, _ posix.Events) { s.level = level })
	return s
}

func (h *host) socket() (*sock, syscall.Errno) {
	make := h.Socket
	if h.six {
		make = h.Socket6
	}
	k, e := make(syscall.SOCK_STREAM, 0)
	if e != 0 {
		return nil, e
	}
	return watch(k), 0
}

// pattern is what both sides write: it tells positions in a stream apart.
func pattern(off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(off+i) ^ byte((off+i)>>8)
	}
	return b
}
