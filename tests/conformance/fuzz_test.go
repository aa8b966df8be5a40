package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/tests/internal/ukvmtest"
)

// FuzzTCP lets a peer that knows the connection's numbers send whatever the input says: segments that are right, nearly
// right or wrong in each of their parts, in batches, with pauses, while the program on our side reads, writes, closes and
// connects. What must hold whatever the peer does is in fuzzer.sent, and at the end nothing may be left.
func FuzzTCP(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 5))
	for n := range 8 {
		f.Add(randomInput(r, 300, n%2 == 0))
	}
	f.Fuzz(func(t *testing.T, input []byte) { fuzz(t, input) })
}

// TestRandomPeers is FuzzTCP with inputs made here, so that every run of the tests tries some thousands.
func TestRandomPeers(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	count := 1000
	if ukvmtest.Soak() {
		count = 50_000
	}
	most := 0
	for n := range count {
		input := randomInput(r, r.IntN(2000), n%2 == 0)
		most += fuzz(t, input)
		if t.Failed() {
			t.Fatalf("input %d: %x", n, input)
		}
	}
	t.Logf("%d bytes were read from %d random peers", most, count)
	if most == 0 {
		t.Error("no connection got as far as data")
	}
}

// randomInput makes an input of n bytes; with right, more in it is right than chance would have it.
func randomInput(r *rand.Rand, n int, right bool) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for i := 0; i < n && right; i += 1 + r.IntN(12) {
		b[i] = byte(r.IntN(4))
	}
	return b
}

// fuzzer is a peer that does what an input says.
type fuzzer struct {
	*host
	input  []byte
	listen *sock
	socks  []*sock
	flows  [2]*view // one the peer opens, one we open
	active *sock    // we open with
	inputs int      // segments that have arrived, and other occasions to send
	read   int
}

// view is a flow as the peer sees it.
type view struct {
	port, ours uint16
	up         bool   // the stack has sent a SYN
	base       uint32 // our ISN: the number before the first byte
	iss        uint32 // the stack's
	top        uint32 // end of what the stack has sent
	next       uint32 // what it has acknowledged
	edge       uint32 // its window's right edge
	edgeKnown  bool
	scale      uint8
	peerScale  uint8
	limit      uint32 // furthest right edge we have given the stack, relative to iss
	ts         uint32 // its last timestamp
	clock      uint32 // ours
}

func fuzz(t testing.TB, input []byte) (read int) {
	z := &fuzzer{host: newHost(t, card{mtu: 1500, memory: 16, ecn: 2}, 0), input: input}
	z.tap = z.sent
	for i := range z.flows {
		z.flows[i] = &view{port: 5000 + uint16(i), ours: 80, base: 0xfffff000, next: 0xfffff000}
	}
	z.flows[1].ours = 9 // nobody's, until we connect
	z.listen, _ = z.socket()
	z.listen.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	z.listen.Listen(2)
	for len(z.input) > 0 && !t.Failed() {
		z.inputs++
		z.step()
		z.clock.Run(0)
	}
	z.deliver()
	for _, k := range z.socks {
		k.Close()
	}
	z.listen.Close()
	z.tap = func(frame) {}
	z.clock.Run(4000 * second)
	if err := z.empty(); err != nil {
		t.Errorf("an hour after the end %v", err)
	}
	return z.read
}

// byte takes a byte of the input.
func (z *fuzzer) byte() int {
	if len(z.input) == 0 {
		return 0
	}
	b := z.input[0]
	z.input = z.input[1:]
	return int(b)
}

// pick takes one of some values, or a random one of 16 bits.
func (z *fuzzer) pick(values ...int) int {
	b := z.byte()
	if b >= 240 {
		return int(int16(z.byte()<<8 | z.byte()))
	}
	return values[b%len(values)]
}

func (z *fuzzer) step() {
	b := z.byte()
	v := z.flows[b>>4&1]
	switch b % 16 {
	case 8:
		z.deliver()
		z.clock.Run(int64(z.pick(1, 5, 40, 200, 1000, 61_000, 3_600_000)&0x3fffff) * millisecond)
	case 9, 10:
		for _, k := range z.socks {
			n := z.pick(1, 100, 1000, 5000) & 0xffff
			n, _ = k.Send(pattern(k.written, n), netip.AddrPort{}, z.pick(0, 0, syscall.MSG_MORE)&syscall.MSG_MORE)
			k.written += max(n, 0)
		}
	case 11:
		z.reads()
	case 12:
		if n := len(z.socks); n > 0 {
			k := z.socks[z.byte()%n]
			switch z.byte() % 4 {
			case 0:
				k.Shutdown(syscall.SHUT_WR)
			case 1:
				k.Shutdown(syscall.SHUT_RD)
			case 2:
				k.SetOption(syscall.SOL_SOCKET, syscall.SO_LINGER, ints(1, z.byte()%3))
			default:
				k.Close()
				z.forget(k)
			}
		}
	case 13:
		z.icmp(v)
	case 14:
		z.open()
	case 15:
		z.options()
	default:
		z.arrive(v)
	}
}

// reads reads from all connections: it must be what the peer has written.
func (z *fuzzer) reads() {
	buf := make([]byte, z.pick(1, 1000, 100_000)&0x1ffff)
	for _, k := range z.socks {
		n, _, _, e := k.Recv(buf, 0)
		if e != 0 || n == 0 {
			continue
		}
		if !bytes.Equal(buf[:n], pattern(k.readAt, n)) {
			z.t.Errorf("read wrong bytes at %d", k.readAt)
		}
		k.readAt += n
		z.read += n
	}
}

// open accepts, or connects.
func (z *fuzzer) open() {
	for {
		k, _, e := z.listen.Accept()
		if e != 0 {
			break
		}
		z.socks = append(z.socks, watch(k))
	}
	if z.byte()%4 == 0 && z.active == nil {
		k, e := z.socket()
		if e != 0 {
			return
		}
		z.active = k
		z.socks = append(z.socks, k)
		z.flows[1].up = false
		k.Connect(netip.AddrPortFrom(peerAddr, z.flows[1].port))
	}
}

// options changes an option of a connection, or how much memory there is for all.
func (z *fuzzer) options() {
	if z.byte()%2 == 0 {
		limit := []int{4 << 20, 4 << 20, 20_000, 1}[z.byte()%4]
		z.Do(func(b *net.Boxes, _ []*net.Interface) { b.TCP.Limits.Memory = limit })
		return
	}
	if n := len(z.socks); n > 0 {
		k := z.socks[z.byte()%n]
		name := []string{"nodelay", "cork", "keepalive", "usertimeout"}[z.byte()%4]
		args := []string{fmt.Sprint(z.byte() % 2)}
		if name == "keepalive" {
			args = []string{"1", "1", "3"}
		}
		for _, o := range options[name].encode(args) {
			k.SetOption(o.level, o.name, o.value)
		}
	}
}

func (z *fuzzer) forget(k *sock) {
	for i := range z.socks {
		if z.socks[i] == k {
			z.socks = append(z.socks[:i], z.socks[i+1:]...)
			break
		}
	}
	if k == z.active {
		z.active = nil
	}
}

// arrive makes a segment arrive, or only puts it into the batch.
func (z *fuzzer) arrive(v *view) {
	f := wire.TCPFields{SrcPort: v.port, DstPort: v.ours}
	f.Flags = uint8(z.pick(wire.ACK, wire.ACK, wire.ACK, wire.ACK|wire.PSH, wire.ACK, wire.ACK, wire.ACK|wire.FIN, wire.SYN, wire.SYN|wire.ACK, wire.RST, wire.RST|wire.ACK, wire.ACK|wire.URG, wire.ACK|wire.ECE, 0))
	n := z.pick(0, 0, 1, 10, 1000, 1448, 1460) & 0xfff
	f.Seq = v.next + uint32(z.pick(0, 0, 0, 0, 0, -1, 1, 10, -10, 1000, -1000, 1460, 2920, n, -n))
	f.Ack = v.top + uint32(z.pick(0, 0, 0, 0, 0, -1, 1, -10, -1000, -1448, int(v.iss-v.top), int(v.iss-v.top)+1))
	f.Window = uint16(z.pick(65535, 65535, 65535, 0, 1, 100, 1000, 5000))
	if f.Flags&wire.SYN != 0 {
		n = 0 // text in a SYN has no place in the stream that the peer's bytes are made for
		if !v.up && z.byte()%4 != 0 || v == z.flows[1] && !v.edgeKnown {
			f.Seq = v.base
		}
	}
	var o []byte
	if f.Flags&wire.SYN != 0 {
		mss := z.pick(1460, 1000, 536, 8, 0)
		o = append(o, 2, 4, byte(mss>>8), byte(mss), 1, 3, 3, 7, 1, 1, 4, 2)
	}
	if kind := z.byte() % 8; kind != 0 {
		v.clock += uint32(z.pick(0, 1, 10, -1, 1000))
		o = append(o, 1, 1, 8, 10)
		o = binary.BigEndian.AppendUint32(o, v.clock)
		o = binary.BigEndian.AppendUint32(o, v.ts+uint32(z.pick(0, 0, 0, 1, -1)))
	}
	if f.Flags&wire.SYN == 0 && z.byte()%4 == 0 {
		o = append(o, 1, 1, 5, 10)
		at := v.top - uint32(z.pick(0, 1448, 2896, 10))
		o = binary.BigEndian.AppendUint32(o, at-uint32(z.pick(0, 1, 1448)))
		o = binary.BigEndian.AppendUint32(o, at)
	}
	var data []byte
	if at := int(int32(f.Seq - v.base - 1)); n > 0 {
		data = pattern(at, n)
	}
	if f.Flags&wire.ACK != 0 {
		edge := f.Ack + uint32(f.Window)<<14 - v.iss // more than any scale makes of it
		if int32(edge-v.limit) > 0 {
			v.limit = edge
		}
	}
	z.segment(peerAddr, f, o, data)
	if z.byte()%4 != 0 || f.Flags&wire.SYN != 0 {
		z.deliver() // what follows a SYN needs the numbers of its answer
	}
}

func (z *fuzzer) icmp(v *view) {
	kind := []string{"host", "port", "toobig", "ttl", "proto"}[z.byte()%5]
	p := peer{host: z.host, port: v.port, flows: map[uint16]*flow{v.port: {ours: v.ours, iss: v.iss}}}
	args := []string{kind}
	if kind == "toobig" {
		args = append(args, fmt.Sprint(z.pick(1500, 1000, 576, 68, 0)&0xffff))
	}
	p.step = &step{args: append(args, "seq", fmt.Sprint(int32(v.top-v.iss)-int32(z.pick(0, 1, 10, 1448))))}
	p.icmp()
}

// sent checks a segment that the stack has sent.
func (z *fuzzer) sent(f frame) {
	var v *view
	for _, x := range z.flows {
		if x.port == f.tcp.DstPort() {
			v = x
		}
	}
	if v == nil || f.dst() != peerAddr {
		z.t.Errorf("sent to %v:%d", f.dst(), f.tcp.DstPort())
		return
	}
	if f.tcp.Flags()&wire.SYN == 0 && f.tcp.SrcPort() != v.ours {
		return // of a connection before
	}
	flags, seq, ack := f.tcp.Flags(), f.tcp.Seq(), f.tcp.Ack()
	if len(f.ip)+len(f.tcp)+len(f.data) > 1500 {
		z.t.Errorf("sent %d bytes", len(f.ip)+len(f.tcp)+len(f.data))
	}
	var o wire.TCPOptions
	o.Parse(f.tcp.Options())
	if flags&wire.SYN != 0 {
		if len(f.data) > 0 || flags&(wire.FIN|wire.RST) != 0 {
			z.t.Errorf("sent a SYN with flags %s and %d bytes", formatFlags(flags), len(f.data))
		}
		if !v.up || seq != v.iss {
			*v = view{port: v.port, ours: f.tcp.SrcPort(), up: true, base: v.base, iss: seq, next: v.base, clock: v.clock}
		}
		v.top = seq + 1
		if v.scale = o.WindowScale; o.HasTimestamps {
			v.ts = o.TSVal
		}
		if flags&wire.ACK != 0 {
			v.base, v.next = ack-1, ack
			v.edge, v.edgeKnown = ack+uint32(f.tcp.Window()), true
		}
		return
	}
	if flags&wire.RST != 0 {
		if len(f.data) > 0 {
			z.t.Errorf("sent a RST with data")
		}
		return
	}
	if flags&wire.ACK == 0 {
		z.t.Errorf("sent %s", formatFlags(flags))
		return
	}
	if !v.up {
		return // of a connection before
	}
	if o.HasTimestamps {
		v.ts = o.TSVal
	}
	if !v.edgeKnown {
		v.next, v.edgeKnown, v.edge = ack, true, ack
	}
	if int32(ack-v.next) < 0 {
		z.t.Errorf("acknowledged %d, then %d", v.next-v.base, ack-v.base)
	}
	v.next = ack
	edge := ack + uint32(f.tcp.Window())<<v.scale
	// A window that is no multiple of the unit is rounded (RFC 7323 §2.4).
	if back := int32(v.edge - edge); back >= 1<<v.scale {
		z.t.Errorf("the window's edge went back by %d", back)
	}
	if int32(edge-v.edge) > 0 {
		v.edge = edge
	}
	end := seq + uint32(len(f.data))
	if n := len(f.data); n > 0 {
		if !bytes.Equal(f.data, pattern(int(int32(seq-v.iss-1)), n)) {
			z.t.Errorf("sent wrong bytes at %d", int32(seq-v.iss))
		}
		if int32(end-v.iss-v.limit) > 0 {
			z.t.Errorf("sent up to %d, beyond all windows, which ended at %d", end-v.iss, v.limit)
		}
	}
	if flags&wire.FIN != 0 {
		end++
	}
	if int32(end-v.top) > 0 {
		v.top = end
	}
}
