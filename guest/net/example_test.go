package net_test

import (
	"fmt"
	"net/netip"
	"syscall"

	net "ukvm.dev/guest/net"
	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// lan is two hosts, 10.0.0.1 and 10.0.0.2, on one link, in virtual time. In a guest there is one stack, and a program gets
// hold of its boxes by guest.Rewire (package ukvm.dev/guest), which is Stack.Do.
type lan struct {
	clock  *nettest.Clock
	client *net.Stack
	server *net.Stack
}

func newLAN() *lan {
	l := &lan{clock: nettest.NewClock()}
	l.client, l.server = net.New(net.Config{Clock: l.clock.Alarm()}), net.New(net.Config{Clock: l.clock.Alarm()})
	link := nettest.NewLink(l.clock, 1, nettest.Faults{Delay: 1_000_000}, l.client.Pool(), l.server.Pool())
	for n, s := range map[byte]*net.Stack{1: l.client, 2: l.server} {
		end := map[byte]*nettest.End{1: link.A, 2: link.B}[n]
		i, err := s.AddCard(net.Card{Name: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, n}, MTU: 1500, Transmit: end.Transmit, Flush: end.Flush})
		if err != nil {
			panic(err)
		}
		end.Receive = i.Receive
		if err := i.Configure(hypercall.NetConfig{Addr: [4]byte{10, 0, 0, n}, Prefix: 24}); err != nil {
			panic(err)
		}
	}
	return l
}

// transfer has the client send so many bytes to the server, and returns how many arrive within a minute.
func (l *lan) transfer(n int) (got int) {
	listener, _ := l.server.Socket(syscall.SOCK_STREAM, 0)
	listener.Bind(netip.MustParseAddrPort("0.0.0.0:80"))
	listener.Listen(1)
	from, _ := l.client.Socket(syscall.SOCK_STREAM, 0)
	from.Connect(netip.MustParseAddrPort("10.0.0.2:80"))
	var to net.Socket
	b := make([]byte, 1<<16)
	l.clock.RunUntil(60e9, func() bool {
		if to == nil {
			to, _, _ = listener.Accept()
			return false
		}
		if n > 0 {
			k, _ := from.Send(b[:min(n, len(b))], netip.AddrPort{}, 0)
			n -= k
		} else {
			from.Shutdown(syscall.SHUT_WR)
		}
		k, _, _, e := to.Recv(b, 0)
		got += k
		return e == 0 && k == 0
	})
	from.Close()
	to.Close()
	listener.Close()
	return got
}

// ping sends n echo requests, a second apart, and returns how many are answered.
func (l *lan) ping(n int) (answers int) {
	k, _ := l.client.Socket(syscall.SOCK_DGRAM, wire.ProtoICMP)
	defer k.Close()
	for range n {
		k.Send([]byte{wire.ICMPEcho, 7: 1}, netip.MustParseAddrPort("10.0.0.2:0"), 0)
		l.clock.Run(1e9)
		if _, _, _, e := k.Recv(make([]byte, 100), 0); e == 0 {
			answers++
		}
	}
	return answers
}

// Between TCP and IP is a function value. This one counts what passes.
func ExampleStack_Do_count() {
	l := newLAN()
	segments := 0
	l.client.Do(func(b *net.Boxes, _ []*net.Interface) {
		down := b.TCP.Down
		b.TCP.Down = func(p *packet.Packet) {
			segments++
			down(p)
		}
	})
	fmt.Println(l.transfer(1<<20), "bytes")
	l.client.Stats(func(name string, v uint64) {
		if name == "tcp.packets_tx" {
			fmt.Println("all segments are counted:", uint64(segments) == v && segments > 700)
		}
	})
	// Output:
	// 1048576 bytes
	// all segments are counted: true
}

// Between the network card and Ethernet is another one. A link that loses every tenth frame is slow, but TCP delivers.
func ExampleStack_Do_drop() {
	l := newLAN()
	frames, dropped := 0, 0
	l.server.Do(func(_ *net.Boxes, interfaces []*net.Interface) {
		card := &interfaces[0].NIC
		receive := card.Receive
		card.Receive = func(p *packet.Packet) {
			if frames++; frames%10 == 0 {
				dropped++
				p.Release() // who does not hand a packet on gives it back
				return
			}
			receive(p)
		}
	})
	fmt.Println(l.transfer(1<<20), "bytes")
	fmt.Println("every tenth frame was dropped:", dropped == frames/10 && dropped > 70)
	// Output:
	// 1048576 bytes
	// every tenth frame was dropped: true
}

// What answers pings can be taken out while there is traffic, and put back.
func ExampleStack_Do_silence() {
	l := newLAN()
	fmt.Println(l.ping(3), "of 3 answered")
	var echo packet.Handler
	l.server.Do(func(b *net.Boxes, _ []*net.Interface) {
		echo = b.IP4.ToICMP
		b.IP4.ToICMP = (*packet.Packet).Release
	})
	fmt.Println(l.ping(3), "of 3 answered,", l.transfer(100_000), "bytes meanwhile")
	l.server.Do(func(b *net.Boxes, _ []*net.Interface) { b.IP4.ToICMP = echo })
	fmt.Println(l.ping(3), "of 3 answered")
	// Output:
	// 3 of 3 answered
	// 0 of 3 answered, 100000 bytes meanwhile
	// 3 of 3 answered
}

// Rules say the same without code, and can be replaced as easily.
func ExampleStack_SetFilter() {
	l := newLAN()
	err := l.server.SetFilter(&filter.Config{Chains: []filter.Chain{{
		Name: "input", Policy: filter.Accept, Rules: []filter.Rule{
			{Proto: wire.ProtoICMP, Types: []uint8{wire.ICMPEcho}, Limit: filter.Limit{Events: 1, Per: 1e9 * 60, Burst: 2}, Verdict: filter.Accept},
			{Proto: wire.ProtoICMP, Count: "pings", Verdict: filter.Drop},
		},
	}}})
	fmt.Println(l.ping(5), "of 5 answered", err)
	l.server.Stats(func(name string, v uint64) {
		if name == "filter.pings.packets" || name == "ip4.input_dropped" {
			fmt.Println(name, v)
		}
	})
	l.server.SetFilter(nil)
	fmt.Println(l.ping(5), "of 5 answered")
	// Output:
	// 2 of 5 answered <nil>
	// ip4.input_dropped 3
	// filter.pings.packets 3
	// 5 of 5 answered
}
