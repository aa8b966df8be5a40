package net

import (
	"math"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/wire"
)

// goodput sends size bytes one way over a link with the given faults and returns the bytes a second that arrived.
func goodput(t *testing.T, seed uint64, f nettest.Faults, size int, a *tcp.Congestion) (rate float64, w *world) {
	t.Helper()
	w = newWorld(t, seed, f, offload)
	w.a.boxes.TCP.Congestion = a
	return w.goodput(size), w
}

func (w *world) goodput(size int) (rate float64) {
	t := w.t
	t.Helper()
	a, b := w.pair(80)
	p := &pump{from: a, to: b, size: size}
	start := w.clock.Now()
	var err error
	w.clock.RunUntil(24*3600*seconds, func() bool { err = p.run(); return p.complete || err != nil })
	if err != nil {
		t.Fatal(err)
	}
	return float64(size) / (float64(w.clock.Now()-start) / seconds)
}

// TestGoodput compares what gets through a lossy link with what the theory of congestion control allows: the response
// function of Reno, MSS/RTT · √(3/2p) (RFC 3649 §3, Mathis et al.), bounded by the link's rate. In these cells CUBIC is in
// its Reno-friendly region (RFC 9438 §4.3), so that the function is its own as well.
func TestGoodput(t *testing.T) {
	const mss = 1448
	for _, c := range []struct {
		name    string
		loss    float64
		rtt     int64 // ms
		rate    int64
		size    int
		atLeast float64 // of the theory
	}{
		{"0.5 %, 20 ms", 0.005, 20, 125_000_000, 8 << 20, 0.85},
		{"1 %, 20 ms", 0.01, 20, 125_000_000, 8 << 20, 0.85},
		{"5 %, 20 ms", 0.05, 20, 125_000_000, 4 << 20, 0.7},
		{"0.1 %, 200 ms", 0.001, 200, 125_000_000, 8 << 20, 0.8},
		{"1 %, 200 ms", 0.01, 200, 125_000_000, 4 << 20, 0.9},
		{"5 %, 200 ms", 0.05, 200, 125_000_000, 1 << 20, 0.7},
		{"1 %, 1 ms", 0.01, 1, 125_000_000, 16 << 20, 0.8},
		{"5 %, 1 ms", 0.05, 1, 125_000_000, 8 << 20, 0.5},
		{"1 %, 20 ms, 8 Mbit/s", 0.01, 20, 1_000_000, 4 << 20, 0.7},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := c.size
			if raceEnabled {
				size = min(size, 1<<20)
			}
			sum, theory := 0.0, 0.0
			const runs = 3
			for seed := range uint64(runs) {
				// Data is lost, ACKs are not: the theory is about data.
				rate, w := goodput(t, seed+1, nettest.Faults{Loss: c.loss, Delay: c.rtt * 500_000, Rate: c.rate}, size, nil)
				sum += rate / runs
				s := &w.a.boxes.TCP.Stats
				t.Logf("%.3f MB/s; %d segments, %d repeated, %d recoveries, %d timeouts, %d frames lost", rate/1e6,
					s.PacketsTx, s.Retransmits, s.FastRecoveries, s.Timeouts, w.link.A.Lost)
			}
			theory = min(mss/(float64(c.rtt)/1000)*math.Sqrt(1.5/c.loss), float64(c.rate)*mss/1514)
			t.Logf("%.3f MB/s: %.2f of the theory's %.3f", sum/1e6, sum/theory, theory/1e6)
			if sum < c.atLeast*theory && !raceEnabled {
				t.Errorf("only %.2f of the theory's goodput, want %.2f", sum/theory, c.atLeast)
			}
		})
	}
}

// TestGoodputCubic is on a long and fast path, which CUBIC is for: it must get more through than NewReno.
func TestGoodputCubic(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes it too slow to be worth it")
	}
	f := nettest.Faults{Loss: 0.0002, Delay: 50_000_000, Rate: 12_500_000}
	sum := map[string]float64{}
	for _, a := range []*tcp.Congestion{tcp.NewReno, tcp.Cubic} {
		for seed := range uint64(3) {
			rate, w := goodput(t, seed+1, f, 40<<20, a)
			s := &w.a.boxes.TCP.Stats
			t.Logf("%s: %.3f MB/s; %d repeated, %d recoveries, %d timeouts", a.Name, rate/1e6, s.Retransmits, s.FastRecoveries, s.Timeouts)
			sum[a.Name] += rate / 3
		}
	}
	t.Logf("cubic %.3f MB/s, reno %.3f", sum["cubic"]/1e6, sum["reno"]/1e6)
	if sum["cubic"] < 1.3*sum["reno"] {
		t.Errorf("CUBIC has %.2f of NewReno's goodput", sum["cubic"]/sum["reno"])
	}
}

// TestGoodputMarked has a router mark instead of dropping (ECN): the theory is the same, but nothing need be repeated.
func TestGoodputMarked(t *testing.T) {
	const size = 4 << 20
	if raceEnabled {
		t.Skip("the race detector makes it too slow to be worth it")
	}
	for _, sack := range []bool{true, false} {
		w := newWorld(t, 1, nettest.Faults{Mark: 0.01, Delay: 10_000_000, Rate: 125_000_000}, offload)
		w.a.boxes.TCP.ECN = tcp.ECNAsk
		if !sack {
			w.link.A.Tap = withoutSACK
		}
		rate, theory := w.goodput(size), 1448/0.02*math.Sqrt(1.5/0.01)
		s := &w.a.boxes.TCP.Stats
		t.Logf("SACK %v: %.3f MB/s, %.2f of the theory's; %d marks answered of %d", sack, rate/1e6, rate/theory, s.MarksAnswered,
			w.b.boxes.TCP.Stats.MarksRx)
		if s.MarksAnswered < 10 || s.Retransmits > 0 {
			t.Errorf("%d marks answered, %d segments repeated", s.MarksAnswered, s.Retransmits)
		}
		if rate < 0.8*theory || rate > 1.6*theory {
			t.Errorf("%.2f of the theory's goodput", rate/theory)
		}
	}
}

// withoutSACK takes SACK-permitted out of SYNs, as some middleboxes do.
func withoutSACK(frame []byte) bool {
	const at = wire.EthernetSize + wire.IPv4Size
	if len(frame) < at+wire.TCPSize || frame[23] != wire.ProtoTCP || frame[at+13]&wire.SYN == 0 {
		return true
	}
	for i := at + wire.TCPSize; i+1 < len(frame); i++ {
		if frame[i] == 4 && frame[i+1] == 2 {
			frame[i], frame[i+1] = 1, 1
			ip, h := wire.IPv4(frame[wire.EthernetSize:at]), wire.TCP(frame[at:])
			sum := wire.Pseudo(ip.Src(), ip.Dst(), wire.ProtoTCP, len(h))
			h.SetChecksum(sum.Fold())
			h.SetChecksum(wire.Checksum(h))
			break
		}
	}
	return true
}
