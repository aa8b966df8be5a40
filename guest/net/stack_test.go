package net

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/neighbour"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

// TestGratuitousARP: configuring an interface tells the link.
func TestGratuitousARP(t *testing.T) {
	w := quiet(t)
	w.clock.Run(seconds)
	var frames [][]byte
	w.link.A.Tap = func(f []byte) bool { frames = append(frames, f); return true }
	if err := w.a.iface.Configure(hypercall.NetConfig{Addr: [4]byte{10, 0, 0, 1}, Prefix: 24}); err != nil {
		t.Fatal(err)
	}
	if len(frames) != 1 {
		t.Fatalf("%d frames", len(frames))
	}
	e, _ := wire.ParseEthernet(frames[0])
	h, ok := wire.ParseARP(frames[0][wire.EthernetSize:])
	if !ok || e.Dst() != wire.Broadcast || h.SenderIP() != w.a.addr || h.TargetIP() != w.a.addr {
		t.Errorf("%x", frames[0])
	}
}

// dhcpServer answers on host b, as a program would, through a UDP socket.
func dhcpServer(t *testing.T, w *world, give netip.Addr) {
	s := w.b.socket(t, sockDgram, 0)
	s.must(s.SetOption(solSocket, soBroadcast, []byte{1, 0, 0, 0}))
	s.must(s.Bind(ap("0.0.0.0:67")))
	answer := func() {
		buf := make([]byte, 1500)
		for {
			n, from, _, e := s.Recv(buf, 0)
			if e != 0 {
				return
			}
			h, o, ok := wire.ParseDHCP(buf[:n])
			if !ok {
				t.Errorf("malformed message from %v", from)
				return
			}
			reply := map[wire.DHCPType]wire.DHCPType{wire.DHCPDiscover: wire.DHCPOffer, wire.DHCPRequest: wire.DHCPAck}[o.Type()]
			b := make([]byte, wire.DHCPSize)
			wire.DHCP(b).Encode(&wire.DHCPFields{
				Op: wire.DHCPBootReply, XID: h.XID(), ClientIP: netip.IPv4Unspecified(), YourIP: give, MAC: h.ClientMAC(),
			})
			m := wire.DHCPOptions(b).Append(wire.OptMessageType, byte(reply)).AppendAddr(wire.OptServerID, w.b.addr).
				AppendUint32(wire.OptLeaseTime, 600).AppendUint32(wire.OptSubnetMask, 0xffffff00).
				AppendAddr(wire.OptRouter, w.b.addr).AppendAddr(wire.OptDNS, w.b.addr).Append(wire.OptMTU, 0x05, 0x14).End()
			to := netip.AddrPortFrom(from.Addr(), 68)
			if from.Addr().IsUnspecified() {
				to = ap("255.255.255.255:68")
			}
			if _, e := s.Send(m, to, 0); e != 0 {
				t.Errorf("answer: %v", e)
			}
		}
	}
	var poll func()
	poll = func() { answer(); w.clock.At(w.clock.Now()+10*millisecond, poll) }
	poll()
}

func TestDHCP(t *testing.T) {
	w := quiet(t)
	var dns []netip.Addr
	w.a.config.Resolvers = func(s []netip.Addr, _ string) { dns = s }
	given := netip.MustParseAddr("10.0.0.77")
	if err := w.a.iface.Configure(hypercall.NetConfig{Flags: hypercall.NetDHCP}); err != nil {
		t.Fatal(err)
	}
	if len(w.a.iface.link.Addrs()) != 0 {
		t.Error("the static address is still there")
	}
	w.clock.Run(5 * seconds)
	dhcpServer(t, w, given)
	w.clock.Run(10 * seconds)
	<-w.a.iface.Ready()
	i := w.a.Interfaces()[1]
	if len(i.Addrs) != 1 || i.Addrs[0] != prefix("10.0.0.77/24") || i.MTU != 1300 || len(dns) != 1 || dns[0] != w.b.addr {
		t.Fatalf("%+v, DNS %v", i, dns)
	}
	w.a.addr = given
	a, b := w.pair(80)
	w.transfer(a, b, 100000)
	n := w.b.boxes.UDP.Stats.PacketsRx
	w.clock.Run(1000 * seconds)
	if w.b.boxes.UDP.Stats.PacketsRx <= n {
		t.Error("the lease was not renewed")
	}
	if len(w.a.Interfaces()[1].Addrs) != 1 {
		t.Error("the address was lost")
	}
	// A static configuration ends it.
	if err := w.a.iface.Configure(hypercall.NetConfig{Addr: [4]byte{10, 0, 0, 1}, Prefix: 24}); err != nil {
		t.Fatal(err)
	}
	n = w.b.boxes.UDP.Stats.PacketsRx
	w.clock.Run(1000 * seconds)
	if w.b.boxes.UDP.Stats.PacketsRx != n {
		t.Error("the DHCP client is still at work")
	}
}

// TestICMPErrors checks what is answered to what cannot be delivered, and how often.
func TestICMPErrors(t *testing.T) {
	w := quiet(t)
	a := w.a.socket(t, sockDgram, 0)
	a.Send([]byte("x"), ap("10.0.0.2:9"), 0)
	w.clock.Run(seconds)
	for range 500 {
		a.Send([]byte("x"), ap("10.0.0.2:9"), 0)
	}
	w.clock.Run(seconds / 2)
	if s := w.b.boxes.ICMP4.Stats; s.ErrorsTx < 50 || s.ErrorsTx > 60 || s.Throttled < 400 {
		t.Errorf("%+v", s)
	}
	w.clock.Run(seconds)
	// Unknown protocol.
	before := w.b.boxes.ICMP4.Stats.ErrorsTx
	w.a.Do(func(b *Boxes, _ []*Interface) {
		p := w.a.Pool().Linear(8)
		clear(p.Bytes())
		p.Dst, p.Proto = w.b.addr, 99
		b.IP4.Send(p)
	})
	w.clock.Run(seconds)
	if w.b.boxes.ICMP4.Stats.ErrorsTx != before+1 {
		t.Error("no error about an unknown protocol")
	}
	// A reassembly that does not end.
	w.link.A.Tap = func(f []byte) bool {
		h, ok := wire.ParseIPv4(f[wire.EthernetSize:])
		return !ok || f[13] != 0 || !h.IsFragment() || h.MF()
	}
	a.Send(make([]byte, 3000), ap("10.0.0.2:9"), 0)
	w.clock.Run(20 * seconds)
	if w.b.boxes.ICMP4.Stats.ErrorsTx != before+2 || w.a.boxes.ICMP4.Stats.ErrorsRx < 50 {
		t.Errorf("no error about a reassembly: %+v", w.b.boxes.ICMP4.Stats)
	}
}

// TestRewire changes connections between boxes while traffic flows: a filter that counts and drops.
func TestRewire(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	seen := 0
	var restore func(*Boxes)
	w.b.Do(func(x *Boxes, _ []*Interface) {
		next := x.IP4.ToTCP
		x.IP4.ToTCP = func(p *packet.Packet) {
			if seen++; seen%3 == 0 {
				p.Release()
				return
			}
			next(p)
		}
		restore = func(x *Boxes) { x.IP4.ToTCP = next }
	})
	p := &pump{from: a, to: b, size: 200000}
	w.clock.RunUntil(100*seconds, func() bool { p.run(); return p.in > 50000 })
	w.b.Do(func(x *Boxes, _ []*Interface) { restore(x) })
	after := seen
	var err error
	w.clock.RunUntil(100*seconds, func() bool { err = p.run(); return p.complete || err != nil })
	if err != nil || !p.complete || seen != after || seen == 0 {
		t.Errorf("error %v, complete %v, %d packets seen, %d after", err, p.complete, seen, after)
	}
}

// TestFullRing has a card that takes few packets at a time, and whose driver never tells when there is room.
func TestFullRing(t *testing.T) {
	w := quiet(t)
	for _, h := range []*host{w.a, w.b} {
		room := 8
		next := h.iface.NIC.Transmit
		h.iface.NIC.Transmit = func(p *packet.Packet) bool {
			if room == 0 {
				return false
			}
			room--
			return next(p)
		}
		var free func()
		free = func() { room = 8; w.clock.At(w.clock.Now()+500_000, free) }
		free()
	}
	a, b := w.pair(80)
	w.transfer(a, b, 2<<20)
	s := w.a.iface.NIC.Stats
	if s.SendqMax == 0 || s.SendqDropped != 0 {
		t.Errorf("%+v", s)
	}
	if w.a.boxes.TCP.Stats.Retransmits != 0 {
		t.Errorf("%+v", w.a.boxes.TCP.Stats)
	}
	// UDP waits, too.
	u, v := w.a.socket(t, sockDgram, 0), w.b.socket(t, sockDgram, 0)
	v.must(v.Bind(ap("0.0.0.0:53")))
	sent, waited := 0, false
	for sent < 200 {
		_, e := u.Send([]byte("datagram"), ap("10.0.0.2:53"), 0)
		if e == syscall.EAGAIN {
			waited = true
			if u.level&posix.EventOut != 0 {
				t.Fatal("EAGAIN, but writable")
			}
			if !w.clock.RunUntil(seconds, func() bool { return u.level&posix.EventOut != 0 }) {
				t.Fatal("never writable again")
			}
			continue
		}
		u.must(e)
		sent++
	}
	w.clock.Run(seconds)
	got := 0
	for {
		if _, e := v.recv(100); e != 0 {
			break
		}
		got++
	}
	if !waited || got != 200 {
		t.Errorf("waited %v, %d of 200 arrived", waited, got)
	}
}

// TestLimits checks the limits that follow from memory.
func TestLimits(t *testing.T) {
	for _, m := range []int64{0, 1, 16 << 20, 512 << 20, 1 << 40} {
		l := limitsFor(m)
		if l.Sockets < 1000 || l.TCP.ReceiveMax < 256<<10 || l.TCP.ReceiveMax > 4<<20 || l.TCP.ReceiveDefault > l.TCP.ReceiveMax ||
			m > memoryLeast && l.TCP.Memory+l.UDPMemory > int(m) {
			t.Errorf("%d: %+v", m, l)
		}
	}
	s := New(Config{Memory: 1, Clock: nettest.NewClock().Alarm()})
	n := 0
	var last Socket
	for {
		k, e := s.Socket(sockStream, 0)
		if e != 0 {
			if e != syscall.ENOBUFS {
				t.Error(e)
			}
			break
		}
		last = k
		n++
	}
	if n != s.Limits().Sockets {
		t.Errorf("%d sockets, limit %d", n, s.Limits().Sockets)
	}
	last.Close()
	if _, e := s.Socket(sockDgram, 0); e != 0 {
		t.Errorf("after closing one: %v", e)
	}
}

// TestSynFlood sends SYNs from everywhere; a client still gets through, and memory stays bounded.
func TestSynFlood(t *testing.T) {
	w := quiet(t)
	l := w.b.listen(t, 80)
	r := rand.New(rand.NewPCG(5, 5))
	flood := func(n int) {
		var batch []*packet.Packet
		for range n {
			p := w.b.Pool().Receive(packet.Small)
			b := p.Bytes()
			src := netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + r.IntN(100))})
			wire.Ethernet(b).Encode(w.b.iface.Eth.MAC, wire.MAC{2, 9}, wire.TypeIPv4)
			wire.IPv4(b[14:34]).Encode(&wire.IPv4Fields{TotalLen: 40, TTL: 64, Proto: 6, Src: src, Dst: w.b.addr})
			wire.TCP(b[34:54]).Encode(&wire.TCPFields{SrcPort: uint16(r.Uint32()), DstPort: 80, Seq: r.Uint32(), Flags: wire.SYN, Window: 1000})
			p.Truncate(54)
			p.Net.Flags = hypercall.DataValid
			batch = append(batch, p)
		}
		w.b.iface.Receive(batch)
	}
	for range 50 {
		flood(200)
		w.clock.Run(seconds / 10)
	}
	if n := w.b.boxes.TCP.Conns(); n > 1024 {
		t.Errorf("%d connections", n)
	}
	if w.b.iface.ARP.Len() > neighbour.MaxEntries {
		t.Errorf("%d ARP entries", w.b.iface.ARP.Len())
	}
	c := w.a.socket(t, sockStream, 0)
	c.Connect(ap("10.0.0.2:80"))
	for range 20 {
		flood(20)
		w.clock.Run(seconds / 10)
	}
	if c.level&posix.EventOut == 0 || l.level&posix.EventIn == 0 {
		t.Errorf("client %x, listener %x", c.level, l.level)
	}
}

// TestManyConnections opens and closes connections until all ports have been used.
func TestManyConnections(t *testing.T) {
	w := newWorld(t, 1, nettest.Faults{}, nic.Features{})
	l := w.b.listen(t, 80)
	for i := range 2000 {
		c := w.a.socket(t, sockStream, 0)
		c.must(c.Connect(ap("10.0.0.2:80")), syscall.EINPROGRESS)
		if !w.clock.RunUntil(seconds, func() bool { return l.level&posix.EventIn != 0 && c.level&posix.EventOut != 0 }) {
			t.Fatalf("connection %d: client %x, listener %x", i, c.level, l.level)
		}
		k, _, e := l.Accept()
		l.must(e)
		c.must(c.send("request"))
		w.clock.Run(millisecond)
		buf := make([]byte, 100)
		if n, _, _, e := k.Recv(buf, 0); n != 7 || e != 0 {
			t.Fatalf("connection %d: %d, %v", i, n, e)
		}
		k.Send([]byte("answer"), netip.AddrPort{}, 0)
		k.Close()
		w.clock.Run(millisecond)
		if text, e := c.recv(100); text != "answer" || e != 0 {
			t.Fatalf("connection %d: %q, %v", i, text, e)
		}
		c.must(c.Close())
		w.clock.Run(millisecond)
	}
	if n := w.b.boxes.TCP.Waiting(); n < 1500 || n > 2000 { // some flows have been used twice
		t.Errorf("%d in TIME-WAIT", n)
	}
	w.finish(l)
}

// TestTimeWaitReuse: with timestamps a client may reuse a flow in TIME-WAIT after a second (RFC 6191).
func TestTimeWaitReuse(t *testing.T) {
	w := quiet(t)
	l := w.b.listen(t, 80)
	connect := func() (*sock, syscall.Errno) {
		c := w.a.socket(t, sockStream, 0)
		c.must(c.SetOption(solSocket, soReuseAddr, []byte{1, 0, 0, 0}))
		c.must(c.Bind(ap("10.0.0.1:5555")))
		e := c.Connect(ap("10.0.0.2:80"))
		w.clock.Run(seconds / 10)
		return c, e
	}
	for i := range 3 {
		c, e := connect()
		if e != syscall.EINPROGRESS || c.level&posix.EventOut == 0 {
			t.Fatalf("connection %d: %v, level %x", i, e, c.level)
		}
		k, _, e := l.Accept()
		l.must(e)
		c.must(c.Close()) // first: TIME-WAIT is here
		w.clock.Run(seconds / 10)
		k.Close()
		w.clock.Run(seconds / 10)
		if w.a.boxes.TCP.Waiting() != 1 {
			t.Fatalf("%d in TIME-WAIT", w.a.boxes.TCP.Waiting())
		}
		c, e = connect()
		c.want("too early", e, syscall.EADDRNOTAVAIL)
		c.must(c.Close())
		w.clock.Run(seconds)
	}
	w.finish(l)
}

// TestNoAllocations: sending and receiving allocate nothing once buffers are there.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for name, f := range map[string]nic.Features{"plain": {}, "offload": offload} {
		w := newWirePair(t, f, 1500)
		c, s := w.connect(t)
		out, in := make([]byte, 8000), make([]byte, 8000)
		exchange := func() {
			c.Send(out, netip.AddrPort{}, 0)
			w.shuttle()
			for got := 0; got < len(out); {
				n, _, _, e := s.Recv(in, 0)
				if e != 0 {
					t.Fatal(e)
				}
				got += n
			}
			s.Send(out[:100], netip.AddrPort{}, 0)
			w.shuttle()
			c.Recv(in, 0)
			w.shuttle()
		}
		for range 100 {
			exchange()
		}
		if n := testing.AllocsPerRun(500, exchange); n > 0.5 {
			t.Errorf("%s: %.2f allocations for 7 segments and their ACKs", name, n)
		}
	}
}

// FuzzFrames gives a stack with sockets of all kinds arbitrary frames.
func FuzzFrames(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		clock := nettest.NewClock()
		s := New(Config{Clock: clock.Alarm(), Random: rand.New(rand.NewPCG(1, 1)).Uint64})
		var sent int
		i, err := s.AddCard(Card{
			Name: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500,
			Transmit: func(p *packet.Packet) bool { sent += len(nettest.Frames(p)); p.Release(); return true }, Flush: func() {},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Configure(hypercall.NetConfig{Addr: [4]byte{10, 0, 0, 1}, Prefix: 24, Flags: uint32(len(data))&1 | hypercall.NetIP6 | hypercall.NetRouter}); err != nil {
			t.Fatal(err)
		}
		h := &host{Stack: s, addr: netip.MustParseAddr("10.0.0.1"), iface: i}
		if len(data)%4 == 3 {
			c := stateful(80)
			c.Chains[0].Rules = append(c.Chains[0].Rules, filter.Rule{Log: true, Verdict: filter.Reject})
			c.Chains = append(c.Chains, rules("prerouting", filter.Accept, portRule(wire.ProtoUDP, 7, filter.Reject)).Chains[0])
			h.filter(t, c)
		}
		l, u := h.listen(t, 80), h.socket(t, sockDgram, 0)
		u.must(u.Bind(ap("0.0.0.0:53")))
		h.socket(t, sockRaw, 1).Bind(ap("0.0.0.0:0"))
		for len(data) > 1 {
			n := min(2+int(data[0]), len(data))
			frame := bytes.Clone(data[1:n])
			flags := data[0] & 1
			data = data[n:]
			repair(frame)
			p := s.Pool().Receive(packet.Small)
			p.Truncate(copy(p.Bytes(), frame))
			if flags != 0 {
				p.Net.Flags = hypercall.DataValid
			}
			i.Receive([]*packet.Packet{p})
			if k, _, e := l.Accept(); e == 0 {
				k.Recv(make([]byte, 100), 0)
				k.Send([]byte("hello"), netip.AddrPort{}, 0)
				k.Close()
			}
			u.recv(100)
			clock.Run(200 * millisecond)
		}
		l.Close()
		u.Close()
		clock.Run(4000 * seconds)
		if n := s.boxes.TCP.Conns(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// repair makes checksums right, so that fuzzing gets beyond them.
func repair(f []byte) {
	if len(f) < wire.EthernetSize {
		return
	}
	ip, ok := wire.ParseIPv4(f[wire.EthernetSize:])
	if !ok {
		return
	}
	ip.SetChecksum()
	end := min(wire.EthernetSize+ip.TotalLen(), len(f))
	body := f[min(wire.EthernetSize+len(ip), end):end]
	switch ip.Proto() {
	case wire.ProtoICMP:
		if h, ok := wire.ParseICMP(body); ok {
			h.SetChecksum(0)
			h.SetChecksum(wire.Checksum(body))
		}
	case wire.ProtoTCP:
		if h, ok := wire.ParseTCP(body); ok {
			h.SetChecksum(0)
			s := wire.Pseudo(ip.Src(), ip.Dst(), wire.ProtoTCP, len(body))
			s.Add(body)
			h.SetChecksum(s.Checksum())
		}
	}
}

// TestStats shows that all names are there.
func TestStats(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	w.transfer(a, b, 1000)
	got := map[string]uint64{}
	w.a.Stats(func(name string, v uint64) {
		if _, twice := got[name]; twice {
			t.Errorf("%s twice", name)
		}
		got[name] = v
	})
	for _, name := range []string{
		"eth0.ethernet.packets_rx", "eth0.ethernet.packets_tx", "eth0.arp.requests_tx", "eth0.stat_rx_total_bytes", "eth0.sendq_max",
		"ip4.packets_rx", "tcp.rx", "tcp.tx", "tcp.packets_rx", "tcp.conn_outgoing", "tcp.conn_attempts",
	} {
		if v, ok := got[name]; !ok || v == 0 && name != "eth0.sendq_max" {
			t.Errorf("%s: %d, %v", name, v, ok)
		}
	}
	if got["tcp.tx"] != 1000 || got["tcp.rx"] != 1000 {
		t.Errorf("tcp.tx %d, tcp.rx %d", got["tcp.tx"], got["tcp.rx"])
	}
	_ = fmt.Sprint(ip4.Loopback)
}
