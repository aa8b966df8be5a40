package conntrack

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"ukvm.dev/guest/net/wire"
)

// lab is a box with a clock.
type lab struct {
	Box
	t    testing.TB
	time int64
	line string
}

func newLab(t testing.TB, limit int) *lab {
	l := &lab{t: t, time: 1e15}
	x := uint64(0)
	l.Now = func() int64 { return l.time }
	l.Random = func() uint64 { x += 0x9e3779b97f4a7c15; return x * x }
	l.Max = limit
	return l
}

// packet tracks a packet, and confirms it if told so.
func (l *lab) packet(p Packet, confirm bool) State {
	l.t.Helper()
	if p.Len == 0 {
		p.Len = len(p.Transport)
	}
	s := l.Track(&p)
	if confirm && s != Invalid && !l.Confirm() {
		l.t.Errorf("%s: no room", l.line)
	}
	l.check()
	return s
}

// check sees that buckets, queues and counts agree.
func (l *lab) check() {
	l.t.Helper()
	hashed := map[index]bool{}
	for n, i := range l.buckets {
		for ; i != 0; i = l.at(i).next {
			if hashed[i] || l.hash(&l.at(i).key)&uint32(len(l.buckets)-1) != uint32(n) {
				l.t.Fatalf("entry %d is in the wrong bucket, or twice", i)
			}
			hashed[i] = true
		}
	}
	queued := 0
	for q := range l.queues {
		before := index(0)
		for i := l.queues[q].oldest; i != 0; i = l.at(i).newer {
			e := l.at(i)
			if !hashed[i] || e.older != before || e.queue != queueID(q) {
				l.t.Fatalf("entry %d is out of order", i)
			}
			before = i
			queued++
		}
		if l.queues[q].newest != before {
			l.t.Fatalf("queue %d has the wrong end", q)
		}
	}
	if queued != l.entries || len(hashed) != l.entries || l.entries > l.Max {
		l.t.Fatalf("%d entries, %d in queues, %d in buckets, limit %d", l.entries, queued, len(hashed), l.Max)
	}
}

var queueNames = map[string]queueID{
	"closed": closed, "unreplied": unreplied, "opening": opening, "icmp": icmpQuery, "local": local, "closing": closing, "stream": stream, "established": established,
}

// TestTCP runs scripts, in which A and B are the ends of a connection and C is another one of A's. A line is one of
//
//	WHO FLAGS seq N [len N] [ack N] [win N] [ws N] = STATE [drop]
//	entries N [QUEUE]        how many there are, and where the only one is
//	+SECONDS                 time passes
//	local WHO                is this host
//	pickup SECONDS
//
// FLAGS are those of tcpdump, 0 for none. A packet is confirmed unless it is dropped.
func TestTCP(t *testing.T) {
	text, err := os.ReadFile("testdata/tcp.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	var l *lab
	here := ""
	run := func(t *testing.T, lines []string) {
		l, here = newLab(t, 10), ""
		for _, line := range lines {
			if l.line = line; line != "" {
				step(t, l, &here, line)
			}
		}
	}
	for _, s := range strings.Split(string(text), "== ")[1:] {
		n++
		lines := strings.Split(s, "\n")
		name, _, _ := strings.Cut(lines[0], ":")
		t.Run(name, func(t *testing.T) { run(t, lines[1:]) })
	}
	if n < 25 {
		t.Errorf("%d scripts", n)
	}
}

func step(t *testing.T, l *lab, here *string, line string) {
	t.Helper()
	w := strings.Fields(line)
	num := func(s string) uint32 {
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return uint32(v)
	}
	switch {
	case w[0][0] == '+':
		l.time += int64(num(w[0][1:])) * second
		return
	case w[0] == "local":
		*here = w[1]
		return
	case w[0] == "pickup":
		l.PickUp = l.time + int64(num(w[1]))*second
		return
	case w[0] == "entries":
		if got := l.Len(); got != int(num(w[1])) {
			t.Errorf("%s: there are %d", line, got)
		} else if len(w) > 2 && l.queues[queueNames[w[2]]].oldest == 0 {
			for name, q := range queueNames {
				if l.queues[q].oldest != 0 {
					t.Errorf("%s: it is %s", line, name)
				}
			}
		}
		return
	}
	p := Packet{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: wire.ProtoTCP, Local: w[0] == *here}
	f := wire.TCPFields{SrcPort: 1000, DstPort: 80}
	switch w[0] {
	case "B":
		p.Src, p.Dst, f.SrcPort, f.DstPort = p.Dst, p.Src, 80, 1000
	case "C":
		f.SrcPort = 1001
	}
	for i, c := range "FSRP." {
		if strings.ContainsRune(w[1], c) {
			f.Flags |= 1 << i
		}
	}
	b := make([]byte, wire.TCPSize)
	i := 2
	for ; w[i] != "="; i += 2 {
		switch v := num(w[i+1]); w[i] {
		case "seq":
			f.Seq = v
		case "len":
			p.Len = int(v)
		case "ack":
			f.Ack = v
		case "win":
			f.Window = uint16(v)
		case "ws":
			b = append(b, 3, 3, byte(v), 0)
		default:
			t.Fatalf("%s: %s", line, w[i])
		}
	}
	wire.TCP(b).Encode(&f)
	p.Transport = b
	p.Len += len(b)
	drop := len(w) > i+2 && w[i+2] == "drop"
	if got := l.packet(p, !drop); got.String() != w[i+1] {
		t.Errorf("%s: it is %v", line, got)
	}
}
