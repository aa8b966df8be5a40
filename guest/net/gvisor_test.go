package net

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	stdnet "net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/hypercall"
)

// peers is one of our stacks and one of gVisor's on a link, in real time: gVisor's netstack is the independent opinion on
// all our protocols.
type peers struct {
	t     *testing.T
	us    *host // 10.0.0.1
	them  *stack.Stack
	addr  netip.Addr // 10.0.0.2
	link  *channel.Endpoint
	drop  func(frame []byte) bool // of what we send
	loss  atomic.Uint32           // of what they send, in a thousand
	mu    sync.Mutex
	queue chan []byte
}

const nicID = 1

func newPeers(t *testing.T) *peers {
	t.Helper()
	p := &peers{t: t, addr: netip.MustParseAddr("10.0.0.2"), queue: make(chan []byte, 4096)}
	p.them = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	p.link = channel.New(4096, 1500, tcpip.LinkAddress("\x02\x00\x00\x00\x00\x02"))
	if err := p.them.CreateNIC(nicID, ethernet.New(p.link)); err != nil {
		t.Fatal(err)
	}
	prefix := tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(p.addr.As4()), PrefixLen: 24}
	if err := p.them.AddProtocolAddress(nicID, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: prefix},
		stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	p.them.SetRouteTable([]tcpip.Route{{Destination: prefix.Subnet(), NIC: nicID}})

	p.us = &host{Stack: New(Config{}), addr: netip.MustParseAddr("10.0.0.1")}
	i, err := p.us.AddCard(Card{
		Name: "eth0", MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Features: offload,
		Transmit: func(k *packet.Packet) bool {
			for _, f := range nettest.Frames(k) {
				if p.drop != nil && p.drop(f) {
					continue
				}
				select {
				case p.queue <- f:
				default:
				}
			}
			k.Release()
			return true
		},
		Flush: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.us.iface = i
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Add(2)
	go func() {
		defer running.Done()
		for {
			select {
			case f := <-p.queue:
				pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(f)})
				p.link.InjectInbound(0, pkt)
				pkt.DecRef()
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		defer running.Done()
		var batch []*packet.Packet
		r := rand.New(rand.NewPCG(2, 2))
		for {
			pkt := p.link.ReadContext(ctx)
			if pkt == nil {
				return
			}
			for ; pkt != nil; pkt = p.link.Read() {
				if r.Uint32N(1000) < p.loss.Load() {
					pkt.DecRef()
					continue
				}
				v := pkt.ToView()
				k := p.us.Pool().Receive(v.Size())
				k.Truncate(copy(k.Bytes(), v.AsSlice()))
				v.Release()
				pkt.DecRef()
				if batch = append(batch, k); len(batch) == 64 {
					break
				}
			}
			i.Receive(batch)
			batch = batch[:0]
		}
	}()
	t.Cleanup(func() {
		stop()
		running.Wait()
		p.them.Destroy()
	})
	if err := i.Configure(hypercall.NetConfig{Addr: p.us.addr.As4(), Prefix: 24}); err != nil {
		t.Fatal(err)
	}
	return p
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}

// pairs returns a connection each way: [ours, theirs], dialled by us, and dialled by them.
func (p *peers) pairs() (pairs [2][2]stdnet.Conn) {
	p.t.Helper()
	theirs, err := gonet.ListenTCP(p.them, full(netip.AddrPortFrom(p.addr, 80)), ipv4.ProtocolNumber)
	if err != nil {
		p.t.Fatal(err)
	}
	defer theirs.Close()
	accepted := make(chan stdnet.Conn, 1)
	go func() {
		c, err := theirs.Accept()
		if err != nil {
			p.t.Error(err)
		}
		accepted <- c
	}()
	c, err := p.us.dial(netip.AddrPortFrom(p.addr, 80))
	if err != nil {
		p.t.Fatal(err)
	}
	pairs[0] = [2]stdnet.Conn{c, <-accepted}
	ours := p.us.listenOn(p.t, 8080)
	defer ours.Close()
	go func() {
		c, err := ours.Accept()
		if err != nil {
			p.t.Error(err)
		}
		accepted <- c
	}()
	g, err := gonet.DialTCP(p.them, full(netip.AddrPortFrom(p.us.addr, 8080)), ipv4.ProtocolNumber)
	if err != nil {
		p.t.Fatal(err)
	}
	pairs[1] = [2]stdnet.Conn{<-accepted, g}
	return pairs
}

// closeWriter is what both sides' connections are.
type closeWriter interface{ CloseWrite() error }

// exchange sends size random bytes each way at once, half-closes, and compares hashes.
func exchange(t *testing.T, a, b stdnet.Conn, size int) {
	t.Helper()
	var wg sync.WaitGroup
	sums := make([][]byte, 4)
	for i, c := range []stdnet.Conn{a, b} {
		wg.Add(2)
		go func() {
			defer wg.Done()
			h := sha256.New()
			r := rand.NewChaCha8([32]byte{byte(i)})
			w := io.MultiWriter(c, h)
			if _, err := io.CopyN(w, r, int64(size)); err != nil {
				t.Errorf("side %d: write: %v", i, err)
			}
			if err := c.(closeWriter).CloseWrite(); err != nil {
				t.Errorf("side %d: close: %v", i, err)
			}
			sums[2*i] = h.Sum(nil)
		}()
		go func() {
			defer wg.Done()
			h := sha256.New()
			n, err := io.Copy(h, c)
			if err != nil || n != int64(size) {
				t.Errorf("side %d: read %d of %d: %v", i, n, size, err)
			}
			sums[2*i+1] = h.Sum(nil)
		}()
	}
	wg.Wait()
	if !bytes.Equal(sums[0], sums[3]) || !bytes.Equal(sums[1], sums[2]) {
		t.Error("what arrived is not what was sent")
	}
	a.Close()
	b.Close()
}

func TestGvisorTransfer(t *testing.T) {
	p := newPeers(t)
	for i, pair := range p.pairs() {
		t.Run([]string{"we dial", "they dial"}[i], func(t *testing.T) { exchange(t, pair[0], pair[1], 8<<20) })
	}
}

func TestGvisorLossy(t *testing.T) {
	p := newPeers(t)
	pairs := p.pairs()
	for _, pair := range pairs {
		if !pair[0].(*conn).Socket.(*stream).conn.Info().SACK {
			t.Error("SACK was not negotiated")
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	p.us.mu.Lock() // Transmit, which calls drop, is called with it held
	p.drop = func([]byte) bool { return r.Float64() < 0.01 }
	p.us.mu.Unlock()
	p.loss.Store(10)
	for _, pair := range pairs {
		exchange(t, pair[0], pair[1], 4<<20)
	}
	p.us.mu.Lock()
	defer p.us.mu.Unlock()
	s := &p.us.boxes.TCP.Stats
	if s.Retransmits == 0 || s.FastRecoveries == 0 || s.OutOfOrder == 0 {
		t.Errorf("nothing was lost: %+v", s)
	}
	t.Logf("%d segments, %d repeated, %d recoveries, %d timeouts, %d probes", s.PacketsTx, s.Retransmits, s.FastRecoveries, s.Timeouts, s.TailProbes)
}

func TestGvisorHalfClose(t *testing.T) {
	p := newPeers(t)
	for _, pair := range p.pairs() {
		for _, ends := range [][2]stdnet.Conn{{pair[0], pair[1]}, {pair[1], pair[0]}} {
			first, second := ends[0], ends[1]
			if ends[0] == pair[0] {
				// The first direction is closed and says so; the other still works, both ways round.
				if _, err := first.Write([]byte("question")); err != nil {
					t.Fatal(err)
				}
				if err := first.(closeWriter).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(second); err != nil || string(b) != "question" {
					t.Fatalf("%q, %v", b, err)
				}
			}
		}
		if _, err := pair[1].Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		pair[1].Close()
		if b, err := io.ReadAll(pair[0]); err != nil || string(b) != "answer" {
			t.Fatalf("%q, %v", b, err)
		}
		pair[0].Close()
	}
}

func TestGvisorReset(t *testing.T) {
	p := newPeers(t)
	pairs := p.pairs()
	// They reset: SO_LINGER 0 is not reachable through gonet, closing with unread data is.
	ours, theirs := pairs[0][0].(*conn), pairs[0][1]
	if _, err := ours.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(theirs, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if n, err := ours.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v", n, err)
	}
	ours.Close()
	// We reset.
	ours, theirs = pairs[1][0].(*conn), pairs[1][1]
	if e := ours.SetOption(solSocket, soLinger, []byte{1, 0, 0, 0, 0, 0, 0, 0}); e != 0 {
		t.Fatal(e)
	}
	ours.Close()
	if n, err := theirs.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("they read %d, %v", n, err)
	}
	theirs.Close()
	// Nobody listens.
	if _, err := p.us.dial(netip.AddrPortFrom(p.addr, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
	if _, err := gonet.DialTCP(p.them, full(netip.AddrPortFrom(p.us.addr, 9)), ipv4.ProtocolNumber); err == nil {
		t.Error("they reached a port nobody has")
	}
}

// TestGvisorShortConnections makes a thousand connections, some at a time, from both sides.
func TestGvisorShortConnections(t *testing.T) {
	p := newPeers(t)
	serve := func(l stdnet.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 16)
				if n, err := io.ReadFull(c, b); err == nil {
					c.Write(b[:n])
				}
			}()
		}
	}
	theirs, err := gonet.ListenTCP(p.them, full(netip.AddrPortFrom(p.addr, 80)), ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	ours := p.us.listenOn(t, 80)
	defer ours.Close()
	go serve(theirs)
	go serve(ours)
	one := func(i int) error {
		var c stdnet.Conn
		var err error
		if i%2 == 0 {
			c, err = p.us.dial(netip.AddrPortFrom(p.addr, 80))
		} else {
			c, err = gonet.DialTCP(p.them, full(netip.AddrPortFrom(p.us.addr, 80)), ipv4.ProtocolNumber)
		}
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		want := fmt.Appendf(nil, "%016d", i)
		if _, err := c.Write(want); err != nil {
			return err
		}
		b := make([]byte, 17)
		n, err := io.ReadFull(c, b)
		if err != io.ErrUnexpectedEOF || !bytes.Equal(b[:n], want) {
			return fmt.Errorf("%q, %v", b[:n], err)
		}
		return nil
	}
	var wg sync.WaitGroup
	work := make(chan int)
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range work {
				if err := one(i); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		}()
	}
	for i := range 1000 {
		work <- i
	}
	close(work)
	wg.Wait()
}

func TestGvisorUDP(t *testing.T) {
	p := newPeers(t)
	ours := p.us.udp(t, 53)
	defer ours.Close()
	us := full(netip.AddrPortFrom(p.us.addr, 53))
	theirs, err := gonet.DialUDP(p.them, nil, &us, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	theirs.SetDeadline(time.Now().Add(20 * time.Second))
	for _, n := range []int{0, 1, 100, 1472, 1473, 9216, 60000} { // the last three in fragments
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 11)
		}
		if _, err := theirs.Write(want); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		b := make([]byte, 65536)
		k, from, err := ours.ReadFrom(b)
		if err != nil || !bytes.Equal(b[:k], want) {
			t.Fatalf("%d bytes: got %d, %v", n, k, err)
		}
		if err := ours.WriteTo(b[:k], from); err != nil {
			t.Fatalf("%d bytes back: %v", n, err)
		}
		if k, err := theirs.Read(b); err != nil || !bytes.Equal(b[:k], want) {
			t.Fatalf("%d bytes back: got %d, %v", n, k, err)
		}
	}
}

// TestGvisorPing pings both ways.
func TestGvisorPing(t *testing.T) {
	p := newPeers(t)
	for _, n := range []int{8, 64, 1480, 4000} {
		k, e := p.us.Socket(sockDgram, wire.ProtoICMP)
		if e != 0 {
			t.Fatal(e)
		}
		c := blocking(k)
		m := make([]byte, n)
		wire.ICMP(m[:8]).Encode(wire.ICMPEcho, 0, 7)
		if err := c.WriteTo(m, netip.AddrPortFrom(p.addr, 0)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		got, from, err := c.ReadFrom(b)
		if err != nil || from.Addr() != p.addr || got != n || b[0] != wire.ICMPEchoReply || !bytes.Equal(b[8:got], m[8:]) {
			t.Fatalf("%d bytes: %d from %v: %v", n, got, from, err)
		}
		c.Close()

		var wq waiter.Queue
		ep, terr := p.them.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &wq)
		if terr != nil {
			t.Fatal(terr)
		}
		entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents)
		wq.EventRegister(&entry)
		to := full(netip.AddrPortFrom(p.us.addr, 0))
		if _, terr := ep.Write(bytes.NewReader(m), tcpip.WriteOptions{To: &to}); terr != nil {
			t.Fatal(terr)
		}
		<-readable
		var w bytes.Buffer
		if _, terr := ep.Read(&w, tcpip.ReadOptions{}); terr != nil || !bytes.Equal(w.Bytes()[8:], m[8:]) || w.Bytes()[0] != 0 {
			t.Fatalf("their ping of %d bytes: %x, %v", n, w.Bytes(), terr)
		}
		ep.Close()
	}
}

// TestGvisorUnreachable sends datagrams to ports nobody has.
func TestGvisorUnreachable(t *testing.T) {
	p := newPeers(t)
	k, e := p.us.Socket(sockDgram, 0)
	if e != 0 {
		t.Fatal(e)
	}
	c := blocking(k)
	defer c.Close()
	if e := c.Connect(netip.AddrPortFrom(p.addr, 9)); e != 0 {
		t.Fatal(e)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("read %d, %v", n, err)
	}
	var wq waiter.Queue
	ep, terr := p.them.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &wq)
	if terr != nil {
		t.Fatal(terr)
	}
	defer ep.Close()
	entry, failed := waiter.NewChannelEntry(waiter.EventErr)
	wq.EventRegister(&entry)
	if terr := ep.Connect(full(netip.AddrPortFrom(p.us.addr, 9))); terr != nil {
		t.Fatal(terr)
	}
	if _, terr := ep.Write(bytes.NewReader([]byte("x")), tcpip.WriteOptions{}); terr != nil {
		t.Fatal(terr)
	}
	<-failed
	if _, terr := ep.Read(io.Discard, tcpip.ReadOptions{}); terr == nil || terr.String() != (&tcpip.ErrConnectionRefused{}).String() {
		t.Errorf("they read: %v", terr)
	}
}
