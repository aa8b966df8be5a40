package share

import (
	"slices"

	"ukvm.dev/devices/ring"
	"ukvm.dev/hypercall"
	"ukvm.dev/internal/pieces"
)

// task is a request that waits for the host.
type task struct {
	head   uint16 // of its chain
	q      request
	out    []ring.Buffer // where the answer goes, in the guest's addresses
	want   int           // bytes to read
	data   []byte        // what was read, of Device.spare
	answer hypercall.ShareReply
}

// delegate gives a request to the workers, of which there are as many as requests wait, up to maxWorkers.
func (d *Device) delegate(q request, head uint16) {
	t := &task{head: head, q: q, out: slices.Clone(q.outBuffers)}
	if hypercall.ShareOp(q.Op) == hypercall.ShareRead {
		t.want = pieces.Size(q.out)
	}
	t.q.in, t.q.out, t.q.reply, t.q.outBuffers = nil, nil, nil, nil // guest memory
	if d.started < min(maxWorkers, d.out) {
		d.started++
		d.workers.Go(d.work)
	}
	d.jobs <- t // there is room for as many as a queue has descriptors
}

// work serves requests until there are no more. Reads wait until finish has copied what was read before: a guest that asks for
// a great deal and takes nothing costs the host no more than that.
func (d *Device) work() {
	for t := range d.jobs {
		if t.want > 0 {
			select {
			case b := <-d.spare:
				t.data = slices.Grow(b[:0], t.want)[:t.want]
			case <-d.quit:
				return
			}
		}
		t.answer = d.serveLater(&t.q, t.data)
		d.mu.Lock()
		d.done = append(d.done, t)
		d.mu.Unlock()
		d.wake()
	}
}

// finish gives back what workers are done with.
func (d *Device) finish() (moved bool, err error) {
	d.mu.Lock()
	done := d.done
	d.done = nil
	d.mu.Unlock()
	for _, t := range done {
		d.out--
		if err := d.give(t); err != nil {
			return moved, err
		}
		moved = true
	}
	if moved {
		d.queue.Publish()
	}
	return moved, nil
}

// give gives one request back.
func (d *Device) give(t *task) error {
	if t.want > 0 {
		defer func() { d.spare <- t.data }()
	}
	if t.answer.Errno == 0 && t.want > 0 {
		to, err := d.slices(t.out, hypercall.ProtWrite)
		if err != nil {
			return err
		}
		pieces.Scatter(to, t.data[:t.answer.N])
		d.Counters.Read += uint64(t.answer.N)
	}
	to, err := d.slices([]ring.Buffer{t.q.replyAt}, hypercall.ProtWrite)
	if err != nil {
		return err
	}
	reply(to, t.answer)
	d.queue.Return(t.head, 0)
	return nil
}
