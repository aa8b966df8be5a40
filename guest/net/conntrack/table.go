package conntrack

// index is the number of an entry; 0 is none.
type index uint32

// entry is a connection. It holds no pointers, so the garbage collector does not look at the table.
type entry struct {
	key          key
	next         index // in its bucket, or in the list of free entries
	older, newer index // in its queue
	expires      int64 // nanoseconds
	queue        queueID
	origin       uint8 // which end sent the first packet
	replied      bool  // the other one has sent too
	tcp          tcpState
}

// EntrySize is the memory an entry takes, in bytes, buckets included.
const EntrySize = 192

const chunkBits, chunkLen = 8, 1 << 8

// at returns an entry. The pointer is valid as long as the entry.
func (b *Box) at(i index) *entry { return &b.chunks[i>>chunkBits][i&(chunkLen-1)] }

// find looks a connection up.
func (b *Box) find(k *key) index {
	if len(b.buckets) == 0 {
		return 0
	}
	for i := b.buckets[b.hash(k)&uint32(len(b.buckets)-1)]; i != 0; {
		e := b.at(i)
		if e.key == *k {
			if e.expires <= b.now {
				b.Stats.Expired++
				b.remove(i)
				return 0
			}
			return i
		}
		i = e.next
	}
	return 0
}

// insert adds a connection, and reports false if there is no room.
func (b *Box) insert(e *entry, q queueID) bool {
	b.expire(b.now, expireMax)
	if b.entries >= b.Max && !b.evict() {
		b.Stats.Full++
		return false
	}
	if b.entries >= len(b.buckets) {
		b.grow()
	}
	i := b.free
	if i == 0 {
		if b.used&(chunkLen-1) == 0 {
			b.chunks = append(b.chunks, new([chunkLen]entry))
			b.used = max(b.used, 1) // 0 is none
		}
		i = b.used
		b.used++
	} else {
		b.free = b.at(i).next
	}
	at := &b.buckets[b.hash(&e.key)&uint32(len(b.buckets)-1)]
	x := b.at(i)
	*x = *e
	x.next, *at = *at, i
	x.expires = b.now + timeouts[q]
	b.push(i, q)
	b.entries++
	b.Stats.New++
	return true
}

// firstBuckets is how many buckets there are at first.
const firstBuckets = 256

// grow doubles the number of buckets.
func (b *Box) grow() {
	old := b.buckets
	b.buckets = make([]index, max(2*len(old), firstBuckets))
	for _, i := range old {
		for i != 0 {
			e := b.at(i)
			next := e.next
			at := &b.buckets[b.hash(&e.key)&uint32(len(b.buckets)-1)]
			e.next, *at = *at, i
			i = next
		}
	}
}

func (b *Box) remove(i index) {
	e := b.at(i)
	b.pull(i)
	at := &b.buckets[b.hash(&e.key)&uint32(len(b.buckets)-1)]
	for *at != i {
		at = &b.at(*at).next
	}
	*at = e.next
	*e = entry{next: b.free}
	b.free = i
	b.entries--
}
