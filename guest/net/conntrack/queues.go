package conntrack

// queue is the list of entries with one time-out, by the time they were last refreshed.
type queue struct{ oldest, newest index }

// queueID names a queue.
type queueID uint8

// Queues, in the order in which their entries make room for new ones; those from assured on do not. Of all but these a
// sender with a wrong address could make as many as it likes.
const (
	closed      queueID = iota // TCP: both have closed, or it was reset
	unreplied                  // nobody has answered: the sender's address may be wrong
	opening                    // TCP: SYN and SYN|ACK have been seen
	icmpQuery                  // requests, answered or not
	stream                     // others than TCP: there was an answer
	local                      // unreplied, but this host began
	closing                    // TCP: one end has closed
	established                // TCP: both ends have proven that they get what the other sends
	queues

	assured = closing
)

const second = 1_000_000_000

// timeouts are how long an entry stays after its last packet, in nanoseconds.
var timeouts = [queues]int64{
	closed:      60 * second,
	unreplied:   30 * second,
	opening:     60 * second,
	icmpQuery:   60 * second,   // RFC 5508 §3.2, REQ-2
	local:       120 * second,  // as long as TCP repeats a SYN
	closing:     240 * second,  // RFC 5382 §5, REQ-5: transitory
	stream:      180 * second,  // RFC 4787 §4.3, REQ-5: at least 120 s
	established: 7440 * second, // RFC 5382 §5, REQ-5
}

// grain is how much older than the truth the time of an entry's last packet may be, in nanoseconds: refreshing costs
// nothing in between.
const grain = second

func (b *Box) push(i index, q queueID) {
	e, k := b.at(i), &b.queues[q]
	e.queue, e.older, e.newer = q, k.newest, 0
	if k.newest != 0 {
		b.at(k.newest).newer = i
	} else {
		k.oldest = i
	}
	k.newest = i
}

func (b *Box) pull(i index) {
	e := b.at(i)
	k := &b.queues[e.queue]
	if e.older != 0 {
		b.at(e.older).newer = e.newer
	} else {
		k.oldest = e.newer
	}
	if e.newer != 0 {
		b.at(e.newer).older = e.older
	} else {
		k.newest = e.older
	}
}

// refresh says that a packet of an entry has come and in which queue the entry is from now on.
func (b *Box) refresh(i index, q queueID, now int64) {
	e := b.at(i)
	expires := now + timeouts[q]
	if e.queue == q && expires-e.expires < grain {
		return
	}
	e.expires = expires
	b.pull(i)
	b.push(i, q)
}

// expireMax bounds what one packet does for the sake of others.
const expireMax = 8

// expire removes entries whose time is up, a few at a time or all.
func (b *Box) expire(now int64, limit int) {
	for q := range b.queues {
		for i := b.queues[q].oldest; i != 0 && b.at(i).expires <= now && limit > 0; i = b.queues[q].oldest {
			b.Stats.Expired++
			b.remove(i)
			limit--
		}
	}
}

// evict makes room for one entry and reports whether it could.
func (b *Box) evict() bool {
	for q := range assured {
		if i := b.queues[q].oldest; i != 0 {
			b.Stats.Evicted++
			b.remove(i)
			return true
		}
	}
	return false
}
