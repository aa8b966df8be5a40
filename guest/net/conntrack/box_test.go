package conntrack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"unsafe"

	"ukvm.dev/guest/net/wire"
)

var (
	us     = netip.MustParseAddr("10.0.0.2")
	them   = netip.MustParseAddr("192.0.2.1")
	other  = netip.MustParseAddr("192.0.2.99")
	us6    = netip.MustParseAddr("fd00::2")
	them6  = netip.MustParseAddr("fd00::1")
	other6 = netip.MustParseAddr("fd00::99")
)

func udpPacket(src, dst netip.Addr, srcPort, dstPort uint16) Packet {
	b := make([]byte, 20)
	wire.UDP(b[:8]).Encode(srcPort, dstPort, len(b), 0)
	return Packet{Src: src, Dst: dst, Proto: wire.ProtoUDP, Transport: b, Local: src == us || src == us6}
}

func tcpPacket(src, dst netip.Addr, srcPort, dstPort uint16, flags uint8, seq, ack uint32) Packet {
	b := make([]byte, 20)
	wire.TCP(b).Encode(&wire.TCPFields{SrcPort: srcPort, DstPort: dstPort, Flags: flags, Seq: seq, Ack: ack, Window: 1000})
	return Packet{Src: src, Dst: dst, Proto: wire.ProtoTCP, Transport: b, Local: src == us || src == us6}
}

func icmpPacket(src, dst netip.Addr, typ uint8, id uint16, quote ...byte) Packet {
	b := make([]byte, 8, 8+len(quote))
	wire.ICMP(b).Encode(typ, 0, uint32(id)<<16)
	p := Packet{Src: src, Dst: dst, Proto: wire.ProtoICMP, Transport: append(b, quote...), Local: src == us || src == us6}
	if src.Is6() {
		p.Proto = protoICMPv6
	}
	return p
}

// quoted is a packet as an ICMP error has it.
func quoted(p Packet) []byte {
	var b []byte
	if p.Src.Is4() {
		b = make([]byte, wire.IPv4Size)
		wire.IPv4(b).Encode(&wire.IPv4Fields{TotalLen: 20 + len(p.Transport), Proto: p.Proto, Src: p.Src, Dst: p.Dst})
	} else {
		b = make([]byte, 40)
		b[0], b[6] = 6<<4, p.Proto
		copy(b[8:], p.Src.AsSlice())
		copy(b[24:], p.Dst.AsSlice())
	}
	return append(b, p.Transport...)
}

// TestUDP: answered is connected, and stays so while there are packets.
func TestUDP(t *testing.T) {
	l := newLab(t, 10)
	question, answer := udpPacket(us, them, 4000, 53), udpPacket(them, us, 53, 4000)
	for i, c := range []struct {
		after   int64
		p       Packet
		want    State
		entries int
	}{
		{0, answer, New, 1}, {31, question, New, 1}, {100, answer, Established, 1}, {100, question, Established, 1},
		{179, answer, Established, 1}, {182, answer, New, 1},
		{1, udpPacket(them, us, 54, 4000), New, 2}, {1, udpPacket(other, us, 53, 4000), New, 3},
	} {
		l.time += c.after * second
		if i == 1 && l.Len() != 0 {
			t.Errorf("%d entries", l.Len())
		}
		if s := l.packet(c.p, true); s != c.want || l.Len() != c.entries {
			t.Errorf("step %d: %v, %d entries", i, s, l.Len())
		}
	}
	bad := question
	bad.Len = 19
	if s := l.packet(bad, true); s != Invalid {
		t.Errorf("a length too long: %v", s)
	}
	bad.Transport = bad.Transport[:7]
	if s := l.packet(bad, true); s != Invalid {
		t.Errorf("a short header: %v", s)
	}
}

// TestPing: replies belong to their requests; both ends may use one identifier.
func TestPing(t *testing.T) {
	for _, v := range []struct {
		us, them       netip.Addr
		request, reply uint8
	}{{us, them, 8, 0}, {us, them, 13, 14}, {us6, them6, 128, 129}} {
		l := newLab(t, 10)
		for i, c := range []struct {
			p    Packet
			want State
		}{
			{icmpPacket(v.them, v.us, v.reply, 7), Invalid},
			{icmpPacket(v.us, v.them, v.request, 7), New},
			{icmpPacket(v.us, v.them, v.request, 7), New},
			{icmpPacket(v.us, v.them, v.reply, 7), Invalid},
			{icmpPacket(v.them, v.us, v.reply, 8), Invalid},
			{icmpPacket(v.them, v.us, v.request, 7), New},
			{icmpPacket(v.them, v.us, v.reply, 7), Established},
			{icmpPacket(v.us, v.them, v.request, 7), Established},
			{icmpPacket(v.us, v.them, v.reply, 7), Established},
			{icmpPacket(v.us, v.them, 9, 7), Untracked},
		} {
			if v.us.Is6() && i == 9 {
				c.p = icmpPacket(v.us, v.them, 143, 7)
			}
			if s := l.packet(c.p, true); s != c.want {
				t.Errorf("%v, step %d: %v", v, i, s)
			}
		}
	}
}

// TestErrors: an ICMP error is related to the connection of what it quotes, if that went the right way.
func TestErrors(t *testing.T) {
	for _, v := range []struct {
		us, them, other netip.Addr
		types           []uint8
		echo            uint8
	}{{us, them, other, []uint8{3, 11, 12}, 8}, {us6, them6, other6, []uint8{1, 2, 3, 4}, 128}} {
		l := newLab(t, 10)
		sent := []Packet{udpPacket(v.us, v.them, 4000, 53), tcpPacket(v.us, v.them, 4000, 80, wire.SYN, 1, 0), icmpPacket(v.us, v.them, v.echo, 9)}
		for _, p := range sent {
			l.packet(p, true)
		}
		for _, typ := range v.types {
			for _, p := range sent {
				for _, from := range []netip.Addr{v.them, v.other} { // a router on the way
					if s := l.packet(icmpPacket(from, v.us, typ, 0, quoted(p)...), true); s != Related {
						t.Errorf("type %d from %v about %d: %v", typ, from, p.Proto, s)
					}
				}
				if s := l.packet(icmpPacket(v.them, v.other, typ, 0, quoted(p)...), true); s != Invalid {
					t.Errorf("to somebody else: %v", s)
				}
				q := quoted(p)
				for n := range q[:len(q)-len(p.Transport)+8] {
					if s := l.packet(icmpPacket(v.them, v.us, typ, 0, q[:n]...), true); s != Invalid {
						t.Errorf("%d bytes of a quote: %v", n, s)
					}
				}
			}
			unknown := udpPacket(v.us, v.them, 4001, 53)
			if s := l.packet(icmpPacket(v.them, v.us, typ, 0, quoted(unknown)...), true); s != Invalid {
				t.Errorf("about what was not sent: %v", s)
			}
		}
		if l.Stats.Related == 0 || l.Len() != len(sent) {
			t.Errorf("%+v, %d entries", l.Stats, l.Len())
		}
	}
}

// TestFlood: what has proven nothing makes room, oldest first, and nothing else does.
func TestFlood(t *testing.T) {
	const limit = 1000
	l := newLab(t, limit)
	open := func(i int) {
		port := uint16(i)
		l.packet(tcpPacket(them, us, port, 80, wire.SYN, 1, 0), true)
		l.packet(tcpPacket(us, them, 80, port, wire.SYN|wire.ACK, 1, 2), true)
		l.packet(tcpPacket(them, us, port, 80, wire.ACK, 2, 2), true)
	}
	for i := range limit / 2 {
		open(i)
	}
	dns := udpPacket(us, them, 4000, 53)
	l.packet(dns, true)
	for i := range 10 * limit { // a SYN flood from everywhere
		a := netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)})
		if s := l.Track(ptr(tcpPacket(a, us, 5, 80, wire.SYN, 1, 0))); s != New || !l.Confirm() {
			t.Fatalf("SYN %d: %v", i, s)
		}
	}
	l.check()
	if l.Len() != limit || l.Stats.Evicted != 10*limit-(limit/2-1) {
		t.Errorf("%d entries, %+v", l.Len(), l.Stats)
	}
	for i := range limit / 2 {
		if s := l.packet(tcpPacket(them, us, uint16(i), 80, wire.ACK, 2, 2), true); s != Established {
			t.Fatalf("connection %d is gone: %v", i, s)
		}
	}
	if s := l.packet(udpPacket(them, us, 53, 4000), true); s != Established {
		t.Errorf("the answer to a question asked before the flood: %v", s)
	}
	// A client gets through while the flood goes on, and then the table fills up with the honest.
	for i := limit / 2; i < limit; i++ {
		open(i)
	}
	if s := l.Track(ptr(udpPacket(other, us, 1, 2))); s != New || l.Confirm() {
		t.Errorf("there was room: %v", s)
	}
	if l.Stats.Full != 1 || l.Len() != limit {
		t.Errorf("%d entries, %+v", l.Len(), l.Stats)
	}
	if n := len(l.chunks) * chunkLen * int(unsafe.Sizeof(entry{})); n+4*len(l.buckets) > (limit+2*chunkLen)*EntrySize {
		t.Errorf("%d bytes for %d entries", n+4*len(l.buckets), limit)
	}
	l.Reset()
	if l.Len() != 0 || len(l.chunks) != 0 {
		t.Error("entries after Reset")
	}
	l.packet(dns, true)
}

func ptr(p Packet) *Packet {
	p.Len = len(p.Transport)
	return &p
}

// TestRandom has many connections come and go in all ways.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	l := newLab(t, 200)
	for range 20000 {
		l.time += int64(r.Uint64N(3 * second))
		a := netip.AddrFrom4([4]byte{10, 1, 0, byte(r.UintN(64))})
		src, dst := a, us
		if r.UintN(2) == 0 {
			src, dst = dst, src
		}
		var p Packet
		switch r.UintN(4) {
		case 0:
			p = udpPacket(src, dst, 5, 5)
		case 1:
			p = icmpPacket(src, dst, []uint8{0, 8}[r.UintN(2)], uint16(r.UintN(3)))
		default:
			flags := []uint8{wire.SYN, wire.SYN | wire.ACK, wire.ACK, wire.FIN | wire.ACK, wire.RST, wire.RST | wire.ACK}
			p = tcpPacket(src, dst, 5, 5, flags[r.UintN(6)], r.Uint32N(4), r.Uint32N(4))
		}
		l.packet(p, r.UintN(4) != 0)
	}
	if l.Stats.New == 0 || l.Stats.Expired == 0 || l.Stats.Invalid == 0 {
		t.Errorf("%+v", l.Stats)
	}
}

// FuzzTrack tracks arbitrary packets: nothing breaks, whatever they are.
func FuzzTrack(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLab(t, 20)
		addrs := [...]netip.Addr{us, them, other, us6, them6, other6}
		for len(data) >= 6 {
			n := min(int(data[4]), len(data)-5)
			p := Packet{
				Src: addrs[data[0]%6], Dst: addrs[data[0]/6%6], Proto: [...]uint8{1, 6, 6, 17, 58, data[1]}[data[1]%6],
				Local: data[2]&1 != 0, Transport: data[5 : 5+n], Len: n + int(binary.LittleEndian.Uint16(data[2:]))*2,
			}
			l.time += int64(data[3]) * second / 4
			data = data[5+n:]
			l.packet(p, p.Len&2 == 0)
		}
	})
}

func BenchmarkEstablished(b *testing.B) {
	l := newLab(b, 10000)
	for i := range 5000 {
		l.packetOnly(udpPacket(them, us, uint16(i), 80))
	}
	l.packetOnly(tcpPacket(them, us, 5, 80, wire.SYN, 1, 0))
	l.packetOnly(tcpPacket(us, them, 80, 5, wire.SYN|wire.ACK, 1, 2))
	p := tcpPacket(them, us, 5, 80, wire.ACK, 2, 2)
	p.Len = len(p.Transport)
	b.ReportAllocs()
	for b.Loop() {
		if l.Track(&p) != Established {
			b.Fatal("it is not")
		}
		l.Confirm()
	}
}

// BenchmarkFlood has a new connection take the place of another each time.
func BenchmarkFlood(b *testing.B) {
	l := newLab(b, 10000)
	p := tcpPacket(them, us, 5, 80, wire.SYN, 1, 0)
	p.Len = len(p.Transport)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Src = netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		l.Track(&p)
		l.Confirm()
	}
}

func (l *lab) packetOnly(p Packet) {
	l.Track(ptr(p))
	l.Confirm()
}
