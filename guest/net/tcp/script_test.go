package tcp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ready"
	"ukvm.dev/guest/net/route"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/wire"
)

// Scripts say, packet by packet, what a connection does; the test is the peer. Each file in testdata/script holds several,
// and each begins with a line
//
//	== name: what it shows (RFC and section)
//
// followed by steps, one a line. Sequence numbers are relative to the initial ones of who sends them. Every packet sent
// must be expected by a line before anything else happens. # begins a comment.
//
//	listen [backlog]           connect                 accept
//	write N [more]             read N | eof | again    peek N
//	shutdown                   close                   abort          closelistener
//	set OPTION [SECONDS|N]     nodelay, cork, keepalive (idle, interval, count), usertimeout, linger, rcvbuf, sndbuf, congestion
//	tso N                      the card segments N bytes by itself    mtu N
//	< FLAGS SEQ:END(LEN) [ack N] [win N] [<options>] [port N]     a packet arrives
//	<& …                       the same, but the next one belongs to the same batch
//	> FLAGS SEQ:END(LEN) [ack N] [win N] [<options>]              a packet is sent; what is left out is not looked at
//	+SECONDS [step]            time passes; with > the packet is sent then, within 2 ms, and none before
//	icmp unreachable|refused|toobig N [seq N]
//	state NAME                 error none|reset|refused|timeout|pipe|unreachable|aborted
//	cwnd N                     congestion window in segments          ssthresh N
//	pipe N                     segments in the network                phase open|fast|slow|reducing
//	events in,out,err,hup,rdhup
//	pending ACCEPT HALF        conns N       waits N
//
// FLAGS are S F R P . (ACK) E (ECE) W (CWR) or 0 for none. ecn N is the field of the IP header. Options are mss N, ws N, sackok, TS val N ecr N (ecr ours: what we last sent; old: what we
// sent before that; first: what we sent with the first data), sack START:END START:END …
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range splitScripts(string(text)) {
			n++
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt")+"/"+s.name, func(t *testing.T) {
				p := newPeer(t)
				for i, step := range s.steps {
					p.at = fmt.Sprintf("%s:%d", file, s.line+1+i)
					p.step(step)
				}
				p.nothing("at the end")
				p.leaks()
			})
		}
	}
	t.Logf("%d scripts", n)
}

type script struct {
	name  string
	line  int
	steps []string
}

func splitScripts(text string) []script {
	var list []script
	for i, line := range strings.Split(text, "\n") {
		if after, ok := strings.CutPrefix(line, "== "); ok {
			name, _, _ := strings.Cut(after, ":")
			list = append(list, script{name: name, line: i + 1})
			continue
		}
		if len(list) > 0 {
			s := &list[len(list)-1]
			s.steps = append(s.steps, line)
		}
	}
	return list
}

// peer is the test's side of a script.
type peer struct {
	t        testing.TB
	at       string
	now      int64
	wheel    timer.Wheel
	pool     packet.Pool
	box      Box
	conn     *Conn
	listener *Listener
	options  Options
	mtu, tso int
	sent     []sent
	raised   ready.Events
	inBatch  bool
	written  int // bytes
	readOff  int

	iss, irs seq    // ours (of the stack) and the peer's
	tsSeen   uint32 // last timestamp the stack sent
	tsOld    uint32 // the one before, if another
	tsFirst  uint32 // the one of the first data
	port     uint16 // of the peer
	ours     uint16 // of the stack
}

type sent struct {
	at      int64
	seq     seq
	ack     seq
	flags   uint8
	tos     uint8
	wnd     int
	len     int
	options wire.TCPOptions
	data    []byte
}

var (
	hostAddr = netip.MustParseAddr("10.0.0.1")
	peerAddr = netip.MustParseAddr("10.0.0.2")
)

func newPeer(t testing.TB) *peer {
	p := &peer{t: t, now: 1000 * second, port: 5000, mtu: 1500, irs: 0x80000000 - 500}
	p.options = DefaultOptions()
	p.wheel.Advance(p.now)
	b := &p.box
	rnd := uint64(88172645463325252)
	b.Random = func() uint64 {
		rnd ^= rnd << 13
		rnd ^= rnd >> 7
		rnd ^= rnd << 17
		return rnd
	}
	b.Now = func() int64 { return p.now }
	b.Wheel, b.Pool = &p.wheel, &p.pool
	b.Busy = func(int) bool { return false }
	b.Route = func(dst, src netip.Addr, link int) (route.Route, error) {
		return route.Route{Link: 2, Source: hostAddr, NextHop: dst, MTU: p.mtu, TSO: p.tso}, nil
	}
	b.Down = p.capture
	b.Congestion = NewReno // its numbers are easy to follow
	b.Limits = Limits{
		Conns: 100, TimeWait: 100, Memory: 64 << 20,
		SendMin: 4096, SendDefault: 1 << 20, SendMax: 4 << 20, ReceiveMin: 4096, ReceiveDefault: 65535, ReceiveMax: 65535,
	}
	return p
}

func (p *peer) fatal(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s: %s", p.at, fmt.Sprintf(format, args...))
}

// capture records what the box sends.
func (p *peer) capture(k *packet.Packet) {
	k.CompleteChecksum()
	sum := wire.Pseudo(k.Src, k.Dst, wire.ProtoTCP, k.Len())
	k.Sum(&sum)
	if sum.Checksum() != 0 {
		p.fatal("sent a wrong checksum")
	}
	h, ok := wire.ParseTCP(k.Bytes())
	if !ok || k.Src != hostAddr || k.Dst != peerAddr {
		p.fatal("sent a malformed segment, or to %v:%d", k.Dst, h.DstPort())
	}
	s := sent{at: p.now, seq: seq(h.Seq()), ack: seq(h.Ack()), flags: h.Flags(), tos: k.TOS, wnd: int(h.Window())}
	s.options.Parse(h.Options())
	p.ours = h.SrcPort()
	if s.flags&wire.SYN != 0 {
		p.iss = s.seq
	}
	if s.options.HasTimestamps {
		if s.options.TSVal != p.tsSeen {
			p.tsOld, p.tsSeen = p.tsSeen, s.options.TSVal
		}
		if len(h) < k.Len() && p.tsFirst == 0 {
			p.tsFirst = p.tsSeen
		}
	}
	s.data = make([]byte, k.Len())
	k.CopyOut(s.data)
	s.data = s.data[len(h):]
	s.len = len(s.data)
	p.sent = append(p.sent, s)
	k.Release()
}

func (s sent) String() string {
	return fmt.Sprintf("%s %d(%d) ack %d win %d %+v", flagString(s.flags), s.seq, s.len, s.ack, s.wnd, s.options)
}

func flagString(f uint8) string {
	var b []byte
	for _, x := range []struct {
		bit  uint8
		name byte
	}{{wire.SYN, 'S'}, {wire.FIN, 'F'}, {wire.RST, 'R'}, {wire.PSH, 'P'}, {wire.ACK, '.'}, {wire.ECE, 'E'}, {wire.CWR, 'W'}} {
		if f&x.bit != 0 {
			b = append(b, x.name)
		}
	}
	if len(b) == 0 {
		return "0"
	}
	return string(b)
}

func (p *peer) flush() {
	p.box.Flush()
}

// advance lets time pass.
func (p *peer) advance(to int64) {
	for {
		next, ok := p.wheel.Next()
		if !ok || next > to {
			break
		}
		p.now = max(p.now, next)
		p.wheel.Advance(p.now)
		p.flush()
	}
	p.now = to
}

func (p *peer) nothing(when string) {
	p.t.Helper()
	if len(p.sent) > 0 {
		s := p.sent[0]
		p.fatal("%s, unexpected packet: seq %d, ack %d: %v", when, s.seq.minus(p.iss), s.ack.minus(p.irs), s)
	}
}

// leaks ends what is left and checks that all memory was accounted for.
func (p *peer) leaks() {
	if p.conn != nil {
		p.conn.Abort()
	}
	if p.listener != nil {
		p.listener.Close()
	}
	if n := p.box.Memory(); n != 0 {
		p.fatal("%d bytes of buffers are still accounted for", n)
	}
}

func (p *peer) step(line string) {
	p.t.Helper()
	line, _, _ = strings.Cut(line, "#")
	f := strings.Fields(line)
	if len(f) == 0 {
		return
	}
	if strings.HasPrefix(f[0], "+") {
		d := p.seconds(f[0][1:])
		if len(f) > 1 && f[1] == ">" {
			start := p.now
			p.nothing("before time passes")
			p.advance(start + d - 2*millisecond)
			p.nothing(fmt.Sprintf("%.3f s too early", float64(start+d-p.now)/second))
			p.advance(start + d + 2*millisecond)
			p.now = start + d
			p.expect(f[2:])
			return
		}
		p.nothing("before time passes")
		p.advance(p.now + d)
		if len(f) > 1 {
			p.step(strings.Join(f[1:], " "))
		}
		return
	}
	switch f[0] {
	case ">":
		p.expect(f[1:])
		return
	case "state", "error", "cwnd", "ssthresh", "pipe", "phase", "pending", "conns", "waits", "events", "spurious-timeouts", "retransmits":
		p.check(f)
		return
	}
	if !p.inBatch {
		p.nothing("before " + line)
	}
	p.inBatch = f[0] == "<&"
	switch f[0] {
	case "<", "<&":
		p.arrives(f)
	default:
		p.call(f)
	}
	if f[0] != "<&" {
		p.flush()
	}
}

func (p *peer) seconds(s string) int64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		p.fatal("%v", err)
	}
	return int64(v * second)
}

func (p *peer) number(f []string, i, otherwise int) int {
	if i >= len(f) {
		return otherwise
	}
	n, err := strconv.Atoi(f[i])
	if err != nil {
		p.fatal("%v", err)
	}
	return n
}

var scriptErrors = map[string]error{
	"none": nil, "reset": ErrReset, "refused": packet.ErrRefused, "timeout": ErrTimeout, "pipe": ErrShut,
	"unreachable": packet.ErrHostUnreachable, "aborted": ErrAborted,
}

func (p *peer) check(f []string) {
	p.t.Helper()
	var got, want any
	switch f[0] {
	case "state":
		got, want = p.conn.State().String(), f[1]
	case "error":
		e, ok := scriptErrors[f[1]]
		if !ok {
			p.fatal("unknown error %s", f[1])
		}
		got, want = p.conn.Err(), e
	case "cwnd":
		got, want = p.conn.cc.Size/p.conn.snd.mss, p.number(f, 1, 0)
	case "ssthresh":
		got, want = p.conn.cc.Threshold/p.conn.snd.mss, p.number(f, 1, 0)
	case "pipe":
		got, want = p.conn.pipe()/p.conn.snd.mss, p.number(f, 1, 0)
	case "phase":
		got, want = []string{open: "open", fast: "fast", slow: "slow", reducing: "reducing"}[p.conn.rec.phase], f[1]
	case "pending":
		a, h := p.listener.Pending()
		got, want = [2]int{a, h}, [2]int{p.number(f, 1, 0), p.number(f, 2, 0)}
	case "conns":
		got, want = p.box.Conns(), p.number(f, 1, 0)
	case "spurious-timeouts":
		got, want = p.box.Stats.SpuriousTimeouts, uint64(p.number(f, 1, 0))
	case "retransmits":
		got, want = p.box.Stats.Retransmits, uint64(p.number(f, 1, 0))
	case "waits":
		got, want = p.box.Waiting(), p.number(f, 1, 0)
	case "events":
		var e ready.Events
		for _, name := range strings.Split(f[1], ",") {
			e |= map[string]ready.Events{
				"in": ready.In, "out": ready.Out, "err": ready.Err, "hup": ready.Hup, "rdhup": ready.RdHup}[name]
		}
		got, want = p.conn.Ready(), e
	}
	if got != want {
		p.fatal("%s is %v, want %v", f[0], got, want)
	}
}

func (p *peer) call(f []string) {
	p.t.Helper()
	c := p.conn
	switch f[0] {
	case "listen":
		n := p.box.New()
		n.Options = p.options
		if err := n.Bind(netip.Addr{}, 80, true, false); err != nil {
			p.fatal("%v", err)
		}
		l, err := n.Listen(p.number(f, 1, 8))
		if err != nil {
			p.fatal("%v", err)
		}
		p.listener, p.ours = l, 80
	case "closelistener":
		p.listener.Close()
		p.listener = nil
	case "connect":
		p.conn = p.box.New()
		p.conn.Options = p.options
		p.conn.Upcall = func(r ready.Events) { p.raised |= r }
		p.port = 80
		if err := p.conn.Connect(netip.AddrPortFrom(peerAddr, 80)); err != nil {
			p.fatal("%v", err)
		}
	case "accept":
		if p.conn = p.listener.Accept(); p.conn == nil {
			p.fatal("nothing to accept")
		}
		p.conn.Upcall = func(r ready.Events) { p.raised |= r }
	case "write":
		n := p.number(f, 1, 0)
		got, err := c.Write(pattern(p.written, n), len(f) > 2)
		p.written += n
		if err != nil || got != n {
			p.fatal("wrote %d, %v", got, err)
		}
	case "read", "peek":
		p.read(f)
	case "shutdown":
		if err := c.CloseWrite(); err != nil {
			p.fatal("%v", err)
		}
	case "close":
		c.Close()
	case "abort":
		c.Abort()
	case "tso":
		p.tso = p.number(f, 1, 0)
	case "mtu":
		p.mtu = p.number(f, 1, 0)
	case "set":
		p.set(f)
	case "icmp":
		p.icmp(f)
	default:
		p.fatal("unknown step %q", f[0])
	}
}

// pattern is what both sides write from an offset on: it tells positions apart.
func pattern(off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(off+i) ^ byte((off+i)>>8)
	}
	return b
}

func (p *peer) read(f []string) {
	p.t.Helper()
	switch f[1] {
	case "eof":
		if n, err := p.conn.Read(make([]byte, 1), false); n != 0 || err != nil {
			p.fatal("read %d, %v", n, err)
		}
	case "again":
		if n, err := p.conn.Read(make([]byte, 1), false); n != 0 || !errors.Is(err, ErrWouldBlock) {
			p.fatal("read %d, %v", n, err)
		}
	default:
		want := p.number(f, 1, 0)
		b := make([]byte, want)
		if n, err := p.conn.Read(b, f[0] == "peek"); n != want || err != nil {
			p.fatal("read %d of %d, %v", n, want, err)
		}
		if string(b) != string(pattern(p.readOff, want)) {
			p.fatal("read wrong bytes")
		}
		if f[0] == "read" {
			p.readOff += want
		}
	}
}

func (p *peer) set(f []string) {
	o := &p.options
	if p.conn != nil {
		o = &p.conn.Options
	}
	switch f[1] {
	case "nodelay":
		o.NoDelay = true
	case "cork":
		o.Cork = p.number(f, 2, 1) != 0
	case "keepalive":
		o.KeepAlive, o.KeepIdle, o.KeepInterval, o.KeepCount = true, p.seconds(f[2]), p.seconds(f[3]), p.number(f, 4, 0)
	case "usertimeout":
		o.UserTimeout = p.seconds(f[2])
	case "linger":
		o.LingerOn, o.Linger = true, p.seconds(f[2])
	case "rcvbuf":
		o.RecvBuffer = p.number(f, 2, 0)
	case "sndbuf":
		o.SendBuffer = p.number(f, 2, 0)
	case "ecn": // of the box
		p.box.ECN = ECNAsk
		if len(f) > 2 && f[2] == "off" {
			p.box.ECN = ECNOff
		}
	case "congestion":
		o.Congestion = CongestionNamed(f[2])
	case "rcvmax": // of the box: lets the window be scaled
		p.box.Limits.ReceiveDefault, p.box.Limits.ReceiveMax = p.number(f, 2, 0), p.number(f, 2, 0)
	case "memory":
		p.box.Limits.Memory = p.number(f, 2, 0)
	case "maxconns":
		p.box.Limits.Conns = p.number(f, 2, 0)
	case "maxwaits":
		p.box.Limits.TimeWait = p.number(f, 2, 0)
	default:
		p.fatal("unknown option %s", f[1])
	}
	if p.conn != nil {
		p.conn.Changed()
	}
}

func (p *peer) icmp(f []string) {
	e := &packet.Failure{Src: hostAddr, Dst: peerAddr, Proto: wire.ProtoTCP}
	switch f[1] {
	case "unreachable":
		e.Err = packet.ErrHostUnreachable
	case "refused":
		e.Err, e.Hard = packet.ErrRefused, true
	case "toobig":
		e.Err, e.MTU = packet.ErrTooBig, p.number(f, 2, 0)
	}
	at := p.iss
	if i := slices.Index(f, "seq"); i > 0 {
		at = p.iss.plus(p.number(f, i+1, 0))
	}
	h := make([]byte, wire.TCPSize)
	wire.TCP(h).Encode(&wire.TCPFields{SrcPort: p.ours, DstPort: p.port, Seq: uint32(at)})
	e.Header = h[:8]
	p.box.Fail(e)
}

const absent = -1 << 40

// described is a packet line taken apart; what was left out is absent.
type described struct {
	flags      uint8
	from, len  int
	ack, wnd   int
	ecn        int
	hasOptions bool
	options    wire.TCPOptions
}

// describe takes a line apart; acked is the initial sequence number of the end whose data it acknowledges.
func (p *peer) describe(f []string, acked seq) described {
	d := described{ack: absent, wnd: absent, ecn: absent}
	for _, x := range f[0] {
		d.flags |= map[rune]uint8{'S': wire.SYN, 'F': wire.FIN, 'R': wire.RST, 'P': wire.PSH, '.': wire.ACK, 'U': wire.URG, 'E': wire.ECE, 'W': wire.CWR}[x]
	}
	var end int
	if _, err := fmt.Sscanf(f[1], "%d:%d(%d)", &d.from, &end, &d.len); err != nil || end-d.from != d.len {
		p.fatal("sequence numbers %q: %v", f[1], err)
	}
	rest := strings.Join(f[2:], " ")
	if i := strings.IndexByte(rest, '<'); i >= 0 {
		d.hasOptions = true
		p.parseOptions(strings.Trim(rest[i:], "<>"), &d.options, acked)
		rest = rest[:i]
	}
	f = strings.Fields(rest)
	for i := 0; i+1 < len(f); i += 2 {
		n := p.number(f, i+1, 0)
		switch f[i] {
		case "ack":
			d.ack = n
		case "win":
			d.wnd = n
		case "ecn":
			d.ecn = n
		case "port":
			p.port = uint16(n)
		default:
			p.fatal("unknown %q", f[i])
		}
	}
	return d
}

func (p *peer) parseOptions(s string, o *wire.TCPOptions, acked seq) {
	for _, opt := range strings.Split(s, ",") {
		f := strings.Fields(opt)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "mss":
			o.MSS = uint16(p.number(f, 1, 0))
		case "ws":
			o.HasScale, o.WindowScale = true, uint8(p.number(f, 1, 0))
		case "sackok":
			o.SACKPermitted = true
		case "sack":
			for _, b := range f[1:] {
				start, end, _ := strings.Cut(b, ":")
				o.SACK[o.SACKs] = wire.SACKBlock{
					Start: uint32(acked.plus(p.number([]string{start}, 0, 0))), End: uint32(acked.plus(p.number([]string{end}, 0, 0))),
				}
				o.SACKs++
			}
		case "TS":
			o.HasTimestamps = true
			if len(f) > 2 {
				o.TSVal = uint32(p.number(f, 2, 0))
			}
			switch {
			case len(f) > 4 && f[4] == "ours":
				o.TSEcr = p.tsSeen
			case len(f) > 4 && f[4] == "old":
				o.TSEcr = p.tsOld
			case len(f) > 4 && f[4] == "first":
				o.TSEcr = p.tsFirst
			case len(f) > 4:
				o.TSEcr = uint32(p.number(f, 4, 0))
			}
		default:
			p.fatal("unknown option %q", opt)
		}
	}
}

// arrives lets a packet arrive.
func (p *peer) arrives(f []string) {
	d := p.describe(f[1:], p.iss)
	k := p.pool.Receive(max(packet.Small, wire.TCPMax+d.len)) // as a driver does
	b := k.Bytes()
	n := wire.TCPSize
	if d.hasOptions {
		if d.flags&wire.SYN != 0 || d.options.MSS != 0 {
			n += d.options.EncodeSyn(b[wire.TCPSize:])
		} else {
			if d.options.HasTimestamps {
				d.options.EncodeTimestamps(b[wire.TCPSize:])
				n += wire.TCPTimestampsSize
			}
			if d.options.SACKs > 0 {
				d.options.EncodeSACK(b[n:])
				n += wire.TCPSACKSize(int(d.options.SACKs))
			}
		}
	}
	if d.wnd == absent {
		d.wnd = 65535
	}
	fields := wire.TCPFields{
		SrcPort: p.port, DstPort: p.ours, Seq: uint32(p.irs.plus(d.from)), Flags: d.flags, Window: uint16(d.wnd),
	}
	if d.ack != absent {
		fields.Ack = uint32(p.iss.plus(d.ack))
	}
	wire.TCP(b[:n]).Encode(&fields)
	copy(b[n:], pattern(d.from-1, d.len))
	k.Truncate(n + d.len)
	sum := wire.Pseudo(peerAddr, hostAddr, wire.ProtoTCP, k.Len())
	k.Sum(&sum)
	wire.TCP(b[:n]).SetChecksum(sum.Checksum())
	k.Src, k.Dst, k.Proto = peerAddr, hostAddr, wire.ProtoTCP
	k.TOS = uint8(max(d.ecn, 0))
	p.box.Receive(k)
}

// blocks shows the SACK blocks of what was sent.
func (p *peer) blocks(o *wire.TCPOptions) string {
	var b strings.Builder
	for _, k := range o.SACK[:o.SACKs] {
		fmt.Fprintf(&b, "%d:%d ", seq(k.Start).minus(p.irs), seq(k.End).minus(p.irs))
	}
	return b.String()
}

// expect checks the next packet sent.
func (p *peer) expect(f []string) {
	p.t.Helper()
	if len(p.sent) == 0 {
		p.fatal("no packet was sent")
	}
	s := p.sent[0]
	p.sent = p.sent[1:]
	d := p.describe(f, p.irs)
	base := p.iss
	if d.flags == wire.RST && s.flags == wire.RST && p.iss == 0 {
		base = 0
	}
	describe := fmt.Sprintf("%s %d:%d(%d) ack %d win %d %+v", flagString(s.flags), s.seq.minus(base),
		s.seq.minus(base)+s.len, s.len, s.ack.minus(p.irs), s.wnd, s.options)
	switch {
	case s.flags != d.flags, s.seq.minus(base) != d.from, s.len != d.len,
		d.ecn != absent && int(s.tos) != d.ecn,
		d.ack != absent && (s.ack.minus(p.irs) != d.ack), d.wnd != absent && s.wnd != d.wnd:
		p.fatal("sent %s", describe)
	}
	if d.hasOptions {
		o := d.options
		if o.HasTimestamps != s.options.HasTimestamps || o.MSS != s.options.MSS || o.HasScale != s.options.HasScale ||
			o.WindowScale != s.options.WindowScale || o.TSEcr != 0 && o.TSEcr != s.options.TSEcr ||
			o.SACKPermitted != s.options.SACKPermitted || o.SACKs != s.options.SACKs || o.SACK != s.options.SACK {
			p.fatal("sent options %+v, blocks %s", s.options, p.blocks(&s.options))
		}
	}
	if s.len > 0 && s.flags&wire.RST == 0 && d.from > 0 {
		if string(s.data) != string(pattern(d.from-1, s.len)) {
			p.fatal("sent wrong bytes")
		}
	}
}
