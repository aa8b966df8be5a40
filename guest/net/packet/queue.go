package packet

// Queue is a first-in-first-out list of packets, linked through Next. The zero Queue is empty.
type Queue struct {
	head, tail *Packet
	n          int
}

// Len is the number of packets.
func (q *Queue) Len() int { return q.n }

// Front returns the first packet without taking it, nil if there is none; Back the last.
func (q *Queue) Front() *Packet { return q.head }

// Back returns the last packet without taking it, nil if there is none.
func (q *Queue) Back() *Packet { return q.tail }

// Push appends p.
func (q *Queue) Push(p *Packet) {
	p.Next = nil
	if q.tail == nil {
		q.head = p
	} else {
		q.tail.Next = p
	}
	q.tail = p
	q.n++
}

// Pop takes the first packet, nil if there is none.
func (q *Queue) Pop() *Packet {
	p := q.head
	if p == nil {
		return nil
	}
	q.head = p.Next
	if q.head == nil {
		q.tail = nil
	}
	p.Next = nil
	q.n--
	return p
}

// InsertAfter puts p behind at, which is in the queue, or first if at is nil.
func (q *Queue) InsertAfter(at, p *Packet) {
	if at == nil {
		p.Next = q.head
		q.head = p
	} else {
		p.Next = at.Next
		at.Next = p
	}
	if p.Next == nil {
		q.tail = p
	}
	q.n++
}

// RemoveAfter takes out what follows at, or the first if at is nil; there is one.
func (q *Queue) RemoveAfter(at *Packet) {
	var p *Packet
	if at == nil {
		p = q.head
		q.head = p.Next
	} else {
		p = at.Next
		at.Next = p.Next
	}
	if p.Next == nil {
		q.tail = at
	}
	p.Next = nil
	q.n--
}

// Release releases all packets.
func (q *Queue) Release() {
	for p := q.Pop(); p != nil; p = q.Pop() {
		p.Release()
	}
}
