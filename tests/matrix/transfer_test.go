package matrix

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// chunk is what is written and read at a time.
const chunk = 64 << 10

// period is after how many bytes a transfer's contents begin anew: a prime, so that it has nothing to do with any buffer's
// length, and more than a cable reorders by.
const period = 16777213

// noise is what transfers consist of, with the beginning once more at the end.
var noise = func() []byte {
	b := make([]byte, period+chunk)
	rand.NewChaCha8([32]byte{7}).Read(b[:period])
	copy(b[period:], b)
	return b
}()

// amount says how much a transfer moves: so many bytes or, if that is 0, as much as passes in a time.
type amount struct {
	size int64
	time time.Duration
}

// patience is how long nothing may happen. With the least retransmission timeout it takes eight losses in a row to be silent
// that long, six of a SYN.
const patience = time.Minute

// lead is by how much a writer may be ahead of the reader, in bytes, with another quarter of what has arrived: what has been
// written when the time is over must arrive, too, and send buffers of megabytes take minutes where kilobytes pass in a second.
const lead = 512 << 10

// finWaiter is a conn that is to say that it is done only when everything has arrived. gVisor's, if the last segment before its FIN
// is lost and the FIN is not, repeats the FIN once and then nothing any more.
type finWaiter interface{ finLast() }

// transfer writes into one end of a connection, closes its writing side, and compares what comes out of the other.
// Goodput is in bytes a second: of the whole or, if the amount is a time, of what had arrived by then.
func transfer(from, to conn, a amount) (goodput float64, err error) {
	start := time.Now()
	from.SetDeadline(time.Time{}) // the reader sees to it that it ends
	to.SetDeadline(start.Add(patience))
	renewed := start
	arrived := newMark()
	type result struct {
		n   int64
		err error
	}
	written := make(chan result, 1)
	go func() {
		var r result
		for r.err == nil && (a.size > 0 && r.n < a.size || a.size == 0 && time.Since(start) < a.time) {
			b := noise[r.n%period:][:chunk]
			if a.size > 0 {
				b = b[:min(chunk, a.size-r.n)]
			} else {
				arrived.wait((r.n - lead) * 4 / 5)
			}
			var n int
			n, r.err = from.Write(b)
			r.n += int64(n)
		}
		if r.err == nil {
			if _, waits := from.(finWaiter); waits {
				arrived.wait(r.n)
			}
			r.err = from.CloseWrite()
		}
		written <- r
	}()
	b := make([]byte, chunk)
	var got int64
	for err == nil {
		var n int
		n, err = to.Read(b)
		if late := time.Since(start) >= a.time; a.size == 0 && late && goodput == 0 {
			goodput = max(float64(got), 1) / a.time.Seconds()
		}
		if want := noise[got%period:][:n]; !bytes.Equal(b[:n], want) {
			err = fmt.Errorf("wrong bytes among the %d from %d on", n, got)
			break
		}
		got += int64(n)
		arrived.set(got)
		if now := time.Now(); n > 0 && now.Sub(renewed) > time.Second {
			renewed = now
			to.SetDeadline(now.Add(patience))
		}
	}
	took := time.Since(start)
	if err != io.EOF {
		arrived.set(math.MaxInt64)
		from.abort() // the writer gives up
		w := <-written
		return 0, fmt.Errorf("after %d bytes and %.1f s: %w (writer: %d, %v)", got, took.Seconds(), err, w.n, w.err)
	}
	if w := <-written; w.err != nil || w.n != got {
		return 0, fmt.Errorf("%d bytes were written (%v), %d have arrived", w.n, w.err, got)
	}
	if a.size > 0 {
		goodput = float64(got) / took.Seconds()
	}
	return goodput, nil
}

// mark is how far something has come.
type mark struct {
	mu   sync.Mutex
	cond *sync.Cond
	at   int64
}

func newMark() *mark {
	m := &mark{}
	m.cond = sync.NewCond(&m.mu)
	return m
}

func (m *mark) set(at int64) {
	m.mu.Lock()
	m.at = at
	m.mu.Unlock()
	m.cond.Signal()
}

// wait returns when it has come as far as at.
func (m *mark) wait(at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.at < at {
		m.cond.Wait()
	}
}
