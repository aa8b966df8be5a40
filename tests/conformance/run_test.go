package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
)

const (
	millisecond = 1_000_000
	second      = 1000 * millisecond
	tolerance   = 3 * millisecond // see doc.go
)

// peer runs a script: it is the other end, and the program on ours.
type peer struct {
	*host
	file    string
	step    *step
	isn     uint32 // of all flows of ours
	socks   map[string]*sock
	current *sock
	port    uint16 // of the flow that is meant if none is named
	flows   map[uint16]*flow
}

// flow is what is known of one connection's numbers.
type flow struct {
	ours     uint16
	iss      uint32 // the stack's
	known    bool
	tsFirst  uint32 // of the stack
	tsRecent uint32
	tsKnown  bool
	label    uint32 // IPv6's flow label, and of which peer and port of ours
	labelOf  netip.AddrPort
}

// run runs a script and returns the initial sequence number of the stack's first connection.
func (s *script) run(t testing.TB, file string, isn uint32, start int64) uint32 {
	p := &peer{host: newHost(t, s.card, start), file: file, isn: isn, socks: map[string]*sock{}, port: 5000, flows: map[uint16]*flow{}}
	for i := range s.steps {
		p.step = &s.steps[i]
		p.run()
	}
	p.quiet("at the end")
	var first uint32
	if f := p.flows[p.port]; f != nil {
		first = f.iss
	}
	for _, k := range p.socks {
		k.Close()
	}
	p.tap = func(frame) {}
	p.clock.Run(3600 * second)
	if err := p.empty(); err != nil {
		p.fatal("an hour after the end %v", err)
	}
	return first
}

func (p *peer) fatal(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s:%d: %s: %s", p.file, p.step.line, p.step.text, fmt.Sprintf(format, args...))
}

// flow returns what is known of the flow with a port of the peer.
func (p *peer) flow(port uint16) *flow {
	f := p.flows[port]
	if f == nil {
		f = &flow{ours: 80}
		p.flows[port] = f
	}
	return f
}

// quiet fails if the stack has sent something that was not expected.
func (p *peer) quiet(when string) {
	p.t.Helper()
	if len(p.sent) > 0 {
		p.fatal("%s: unexpected segment, %s", when, p.describe(&p.sent[0]))
	}
}

// describe shows a segment as a script would.
func (p *peer) describe(f *frame) string {
	fl := p.flow(f.tcp.DstPort())
	n := int(int32(f.tcp.Seq() - fl.iss))
	s := fmt.Sprintf("> %s %d:%d(%d)", formatFlags(f.tcp.Flags()), n, n+len(f.data), len(f.data))
	if f.tcp.Flags()&wire.ACK != 0 {
		s += fmt.Sprintf(" ack %d", int32(f.tcp.Ack()-p.isn))
	}
	s += fmt.Sprintf(" win %d port %d", f.tcp.Window(), f.tcp.DstPort())
	var o wire.TCPOptions
	o.Parse(f.tcp.Options())
	return s + fmt.Sprintf(" %+v at %.3f s", o, float64(f.at)/second)
}

// run does a step.
func (p *peer) run() {
	p.t.Helper()
	s := p.step
	if s.verb == ">" {
		p.expect()
		return
	}
	if checks[s.verb] == nil {
		if len(p.batch) == 0 {
			p.quiet("before this")
		}
		if s.delayed {
			p.clock.Run(s.from)
			p.quiet("meanwhile")
		}
	}
	switch {
	case s.verb == "":
	case s.verb == "<":
		p.arrive(s.segment)
		if !s.batched {
			p.deliver()
		}
	case s.verb == "icmp":
		p.icmp()
	case s.verb == "flood":
		for range number(s.args[0]) {
			p.flood++
			p.segment(floodAddr, wire.TCPFields{SrcPort: uint16(p.flood), DstPort: 80, Seq: uint32(p.flood) << 16, Flags: wire.SYN, Window: 1024}, nil, nil)
			p.deliver()
			p.clock.Run(0)
		}
	case checks[s.verb] != nil:
		p.check()
	default:
		p.call()
	}
	p.clock.Run(0)
}

// arrive puts a segment into the card's batch.
func (p *peer) arrive(g *segment) {
	port, src, dst := p.port, p.addr(peerAddr), p.addr(hostAddr)
	if g.port.is {
		port = uint16(g.port.n)
	}
	if g.from.IsValid() {
		src = p.addr(g.from)
	}
	if g.to.IsValid() {
		dst = p.addr(g.to)
	}
	fl := p.flow(port)
	f := wire.TCPFields{
		SrcPort: port, DstPort: fl.ours, Seq: p.isn + uint32(int32(g.seq)), Flags: g.flags, Window: 65535,
	}
	if g.dst.is {
		f.DstPort = uint16(g.dst.n)
	}
	if g.ack.is {
		f.Ack = fl.iss + uint32(int32(g.ack.n))
	}
	if g.win.is {
		f.Window = uint16(g.win.n)
	}
	options := bytes.Clone(g.encoded)
	if g.echoAt >= 0 {
		binary.BigEndian.PutUint32(options[g.echoAt:], fl.tsRecent)
	}
	b := tcp(src, dst, f, options, pattern(g.seq-1, g.len))
	if g.urg.is || g.badoffset || g.cut {
		if g.urg.is {
			binary.BigEndian.PutUint16(b[18:], uint16(g.urg.n))
		}
		if g.badoffset {
			b[12] = 4 << 4
		}
		if g.cut {
			b = b[:18]
		}
		b[16], b[17] = 0, 0
		sum := wire.Pseudo(src, dst, wire.ProtoTCP, len(b))
		sum.Add(b)
		binary.BigEndian.PutUint16(b[16:], sum.Checksum())
	}
	if g.swapped {
		b = tcp(dst, p.addr(floodAddr), f, options, pattern(g.seq-1, g.len))
	}
	if g.badsum {
		b[16] ^= 0x55
	}
	proto := uint8(wire.ProtoTCP)
	if g.behind.is {
		proto, b = uint8(g.behind.n), append([]byte{wire.ProtoTCP, 0, 0, 0, 0, 0, 0, 0}, b...)
		if proto != wire.ProtoFragment {
			b[2], b[3] = 1, 4 // PadN
		}
	}
	p.holdIP(wire.IPv4Fields{Proto: proto, Src: src, Dst: dst, TTL: uint8(g.ttl.n), TOS: uint8(g.tos.n)}, b)
}

// expect takes the next segment that was sent, or waits for it.
func (p *peer) expect() {
	p.t.Helper()
	s, g := p.step, p.step.segment
	start := p.clock.Now()
	if s.delayed {
		p.quiet("before time passes")
		p.clock.RunUntil(s.to+tolerance, func() bool { return len(p.sent) > 0 })
	}
	if len(p.sent) == 0 {
		p.fatal("nothing was sent")
	}
	f := p.sent[0]
	p.sent = p.sent[1:]
	if s.delayed && f.at < start+s.from-millisecond {
		p.fatal("%.3f s too early, %s", float64(start+s.from-f.at)/second, p.describe(&f))
	}
	port, dst := p.port, p.addr(peerAddr)
	if g.port.is {
		port = uint16(g.port.n)
	}
	if g.to.IsValid() {
		dst = p.addr(g.to)
	}
	if f.tcp.DstPort() != port || f.dst() != dst {
		p.fatal("sent to %v:%d, %s", f.dst(), f.tcp.DstPort(), p.describe(&f))
	}
	fl := p.flow(port)
	if err := fl.labelled(&f); err != nil {
		p.fatal("%v: %s", err, p.describe(&f))
	}
	var o wire.TCPOptions
	o.Parse(f.tcp.Options())
	if f.tcp.Flags()&wire.SYN != 0 {
		fl.iss, fl.known, fl.ours = f.tcp.Seq(), true, f.tcp.SrcPort()
	}
	if o.HasTimestamps {
		if !fl.tsKnown {
			fl.tsFirst, fl.tsKnown = o.TSVal, true
		}
		fl.tsRecent = o.TSVal
	}
	if err := p.compare(g, &f, fl, &o); err != nil {
		p.fatal("%v: %s", err, p.describe(&f))
	}
}

// compare compares a segment with what a script wants.
func (p *peer) compare(g *segment, f *frame, fl *flow, o *wire.TCPOptions) error {
	flags := f.tcp.Flags()
	if ecn := uint8(wire.ECE | wire.CWR); g.flags&ecn == 0 && !g.noecn {
		flags &^= ecn
	}
	seq := int(int32(f.tcp.Seq() - fl.iss))
	type pair struct {
		what      string
		is        bool
		got, want any
	}
	ts := int(o.TSVal)
	if g.tsRelative {
		ts = int(o.TSVal - fl.tsFirst)
	}
	for _, c := range []pair{
		{"source port", g.dst.is, int(f.tcp.SrcPort()), g.dst.n},
		{"flags", true, formatFlags(flags), formatFlags(g.flags)},
		{"sequence number", true, seq, g.seq},
		{"length", true, len(f.data), g.len},
		{"ACK", g.ack.is, int(int32(f.tcp.Ack() - p.isn)), g.ack.n},
		{"window", g.win.is, int(f.tcp.Window()), g.win.n},
		{"urgent pointer", true, int(binary.BigEndian.Uint16(f.tcp[18:])), g.urg.n},
		{"TTL", g.ttl.is, int(f.ttl()), g.ttl.n},
		{"TOS", g.tos.is, int(f.tos()), g.tos.n},
		{"DF", g.df || g.nodf, f.df(), g.df},
		{"MSS", g.mss.is, int(o.MSS), g.mss.n},
		{"window scale present", g.ws.is, o.HasScale, true},
		{"window scale", g.ws.is, int(o.WindowScale), g.ws.n},
		{"timestamps", g.ts, o.HasTimestamps, true},
		{"SACK permitted", g.sackok, o.SACKPermitted, true},
		{"echoed timestamp", g.tsEcr.is, int(o.TSEcr), g.tsEcr.n},
	} {
		if c.is && c.got != c.want {
			return fmt.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if d := ts - g.tsVal.n; g.tsVal.is && (d < -1 || d > 3) {
		return fmt.Errorf("timestamp is %d, want %d", ts, g.tsVal.n)
	}
	for _, name := range g.no {
		if map[string]bool{"mss": o.MSS != 0, "ws": o.HasScale, "sackok": o.SACKPermitted, "TS": o.HasTimestamps}[name] {
			return fmt.Errorf("there is a %s option", name)
		}
	}
	if len(f.data) > 0 && !bytes.Equal(f.data, pattern(g.seq-1, g.len)) {
		return fmt.Errorf("wrong bytes")
	}
	return nil
}

// icmps are the kinds of ICMP errors, as type and code.
var icmps = map[string][2]uint8{
	"net":    {wire.ICMPUnreachable, wire.UnreachNet},
	"host":   {wire.ICMPUnreachable, wire.UnreachHost},
	"proto":  {wire.ICMPUnreachable, wire.UnreachProto},
	"port":   {wire.ICMPUnreachable, wire.UnreachPort},
	"toobig": {wire.ICMPUnreachable, wire.UnreachNeedFrag},
	"admin":  {wire.ICMPUnreachable, wire.UnreachAdminProto},
	"quench": {wire.ICMPSourceQuench, 0},
	"ttl":    {wire.ICMPTimeExceeded, 0},
}

func (p *peer) icmp() {
	args := p.step.args
	kind, mtu, seq := icmps[args[0]], 0, 0
	args0 := args[0]
	if args[0] == "toobig" {
		mtu = number(args[1])
		args = args[1:]
	}
	if len(args) > 2 {
		seq = number(args[2])
	}
	fl := p.flow(p.port)
	if p.six {
		p.icmp6(args0, mtu, seq, fl)
		return
	}
	quote := ip(wire.IPv4Fields{Proto: wire.ProtoTCP, Src: hostAddr, Dst: peerAddr}, tcp(hostAddr, peerAddr, wire.TCPFields{
		SrcPort: fl.ours, DstPort: p.port, Seq: fl.iss + uint32(int32(seq)), Flags: wire.ACK,
	}, nil, nil)[:8])
	b := make([]byte, wire.ICMPSize+len(quote))
	h := wire.ICMP(b[:wire.ICMPSize])
	h.Encode(kind[0], kind[1], uint32(mtu))
	copy(b[wire.ICMPSize:], quote)
	h.SetChecksum(wire.Checksum(b))
	p.hold(wire.TypeIPv4, ip(wire.IPv4Fields{Proto: wire.ProtoICMP, Src: netip.MustParseAddr("10.0.0.254"), Dst: hostAddr}, b))
	p.deliver()
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("BUG: the parser let through " + s)
	}
	return n
}

// sock returns the socket a step is about.
func (p *peer) sock() *sock {
	p.t.Helper()
	k := p.current
	if name := p.step.socket; name != "" {
		k = p.socks[name]
	}
	if k == nil {
		p.fatal("there is no such socket")
	}
	return k
}

// make makes a socket with a name.
func (p *peer) make(name string, k *sock) *sock {
	p.t.Helper()
	if p.socks[name] != nil {
		p.fatal("a second socket %s", name)
	}
	if k == nil {
		var e syscall.Errno
		if k, e = p.socket(); e != 0 {
			p.fatal("socket: %v", e)
		}
	}
	p.socks[name], p.current = k, k
	return k
}

// named returns the socket with the step's name, or the one that was not used for anything yet, or a new one.
func (p *peer) named(otherwise string) *sock {
	p.t.Helper()
	name := p.step.socket
	if name == "" {
		name = otherwise
	}
	if k := p.socks[name]; k != nil && p.step.socket != "" {
		return k
	}
	if k := p.socks["new"]; k != nil && p.step.socket == "" {
		delete(p.socks, "new")
		p.socks[name], p.current = k, k
		return k
	}
	return p.make(name, nil)
}

// call does what the program does.
func (p *peer) call() {
	p.t.Helper()
	s := p.step
	var (
		e    syscall.Errno
		n    int
		want = s.result
	)
	switch s.verb {
	case "socket":
		p.make(s.args[0], nil)
	case "listen":
		k := p.named("l")
		if a, _ := k.Name(false); a.Port() == 0 {
			if e = k.Bind(p.endpoint(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))); e != 0 {
				break
			}
		}
		backlog := 8
		if len(s.args) > 0 {
			backlog = number(s.args[0])
		}
		e = k.Listen(backlog)
	case "connect":
		port := 80
		if len(s.args) > 0 {
			port = number(s.args[0])
		}
		k := p.named("c")
		p.port = uint16(port)
		e = k.Connect(netip.AddrPortFrom(p.addr(peerAddr), uint16(port)))
		if e == syscall.EINPROGRESS && want == "" {
			e = 0
		}
		if a, _ := k.Name(false); a.Port() != 0 {
			p.flow(p.port).ours = a.Port()
		}
	case "accept":
		l, name := p.socks["l"], "c"
		if s.socket != "" {
			l = p.socks[s.socket]
		}
		if len(s.args) > 0 {
			name = s.args[0]
		}
		if l == nil {
			p.fatal("there is no listener")
		}
		k, _, err := l.Accept()
		if e = err; e == 0 {
			p.make(name, watch(k))
		}
	case "bind":
		k := p.current
		if s.socket == "" && (k == nil || k == p.socks["l"]) {
			k = p.make("new", nil)
		} else if s.socket != "" {
			k = p.named(s.socket)
		}
		a, _ := endpoint(s.args[0])
		e = k.Bind(p.endpoint(a))
	case "write":
		k := p.sock()
		flags := 0
		if len(s.args) > 1 {
			flags = syscall.MSG_MORE
		}
		size := number(s.args[0])
		n, e = k.Send(pattern(k.written, size), netip.AddrPort{}, flags)
		k.written += n
		if want == "" && e == 0 && n != size {
			p.fatal("wrote %d", n)
		}
	case "read", "peek", "discard":
		n, e = p.read()
	case "shutdown":
		e = p.sock().Shutdown(map[string]int{"rd": syscall.SHUT_RD, "wr": syscall.SHUT_WR, "rdwr": syscall.SHUT_RDWR}[s.args[0]])
	case "close":
		e = p.sock().Close()
	case "set":
		k := p.current
		if s.socket != "" {
			k = p.socks[s.socket]
		}
		if k == nil {
			k = p.make("new", nil)
		}
		for _, v := range options[s.args[0]].encode(s.args[1:]) {
			if e = k.SetOption(p.option(v)); e != 0 {
				break
			}
		}
	default:
		p.fatal("BUG: nobody does this")
	}
	switch {
	case want == "" && e != 0:
		p.fatal("%v", e)
	case want != "" && errnos[want] != e:
		p.fatal("%v, want %s", e, want)
	case want != "" && e == 0 && number(want) != n:
		p.fatal("returned %d", n)
	}
}

func (p *peer) read() (int, syscall.Errno) {
	p.t.Helper()
	s, k := p.step, p.sock()
	if s.args[0] == "eof" {
		n, _, _, e := k.Recv(make([]byte, 1), 0)
		if n != 0 || e != 0 {
			p.fatal("%d bytes, %v", n, e)
		}
		return 0, 0
	}
	b := make([]byte, number(s.args[0]))
	flags := map[string]int{"read": 0, "peek": syscall.MSG_PEEK, "discard": syscall.MSG_TRUNC}[s.verb]
	n, _, _, e := k.Recv(b, flags)
	if s.verb != "discard" && !bytes.Equal(b[:n], pattern(k.readAt, n)) {
		p.fatal("wrong bytes")
	}
	if s.verb != "peek" {
		k.readAt += n
	}
	if s.result == "" && e == 0 && n != len(b) {
		p.fatal("%d bytes", n)
	}
	return n, e
}

var events = map[string]posix.Events{
	"in": posix.EventIn, "out": posix.EventOut, "err": posix.EventErr, "hup": posix.EventHup, "rdhup": posix.EventRdHup,
}

// checks look without touching: what has been sent may still wait to be expected.
var checks = map[string]func(p *peer, args []string) (got, want any){
	"state": func(p *peer, args []string) (any, any) { return states[p.info()[0]], args[0] },
	"info": func(p *peer, args []string) (any, any) {
		want, _ := strconv.ParseFloat(args[1], 64)
		if args[0] == "pmtu" {
			want += float64(p.shift())
		}
		got := infos[args[0]](p.info())
		if math.Abs(got-want) < 0.0025 {
			got = want // times have the timers' grain
		}
		return got, want
	},
	"error": func(p *peer, args []string) (any, any) {
		b := make([]byte, 4)
		p.sock().Option(syscall.SOL_SOCKET, syscall.SO_ERROR, b)
		return syscall.Errno(binary.LittleEndian.Uint32(b)), errnos[args[0]]
	},
	"events": func(p *peer, args []string) (any, any) {
		var want posix.Events
		for _, name := range strings.Split(args[0], ",") {
			want |= events[name]
		}
		return p.sock().level, want
	},
	"stat": func(p *peer, args []string) (any, any) {
		v, ok := p.stat(args[0])
		if !ok {
			p.fatal("there is no such counter")
		}
		return int(v), number(args[1])
	},
	"conns": func(p *peer, args []string) (any, any) {
		v, _ := p.stat("tcp.connections")
		return int(v), number(args[0])
	},
	"timewait": func(p *peer, args []string) (any, any) {
		v, _ := p.stat("tcp.time_wait")
		return int(v), number(args[0])
	},
}

func (p *peer) check() {
	p.t.Helper()
	if p.step.delayed {
		p.quiet("before this")
		p.clock.Run(p.step.from)
		p.quiet("meanwhile")
	}
	if got, want := checks[p.step.verb](p, p.step.args); got != want {
		p.fatal("it is %v", got)
	}
}

// info is struct tcp_info.
func (p *peer) info() []byte {
	p.t.Helper()
	b := make([]byte, 256)
	n, e := p.sock().Option(syscall.IPPROTO_TCP, syscall.TCP_INFO, b)
	if e != 0 || n < 104 {
		p.fatal("TCP_INFO: %d bytes, %v", n, e)
	}
	return b
}

// infos are fields of struct tcp_info (include/uapi/linux/tcp.h); times in seconds.
var infos = map[string]func([]byte) float64{
	"retransmits": func(b []byte) float64 { return float64(b[2]) },
	"backoff":     func(b []byte) float64 { return float64(b[4]) },
	"rto":         func(b []byte) float64 { return field(b, 8) / 1e6 },
	"mss":         func(b []byte) float64 { return field(b, 16) },
	"unacked":     func(b []byte) float64 { return field(b, 24) },
	"pmtu":        func(b []byte) float64 { return field(b, 60) },
	"rtt":         func(b []byte) float64 { return field(b, 68) / 1e6 },
	"rttvar":      func(b []byte) float64 { return field(b, 72) / 1e6 },
	"ssthresh":    func(b []byte) float64 { return field(b, 76) },
	"cwnd":        func(b []byte) float64 { return field(b, 80) },
	"total":       func(b []byte) float64 { return field(b, 100) },
}

func field(b []byte, at int) float64 { return float64(binary.LittleEndian.Uint32(b[at:])) }
