package ping

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"ukvm.dev/guest/net/dgram"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/wire"
)

// lab is a box of one version and its surroundings.
type lab struct {
	t                  *testing.T
	box                Box
	pool               packet.Pool
	our, peer, other   netip.Addr
	proto, echo, reply uint8
	sent               [][]byte
	last               struct{ ttl, tos uint8 }
}

// both runs a test with each version.
func both(t *testing.T, f func(t *testing.T, l *lab)) {
	for _, v6 := range []bool{false, true} {
		l := &lab{t: t, proto: wire.ProtoICMP, echo: wire.ICMPEcho, reply: wire.ICMPEchoReply}
		name, addrs := "ICMP", "10.0.0."
		if v6 {
			l.proto, l.echo, l.reply = wire.ProtoICMPv6, wire.ICMP6Echo, wire.ICMP6EchoReply
			name, addrs = "ICMPv6", "2001:db8::"
		}
		l.our, l.peer, l.other = netip.MustParseAddr(addrs+"1"), netip.MustParseAddr(addrs+"2"), netip.MustParseAddr(addrs+"3")
		rng := rand.New(rand.NewPCG(1, 1))
		l.box = Box{V6: v6, Random: rng.Uint64, Pool: &l.pool, Down: func(p *packet.Packet) {
			b := make([]byte, p.Len())
			p.CopyOut(b)
			if p.Proto != l.proto || p.Link != 2 {
				l.t.Errorf("sent with protocol %d through %d", p.Proto, p.Link)
			}
			l.last.ttl, l.last.tos = p.TTL, p.TOS
			l.sent = append(l.sent, b)
			p.Release()
		}}
		t.Run(name, func(t *testing.T) { l.t = t; f(t, l) })
	}
}

func (l *lab) open(e *Endpoint) *Endpoint {
	l.t.Helper()
	e.Inbox.Limit = 64 << 10
	if err := l.box.Open(e); err != nil {
		l.t.Fatal(err)
	}
	return e
}

// message makes a message from one address to another, with a right checksum.
func (l *lab) message(src, dst netip.Addr, typ, code uint8, rest uint32, data string) []byte {
	b := append([]byte{typ, code, 0, 0, byte(rest >> 24), byte(rest >> 16), byte(rest >> 8), byte(rest)}, data...)
	var s wire.Sum
	if l.box.V6 {
		s = wire.Pseudo(src, dst, l.proto, len(b))
	}
	s.Add(b)
	sum := s.Checksum()
	b[2], b[3] = byte(sum>>8), byte(sum)
	return b
}

// arrived is a packet as IP hands it up; whole has its IP header, too.
func (l *lab) arrived(src netip.Addr, m []byte) (p *packet.Packet, whole []byte) {
	head := make([]byte, wire.IPv6Size)
	if l.box.V6 {
		wire.IPv6(head).Encode(&wire.IPv6Fields{PayloadLen: len(m), NextHeader: l.proto, HopLimit: 9, Src: src, Dst: l.our})
	} else {
		head = head[:wire.IPv4Size]
		wire.IPv4(head).Encode(&wire.IPv4Fields{TotalLen: len(head) + len(m), TTL: 9, Proto: l.proto, Src: src, Dst: l.our})
	}
	whole = append(head, m...)
	p = l.pool.Receive(len(whole))
	p.Truncate(copy(p.Bytes(), whole))
	p.MarkNetwork()
	p.Trim(len(head))
	p.Src, p.Dst, p.Link, p.Proto, p.TTL = src, l.our, 2, l.proto, 9
	return p, whole
}

func (l *lab) receive(src netip.Addr, m []byte) {
	p, _ := l.arrived(src, m)
	l.box.Receive(p)
}

// TestPing: requests have the socket's identifier, and replies go only to whom they are for.
func TestPing(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		a, b := l.open(&Endpoint{ID: 7, Sending: dgram.Sending{TTL: 5, TOS: 6}}), l.open(&Endpoint{})
		if b.ID == 0 || b.ID == 7 {
			t.Fatalf("identifier %d", b.ID)
		}
		if err := l.box.Open(&Endpoint{ID: 7}); !errors.Is(err, ErrInUse) {
			t.Errorf("an identifier twice: %v", err)
		}
		var events ready.Events
		a.Upcall = func(r ready.Events) { events |= r }
		o := dgram.Options{Src: l.our, Link: 2}
		if err := a.Send(l.message(l.our, l.peer, l.echo, 0, 0x1234_0001, "data"), l.peer, o); err != nil {
			t.Fatal(err)
		}
		if want := l.message(l.our, l.peer, l.echo, 0, 0x0007_0001, "data"); !bytes.Equal(l.sent[0], want) {
			t.Errorf("sent %x, want %x", l.sent[0], want)
		}
		if l.last.ttl != 5 || l.last.tos != 6 {
			t.Errorf("sent with %+v", l.last)
		}
		o.TTL, o.HasTOS = 77, true
		if a.Send(l.message(l.our, l.peer, l.echo, 0, 0, ""), l.peer, o); l.last.ttl != 77 || l.last.tos != 0 {
			t.Errorf("sent with %+v", l.last)
		}
		for _, bad := range [][]byte{nil, {l.echo}, l.message(l.our, l.peer, l.reply, 0, 0, ""), l.message(l.our, l.peer, l.echo, 1, 0, "")} {
			if err := a.Send(bad, l.peer, o); !errors.Is(err, ErrMalformed) {
				t.Errorf("%x: %v", bad, err)
			}
		}
		if err := a.Send(make([]byte, 65536), l.peer, o); !errors.Is(err, packet.ErrTooBig) {
			t.Errorf("64 KiB: %v", err)
		}
		reply := l.message(l.peer, l.our, l.reply, 0, 0x0007_0001, "data")
		l.receive(l.peer, reply)
		if a.Inbox.Len() != 1 || b.Inbox.Len() != 0 || events != ready.In {
			t.Errorf("%d and %d replies, events %#x", a.Inbox.Len(), b.Inbox.Len(), events)
		}
		l.receive(l.peer, l.message(l.peer, l.our, l.reply, 0, 0x0099_0001, "")) // of nobody
		a.Peer, a.Local, a.Link = l.peer, l.our, 2
		l.receive(l.peer, reply)
		l.receive(l.other, reply)
		a.Link = 3
		l.receive(l.peer, reply)
		if a.Inbox.Len() != 2 {
			t.Errorf("%d replies: a connected socket hears its peer only, through its interface", a.Inbox.Len())
		}
		l.box.Fail(&packet.Failure{Src: l.our, Dst: l.other, Header: l.sent[0], Err: packet.ErrHostUnreachable})
		l.box.Fail(&packet.Failure{Src: l.our, Dst: l.peer, Header: reply, Err: packet.ErrHostUnreachable})
		if a.Err != nil {
			t.Errorf("another's failure: %v", a.Err)
		}
		l.box.Fail(&packet.Failure{Src: l.our, Dst: l.peer, Header: l.sent[0], Err: packet.ErrHostUnreachable})
		if a.Err != packet.ErrHostUnreachable || events&ready.Err == 0 {
			t.Errorf("failure: %v", a.Err)
		}
		a.Close()
		a.Close()
		if l.receive(l.peer, reply); l.box.Len() != 1 || a.Inbox.Len() != 0 {
			t.Error("a closed socket is known")
		}
		if l.box.Stats.Dropped != 4 {
			t.Errorf("%+v", l.box.Stats)
		}
	})
}

// TestRaw: raw sockets get copies of all messages but those they have filtered out: ICMP's with the IP header.
func TestRaw(t *testing.T) {
	both(t, func(t *testing.T, l *lab) {
		raw := []*Endpoint{l.open(&Endpoint{Raw: true}), l.open(&Endpoint{Raw: true}), l.open(&Endpoint{Raw: true, Peer: l.our})}
		raw[1].Close() // and raw[2] hears nobody
		for _, m := range [][]byte{
			l.message(l.peer, l.our, l.echo, 0, 1, "x"), l.message(l.peer, l.our, l.reply, 0, 1, ""), l.message(l.peer, l.our, 13, 0, 0, "odd"),
		} {
			p, want := l.arrived(l.peer, m)
			if l.box.V6 {
				want = m
			}
			l.box.Copy(p)
			p.Release()
			q := raw[0].Inbox.Front()
			if q == nil {
				t.Fatal("nothing has come")
			}
			got := make([]byte, q.Len())
			q.CopyOut(got)
			if !bytes.Equal(got, want) || q.TTL != 9 || q.Src != l.peer || raw[1].Inbox.Len()+raw[2].Inbox.Len() != 0 {
				t.Errorf("%x, want %x", got, want)
			}
			raw[0].Inbox.Drop()
		}
		raw[0].Filter[l.echo/32] = 1 << (l.echo % 32)
		for _, typ := range []uint8{l.echo, l.reply} {
			p, _ := l.arrived(l.peer, l.message(l.peer, l.our, typ, 0, 0, ""))
			l.box.Copy(p)
			p.Release()
		}
		if n := raw[0].Inbox.Len(); n != 1 {
			t.Errorf("%d messages through a filter against one of two types", n)
		}
		// What is sent goes as it is, but for ICMPv6's checksum (RFC 3542 §3.1).
		m := l.message(l.our, l.peer, 200, 7, 8, "anything")
		want := bytes.Clone(m)
		if l.box.V6 {
			m[2] ^= 0xff
		}
		if err := raw[0].Send(m, l.peer, dgram.Options{Src: l.our, Link: 2}); err != nil || !bytes.Equal(l.sent[0], want) {
			t.Errorf("%v, sent %x, want %x", err, l.sent, want)
		}
		for n := l.box.Len(); n < MaxEndpoints; n++ {
			l.open(&Endpoint{Raw: n%2 == 0})
		}
		if err := l.box.Open(&Endpoint{}); !errors.Is(err, ErrLimit) {
			t.Errorf("too many: %v", err)
		}
	})
}
