package tcp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/wire"
)

// TestReassemblyModel lets segments that cut a stream in all possible ways arrive in any order, repeated and
// overlapping, and reads what comes out.
func TestReassemblyModel(t *testing.T) {
	const size = 30000
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		p := newPeer(t)
		p.at = fmt.Sprintf("seed %d", seed)
		for _, s := range []string{"listen", "< S 0:0(0) <mss 1460,sackok>", "> S. 0:0(0) ack 1", "< . 1:1(0) ack 1", "accept"} {
			p.step(s)
		}
		p.inBatch = true
		have := make([]bool, size)
		missing, read := size, 0
		for missing > 0 || p.conn.State() != CloseWait {
			off := r.IntN(size)
			if r.IntN(4) == 0 { // near the hole
				off = min(read, size-1)
			}
			n := min(1+r.IntN(1<<r.IntN(12)), size-off)
			flags := "."
			if off+n == size && r.IntN(2) == 0 {
				flags = "F."
			}
			p.arrives([]string{"<", flags, fmt.Sprintf("%d:%d(%d)", off+1, off+1+n, n), "ack", "1"})
			p.flush()
			for i := off; i < off+n; i++ {
				if !have[i] {
					have[i] = true
					missing--
				}
			}
			for _, s := range p.sent {
				for k, b := range s.options.SACK[:s.options.SACKs] {
					start, end := seq(b.Start).minus(p.irs)-1, seq(b.End).minus(p.irs)-1
					if end == size+1 {
						end-- // FIN
					}
					if start < 0 || end <= start || end > size || slices.Contains(have[start:end], false) {
						t.Fatalf("seed %d: reported %d to %d", seed, start, end)
					}
					if k > 0 && seq(b.Start).before(s.ack) {
						t.Fatalf("seed %d: block %d is below the ACK", seed, k)
					}
				}
			}
			p.sent = p.sent[:0]
			b := make([]byte, r.IntN(3000))
			if k, err := p.conn.Read(b, false); err == nil && k > 0 {
				if string(b[:k]) != string(pattern(read, k)) {
					t.Fatalf("seed %d: wrong bytes at %d", seed, read)
				}
				read += k
			}
			if r := &p.conn.rcv.ahead; r.len() > MaxOutOfOrder || r.memory > 2*p.conn.rcv.limit {
				t.Fatalf("seed %d: %d segments, %d bytes ahead of a hole", seed, r.len(), r.memory)
			}
		}
		for read < size {
			b := make([]byte, size)
			k, err := p.conn.Read(b, false)
			if err != nil || k == 0 || string(b[:k]) != string(pattern(read, k)) {
				t.Fatalf("seed %d: at %d: %d, %v", seed, read, k, err)
			}
			read += k
		}
		p.step("read eof")
		p.sent = p.sent[:0]
		p.leaks()
	}
}

// TestReceiveMemory sends a byte at a time: what is kept must stay in proportion to what is in it.
func TestReceiveMemory(t *testing.T) {
	for _, size := range []int{1, 10, 100, 600, 1000} {
		p := newPeer(t)
		for _, s := range []string{"listen", "< S 0:0(0) <mss 1460>", "> S. 0:0(0) ack 1", "< . 1:1(0) ack 1", "accept"} {
			p.step(s)
		}
		at := 1
		for at+size < 60000 {
			p.inBatch = true
			p.arrives([]string{"<", ".", fmt.Sprintf("%d:%d(%d)", at, at+size, size), "ack", "1"})
			p.flush()
			at += size
		}
		p.sent = nil
		if used, limit := p.box.Memory(), 60000*26/10; used > limit {
			t.Errorf("%d bytes of memory for %d bytes in segments of %d", used, at-1, size)
		}
		p.leaks()
	}
}

// TestMemoryPressure fills the memory of the box: windows shrink, and nothing is taken beyond.
func TestMemoryPressure(t *testing.T) {
	p := newPeer(t)
	p.box.Limits.Memory = 100 << 10
	p.step("listen")
	var conns []*Conn
	for i := range 10 {
		p.port = uint16(1000 + i)
		for _, s := range []string{"< S 0:0(0) <mss 1460>", "> S. 0:0(0) ack 1", "< . 1:1(0) ack 1", "accept"} {
			p.step(s)
		}
		conns = append(conns, p.conn)
		for at := 1; at < 60000; at += 1000 {
			p.inBatch = true
			p.arrives([]string{"<", ".", fmt.Sprintf("%d:%d(%d)", at, at+1000, 1000), "ack", "1"})
			p.flush()
		}
		p.sent = nil
		if used := p.box.Memory(); used > p.box.Limits.Memory+10*4096 {
			t.Fatalf("%d bytes used of %d", used, p.box.Limits.Memory)
		}
		p.inBatch = false
	}
	if p.box.Stats.MemoryPressure == 0 {
		t.Error("no segment was dropped")
	}
	for _, c := range conns {
		if c.rcv.queued == 0 {
			t.Error("a connection got nothing at all")
		}
		if _, err := c.Write(make([]byte, 100), false); err != nil {
			t.Errorf("a connection with an empty send buffer cannot write: %v", err)
		}
		if n, err := c.Write(make([]byte, 100000), false); err == nil {
			t.Errorf("wrote %d bytes more under pressure", n)
		}
	}
	for _, c := range conns {
		c.Abort()
	}
	p.conn = nil
	p.leaks()
}

// FuzzSegment lets arbitrary segments arrive in every state.
func FuzzSegment(f *testing.F) {
	f.Add(uint8(0), []byte{0x10, 0, 0, 0, 1, 0, 0, 0, 1, 10, 0})
	f.Fuzz(func(t *testing.T, state uint8, b []byte) {
		p := newPeer(t)
		steps := []string{"listen", "< S 0:0(0) <mss 1460,TS val 5 ecr 0>", "> S. 0:0(0) ack 1", "< . 1:1(0) ack 1 <TS val 5 ecr ours>", "accept"}
		sack := []string{
			"listen", "< S 0:0(0) <mss 1012,sackok,TS val 5 ecr 0>", "> S. 0:0(0) ack 1", "+0.1 < . 1:1(0) ack 1 <TS val 5 ecr ours>", "accept",
			"write 8000", "> . 1:1001(1000)", "> . 1001:2001(1000)", "> . 2001:3001(1000)", "> . 3001:4001(1000)",
			"> . 4001:5001(1000)", "> . 5001:6001(1000)", "> . 6001:7001(1000)", "> P. 7001:8001(1000)",
		}
		switch state % 12 {
		case 1:
			steps = []string{"connect", "> S 0:0(0)"}
		case 2:
			steps = steps[:3]
		case 3:
			steps = append(steps, "write 3000", "> . 1:1449(1448)", "> . 1449:2897(1448)", "> P. 2897:3001(104)")
		case 4:
			steps = append(steps, "shutdown", "> F. 1:1(0)")
		case 5:
			steps = append(steps, "shutdown", "> F. 1:1(0)", "< . 1:1(0) ack 2 <TS val 5 ecr ours>")
		case 6:
			steps = append(steps, "shutdown", "> F. 1:1(0)", "< F. 1:1(0) ack 2 <TS val 5 ecr ours>", "> . 2:2(0) ack 2")
		case 7:
			steps = append(steps, "close", "> F. 1:1(0)")
		case 8:
			steps = sack
		case 9: // fast recovery
			steps = append(sack, "+0.1 < . 1:1(0) ack 1 <TS val 5 ecr ours,sack 1001:3001 4001:6001>", "> . 1:1001(1000)")
		case 10: // after a timeout
			steps = append(sack, "shutdown", "> F. 8001:8001(0)", "+0.2 > FP. 7001:8001(1000)", "+0.3 > . 1:1001(1000)")
		case 11: // holes in both directions
			steps = append(sack, "+0.1 < . 1001:2001(1000) ack 1 <TS val 5 ecr ours,sack 1001:3001>", "> . 8001:8001(0)")
		}
		for _, s := range steps {
			p.step(s)
		}
		// Each 11 bytes are a segment: flags, sequence, acknowledgement, length, options.
		for ; len(b) >= 11; b = b[11:] {
			n := int(b[9]) * 8
			k := p.pool.Receive(packet.Small + n)
			data := k.Bytes()
			h := wire.TCPSize + int(b[10]&3)*4
			for i := range data[wire.TCPSize:h] {
				data[wire.TCPSize+i] = b[10] + byte(i)*b[9]
			}
			if b[10]&4 != 0 {
				h = wire.TCPSize + wire.TCPTimestampsSize
				(&wire.TCPOptions{TSVal: 5 + uint32(b[10]>>3), TSEcr: p.tsSeen}).EncodeTimestamps(data[wire.TCPSize:h])
				if b[10]&8 != 0 {
					// Two blocks of whole segments, and now and then of a bit more.
					start, end := p.iss.plus(int(b[5]>>4)*1000+1), p.iss.plus(int(b[6]>>4)*1000+1+int(b[6]&1))
					o := wire.TCPOptions{SACKs: 2, SACK: [4]wire.SACKBlock{
						{Start: uint32(start), End: uint32(end)}, {Start: uint32(end.plus(1000)), End: uint32(end.plus(2000))},
					}}
					o.EncodeSACK(data[h:])
					h += wire.TCPSACKSize(2)
				}
			}
			at := int(int16(uint16(b[1])<<8 | uint16(b[2])))
			ack := int(int16(uint16(b[5])<<8 | uint16(b[6])))
			wire.TCP(data[:h]).Encode(&wire.TCPFields{
				SrcPort: p.port, DstPort: p.ours, Seq: uint32(p.irs.plus(at)), Ack: uint32(p.iss.plus(ack)),
				Flags: b[0], Window: uint16(b[7])<<8 | uint16(b[8]),
			})
			k.Truncate(h + n)
			sum := wire.Pseudo(peerAddr, hostAddr, wire.ProtoTCP, k.Len())
			k.Sum(&sum)
			wire.TCP(data[:h]).SetChecksum(sum.Checksum())
			k.Src, k.Dst, k.Proto = peerAddr, hostAddr, wire.ProtoTCP
			p.box.Receive(k)
			p.flush()
			p.advance(p.now + int64(b[3])<<22)
			if c := p.conn; c != nil && b[4]&1 != 0 {
				c.Read(make([]byte, 1000), false)
				c.Write(make([]byte, int(b[4])), false)
			}
			if c := p.conn; c != nil && (c.rcv.queued < 0 || c.snd.una.after(c.snd.max) || c.snd.nxt.after(c.snd.max) ||
				c.snd.nxt.before(c.snd.una) || c.rcv.nxt.after(c.rcv.edge+1) || p.box.memory < 0) {
				t.Fatalf("impossible: %+v", c.Info())
			}
			if c := p.conn; c != nil && c.sack && c.state.transmits() {
				c.checkBoard(t)
			}
		}
		p.sent = nil
		p.inBatch = true
		p.leaks()
	})
}
