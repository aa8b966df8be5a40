// Package share is the monitor's end of a shared directory (hypercall/share.go): it takes requests from a queue, checks them
// against the contract, has package hostdir serve them, and gives them back with their answers.
//
// What the host can answer from its memory is answered at once, on the vCPU's thread: most requests are, and cost the exit that
// found them. Reads that have to wait for a disk, syncs, and whatever else may take long go to a few workers, so that the
// guest runs on. Workers never touch guest memory, which has another layout as soon as the guest runs: they read into
// memory of the monitor's, of which there is as much as all of them can read at a time.
//
// Everything in a request is the guest's word: lengths are bounded by the contract before memory is looked at, and names and
// handles by package hostdir.
package share

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"ukvm.dev/devices/ring"
	"ukvm.dev/hostdir"
	"ukvm.dev/hypercall"
	"ukvm.dev/internal/pieces"
)

// ErrGuest is wrapped by errors that the guest has caused; they end it.
var ErrGuest = errors.New("shared directory misused")

// Device is one shared directory. It is used by the vCPU's thread while the vCPU does not run, but for Close.
type Device struct {
	dir    *hostdir.Dir
	queue  *ring.Queue
	memory ring.Memory
	files  Mapper

	buffers []ring.Buffer
	pieces  [][]byte
	head    []byte // of the request being served
	out     int    // chains that workers have
	wake    func() // tells the vCPU's thread that a worker is done
	jobs    chan *task
	spare   chan []byte // what workers read into, and what finish has copied
	quit    chan struct{}
	workers sync.WaitGroup
	started int // workers

	mu   sync.Mutex
	done []*task

	Counters Counters
}

// Mapper has files of the host's appear among the guest's addresses. Its methods are called on the vCPU's thread while the vCPU does
// not run.
type Mapper interface {
	// Map has n bytes of fd, which it takes over, from at on appear, to be written if write is set, and returns where. The file may
	// be shorter. Errors: ENOMEM, those of mmap(2).
	Map(fd int, at int64, n uint64, write bool) (hypercall.GVA, syscall.Errno)
	// Unmap takes back what Map has returned. Errors: EINVAL if it has not.
	Unmap(va hypercall.GVA) syscall.Errno
}

// Counters count requests.
type Counters struct {
	Requests, Waited uint64 // and of those, how many went to a worker
	Read, Written    uint64 // bytes
}

// maxWorkers is how many requests can wait for the host's disks at a time.
const maxWorkers = 4

// New makes a device on a queue's memory. wake is called by workers, at any time until Close returns.
func New(dir *hostdir.Dir, queue []byte, memory ring.Memory, files Mapper, wake func()) *Device {
	d := &Device{
		dir: dir, queue: ring.New(queue), memory: memory, files: files, wake: wake,
		head: make([]byte, hypercall.ShareRequestSize+hypercall.MaxShareName),
		jobs: make(chan *task, hypercall.QueueLen), spare: make(chan []byte, maxWorkers), quit: make(chan struct{}),
	}
	for range maxWorkers {
		d.spare <- nil
	}
	return d
}

// Close waits for the workers and ends them.
func (d *Device) Close() {
	close(d.quit)
	close(d.jobs)
	d.workers.Wait()
}

// Finished reports whether a worker is done with something that Serve gives back.
func (d *Device) Finished() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.done) > 0
}

// News reports whether the guest has something to look at.
func (d *Device) News() bool { return d.queue.News() }

// Serve answers what the guest asks and what workers are done with. moved is whether there was anything. The error is the
// guest's fault (ErrGuest) or that of its memory.
func (d *Device) Serve() (moved bool, err error) {
	moved, err = d.finish()
	if err != nil {
		return moved, err
	}
	n, err := d.queue.Waiting()
	if err != nil {
		return moved, fmt.Errorf("%w: %w", ErrGuest, err)
	}
	for ; n > 0; n-- {
		if err := d.next(); err != nil {
			return moved, err
		}
		moved = true
	}
	if moved {
		d.queue.Publish()
	}
	return moved, nil
}

// next serves the next waiting request, or gives it to the workers.
func (d *Device) next() error {
	head := d.queue.Head(0)
	buffers, read, err := d.queue.Request(d.buffers[:0], head)
	d.buffers = buffers
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGuest, err)
	}
	q, err := d.parse(buffers, read)
	if err != nil {
		return err
	}
	d.Counters.Requests++
	d.queue.Take()
	answer, later := d.serve(q)
	if later {
		if d.out++; d.out > hypercall.QueueLen {
			return fmt.Errorf("%w: more requests than descriptors", ErrGuest)
		}
		d.Counters.Waited++
		d.delegate(q, head)
		return nil
	}
	reply(q.reply, answer)
	d.queue.Return(head, 0)
	return nil
}

// request is a request as it was read, once, from the guest.
type request struct {
	hypercall.ShareRequest
	name, name2 string
	in          [][]byte // what is to be written: guest memory
	out         [][]byte // where to put what is read: guest memory
	reply       [][]byte

	outBuffers []ring.Buffer // out and reply, as the guest gave them
	replyAt    ring.Buffer
}

// parse reads a request and finds the memory that belongs to it. Buffers up to read are the guest's, the others for the answer.
func (d *Device) parse(buffers []ring.Buffer, read int) (q request, err error) {
	if read == 0 || len(buffers) == read {
		return q, fmt.Errorf("%w: a chain that is no request", ErrGuest)
	}
	first := buffers[0]
	if first.Len < hypercall.ShareRequestSize || int(first.Len) > len(d.head) {
		return q, fmt.Errorf("%w: a request of %d bytes", ErrGuest, first.Len)
	}
	d.pieces = d.pieces[:0]
	if d.pieces, err = d.memory.Slices(d.pieces, first.Addr, uint64(first.Len), hypercall.ProtRead); err != nil {
		return q, fmt.Errorf("request at %#x: %w", first.Addr, err)
	}
	head := d.head[:first.Len]
	pieces.Gather(head, d.pieces)
	q.Get(head)
	names := head[hypercall.ShareRequestSize:]
	if int(q.Name)+int(q.Name2) != len(names) {
		return q, fmt.Errorf("%w: %d bytes of names, not %d and %d", ErrGuest, len(names), q.Name, q.Name2)
	}
	q.name, q.name2 = string(names[:q.Name]), string(names[q.Name:])
	in, out := buffers[1:read], buffers[read+1:]
	if err := bounded(in); err != nil {
		return q, err
	}
	if err := bounded(out); err != nil {
		return q, err
	}
	if q.replyAt = buffers[read]; q.replyAt.Len != hypercall.ShareReplySize {
		return q, fmt.Errorf("%w: an answer of %d bytes", ErrGuest, q.replyAt.Len)
	}
	q.outBuffers = out
	if q.in, err = d.slices(in, hypercall.ProtRead); err != nil {
		return q, err
	}
	if q.out, err = d.slices(out, hypercall.ProtWrite); err != nil {
		return q, err
	}
	q.reply, err = d.slices([]ring.Buffer{q.replyAt}, hypercall.ProtWrite)
	return q, err
}

// bounded checks how much a request moves before its memory is looked at: what a guest costs the host depends on it.
func bounded(buffers []ring.Buffer) error {
	n := uint64(0)
	for _, b := range buffers {
		n += uint64(b.Len)
	}
	if n > hypercall.MaxShareData {
		return fmt.Errorf("%w: %d bytes at once", ErrGuest, n)
	}
	return nil
}

// slices is the memory of buffers.
func (d *Device) slices(buffers []ring.Buffer, access uint32) (list [][]byte, err error) {
	for _, b := range buffers {
		if b.Len == 0 {
			continue
		}
		if list, err = d.memory.Slices(list, b.Addr, uint64(b.Len), access); err != nil {
			return nil, fmt.Errorf("buffer at %#x: %w", b.Addr, err)
		}
	}
	return list, nil
}

// reply writes an answer.
func reply(to [][]byte, a hypercall.ShareReply) {
	if a.Errno != 0 {
		a = hypercall.ShareReply{Errno: a.Errno}
	}
	var b [hypercall.ShareReplySize]byte
	a.Put(b[:])
	pieces.Scatter(to, b[:])
}

// fail is an answer that says only what went wrong.
func fail(errno syscall.Errno) hypercall.ShareReply {
	return hypercall.ShareReply{Errno: uint32(errno)}
}

func infoOf(a hostdir.Attr) hypercall.ShareInfo {
	return hypercall.ShareInfo{
		Ino: a.Ino, Rdev: a.Rdev, Mode: a.Mode, Nlink: a.Nlink, UID: a.UID, GID: a.GID, Size: a.Size, Allocated: a.Allocated,
		Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime, Btime: a.Btime,
	}
}
