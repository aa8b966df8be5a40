package tcp

// scoreboard is what the sender knows about each byte it has sent and the peer has not acknowledged cumulatively (RFC
// 6675 §3, with the times RFC 8985 wants): a list of ranges without gaps.
//
//	start = snd.una                                                     snd.max
//	├── lost ──┼── sacked ──┼── in flight, resent ──┼ … ┼── in flight ──┤
//
// Segments sent at the same time share a range until something happens to one of them; neighbours that are sacked become
// one. A range can only be cut where a segment ends, and not at all when there are maxRanges: so the list is as long as
// the segments of what is out at most, whatever the peer claims (CVE-2019-11477, -11478), and an ACK costs a search and
// a few moves. It is used only for peers that can SACK.
type scoreboard struct {
	list   []flight
	head   int // those before it are gone
	start  seq
	sacked int // bytes
	lost   int // bytes
	low    seq // nothing before it is lost
	resent seq // nothing behind it has been sent twice
}

// flight is a range, up to end, from where the one before ends.
type flight struct {
	at     int64 // when it was sent last
	end    seq
	state  fate
	resent bool // sent more than once,
	again  bool // and more than twice
}

// fate is what has become of a range.
type fate uint8

const (
	inFlight fate = iota
	sacked        // the peer has it
	lost          // it has not, and nothing of it is in the network
)

// maxRanges is how long the list can become by cutting.
const maxRanges = 4096

// reset begins with nothing in flight at una.
func (b *scoreboard) reset(una seq) {
	*b = scoreboard{list: b.list[:0], start: una, low: una, resent: una}
}

func (b *scoreboard) len() int { return len(b.list) - b.head }

// from is where range i begins; i counts from head.
func (b *scoreboard) from(i int) seq {
	if i == b.head {
		return b.start
	}
	return b.list[i-1].end
}

// find returns the range that contains at, len(list) if there is none.
func (b *scoreboard) find(at seq) int {
	lo, hi := b.head, len(b.list)
	for lo < hi {
		if m := int(uint(lo+hi) / 2); b.list[m].end.after(at) {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// sent notes that new data up to end has been sent in segments of mss bytes, the last one perhaps shorter.
func (b *scoreboard) sent(end seq, now int64, mss int) {
	if i := len(b.list) - 1; i >= b.head {
		// A short segment ends its range: cutting relies on that.
		last := &b.list[i]
		same := last.at == now && last.end.minus(b.from(i))%mss == 0
		if last.state == inFlight && !last.resent && (same || b.len() >= maxRanges) {
			last.at, last.end = now, end
			return
		}
	}
	if len(b.list) == cap(b.list) && b.head > len(b.list)/4 {
		b.list = b.list[:copy(b.list, b.list[b.head:])]
		b.head = 0
	}
	b.list = append(b.list, flight{at: now, end: end})
}

// insert makes room for a range at i and returns where that is now.
func (b *scoreboard) insert(i int) int {
	if b.head > 0 && i-b.head < b.len()/2 {
		copy(b.list[b.head-1:], b.list[b.head:i])
		b.head--
		return i - 1
	}
	b.list = append(b.list, flight{})
	copy(b.list[i+1:], b.list[i:])
	return i
}

// remove takes out range i, whose bytes become those of the one behind it; there is one, or it is empty. It returns the
// number of that one.
func (b *scoreboard) remove(i int) int {
	if i-b.head < b.len()/2 {
		copy(b.list[b.head+1:], b.list[b.head:i])
		b.head++
		return i + 1
	}
	b.list = append(b.list[:i], b.list[i+1:]...)
	return i
}

// ack removes everything before una.
func (b *scoreboard) ack(una seq, d *delivery) {
	d.moves = true
	for d.head = true; b.head < len(b.list) && una.after(b.start); d.head = false {
		f := &b.list[b.head]
		end := minSeq(f.end, una)
		n := end.minus(b.start)
		switch f.state {
		case sacked:
			b.sacked -= n
		case lost:
			b.lost -= n
			fallthrough
		default:
			d.take(n, end, f)
		}
		b.start = end
		if end == f.end {
			b.head++
		}
	}
	d.head, d.moves = false, false
	b.start = una
	b.low, b.resent = maxSeq(b.low, una), maxSeq(b.resent, una)
	if b.head == len(b.list) {
		b.list, b.head = b.list[:0], 0
		if cap(b.list) > 256 {
			b.list = nil
		}
	}
}

// sack notes that the peer has what lies between two sequence numbers, start not being before una, nor end behind what
// has been sent. Of segments that are there in part only nothing is believed.
func (b *scoreboard) sack(start, end seq, mss int, d *delivery) {
	for i := b.find(start); i < len(b.list) && b.from(i).before(end); i++ {
		f := b.list[i]
		if f.state == sacked {
			continue
		}
		from := b.from(i)
		s, e := maxSeq(from, start), minSeq(f.end, end)
		s = from.plus((s.minus(from) + mss - 1) / mss * mss)
		if e != f.end {
			e = from.plus(e.minus(from) / mss * mss)
		}
		if !e.after(s) {
			continue
		}
		n := e.minus(s)
		at := i - 1
		if joins := s == from && i > b.head && b.list[at].state == sacked; joins {
			b.list[at].end = e // nearly always: the peer gets one segment after the other
			if e == f.end {
				at = b.remove(at)
			}
		} else if at = b.cut(i, s, e, true); at < 0 {
			continue
		}
		if f.state == lost {
			b.lost -= n
		}
		b.sacked += n
		d.take(n, e, &f)
		b.list[at].state, b.list[at].resent, b.list[at].again = sacked, false, false
		i = b.merge(at)
	}
}

// cut makes the bytes from s up to e, which lie in range i, a range of their own and returns its number; -1 if there are
// too many already, and limited.
func (b *scoreboard) cut(i int, s, e seq, limited bool) int {
	f := b.list[i]
	extra := 0
	if s != b.from(i) {
		extra++
	}
	if e != f.end {
		extra++
	}
	if extra > 0 && limited && b.len()+extra > maxRanges {
		return -1
	}
	if e != f.end {
		i = b.insert(i)
		b.list[i] = f
		b.list[i].end = e
	}
	if s != b.from(i) {
		i = b.insert(i)
		b.list[i] = f
		b.list[i].end = s
		i++
	}
	return i
}

// merge joins the sacked range i with sacked neighbours and returns the number of what it becomes.
func (b *scoreboard) merge(i int) int {
	if i > b.head && b.list[i-1].state == sacked {
		i = b.remove(i - 1)
	}
	if i+1 < len(b.list) && b.list[i+1].state == sacked {
		i = b.remove(i)
	}
	return i
}

// lose marks range i, which is in flight, as lost.
func (b *scoreboard) lose(i int) int {
	from := b.from(i)
	n := b.list[i].end.minus(from)
	b.list[i].state = lost
	b.low = minSeq(b.low, from)
	if b.lost == 0 {
		b.low = from
	}
	b.lost += n
	return n
}

// loseAll marks as lost all that the peer does not have, and returns how much of it was in flight.
func (b *scoreboard) loseAll() (n int) {
	for i := b.head; i < len(b.list); i++ {
		if b.list[i].state == inFlight {
			n += b.lose(i)
		}
	}
	return n
}

// found takes back that anything is lost.
func (b *scoreboard) found() {
	for i := b.find(b.low); i < len(b.list) && b.lost > 0; i++ {
		if f := &b.list[i]; f.state == lost {
			f.state = inFlight
			b.lost -= f.end.minus(b.from(i))
		}
	}
}

// renege forgets what the peer claims to have.
func (b *scoreboard) renege() {
	for i := b.head; i < len(b.list); i++ {
		if b.list[i].state == sacked {
			b.list[i].state = inFlight
		}
	}
	b.sacked = 0
}

// firstLost returns the first range that is lost; there is one.
func (b *scoreboard) firstLost() int {
	i := b.find(b.low)
	for b.list[i].state != lost {
		i++
	}
	b.low = b.from(i)
	return i
}

// again notes that the first n bytes of range i, lost or in flight, have been sent again.
func (b *scoreboard) again(i, n int, now int64, mss int) {
	from := b.from(i)
	end := from.plus(n)
	if b.list[i].state == lost {
		b.lost -= n
	}
	b.resent = maxSeq(b.resent, end)
	twice := b.list[i].resent
	if i > b.head {
		prev := &b.list[i-1]
		if prev.state == inFlight && prev.resent &&
			(prev.at == now && prev.again == twice && prev.end.minus(b.from(i-1))%mss == 0 || b.len() >= maxRanges) {
			prev.at, prev.end, prev.again = now, end, prev.again || twice
			if end == b.list[i].end {
				b.remove(i)
			}
			return
		}
	}
	i = b.cut(i, from, end, false)
	f := &b.list[i]
	f.at, f.state, f.resent, f.again = now, inFlight, true, twice
}
