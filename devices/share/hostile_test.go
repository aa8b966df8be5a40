package share

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"ukvm.dev/hostdir"
	"ukvm.dev/hypercall"
)

// arena is guest memory, from address 0 on.
type arena []byte

var errOutside = errors.New("outside of guest memory")

func (a arena) Slices(dst [][]byte, va hypercall.GVA, n uint64, _ uint32) ([][]byte, error) {
	if uint64(va) > uint64(len(a)) || n > uint64(len(a))-uint64(va) {
		return dst, errOutside
	}
	for b := a[va:][:n]; len(b) > 0; { // in pieces, as pages are
		k := min(len(b), 4096-int(va)%4096)
		dst = append(dst, b[:k])
		b, va = b[k:], va+hypercall.GVA(k)
	}
	return dst, nil
}

// hostile is a guest that does as it likes.
type hostile struct {
	device *Device
	queue  *hypercall.Queue
	memory arena
	woken  chan struct{}
	beside string // a file that is not shared
}

func newHostile(t testing.TB) *hostile {
	t.Helper()
	top := t.TempDir()
	given := filepath.Join(top, "given")
	h := &hostile{memory: make(arena, 1<<21), woken: make(chan struct{}, 1), beside: filepath.Join(top, "beside")}
	for _, err := range []error{
		os.Mkdir(given, 0o755), os.WriteFile(filepath.Join(given, "file"), []byte("contents"), 0o644), os.Symlink("../beside", filepath.Join(given, "link")),
		os.WriteFile(h.beside, []byte("secret"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := hostdir.Open(given, hostdir.Options{MaxNodes: 100})
	if err != nil {
		t.Fatal(err)
	}
	mem := make([]byte, hypercall.QueueSize)
	h.queue = (*hypercall.Queue)(unsafe.Pointer(&mem[0]))
	h.device = New(dir, mem, h.memory, noFiles{}, func() {
		select {
		case h.woken <- struct{}{}:
		default:
		}
	})
	t.Cleanup(func() {
		h.device.Close()
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(h.beside); string(b) != "secret" || err != nil {
			t.Errorf("the file beside is %q, %v", b, err)
		}
	})
	return h
}

// offer makes a chain of descriptors available.
func (h *hostile) offer(descriptors ...hypercall.Desc) {
	for i, d := range descriptors {
		if i+1 < len(descriptors) {
			d.Flags |= hypercall.DescNext
			d.Next = uint16(i + 1)
		}
		h.queue.Desc[i] = d
	}
	h.queue.Avail.Ring[h.queue.Avail.Index%hypercall.QueueLen] = 0
	h.queue.Avail.Index++
}

// Where things are in the arena.
const (
	requestAt = 0x0ffc // across pages
	replyAt   = 0x8ff0
	dataAt    = 0x10000
)

const (
	requestSize = hypercall.ShareRequestSize
	replySize   = hypercall.ShareReplySize
	write       = hypercall.DescWrite
)

// ask makes an honest request and returns its answer.
func (h *hostile) ask(t testing.TB, q hypercall.ShareRequest, name string, in, out uint32) (r hypercall.ShareReply) {
	t.Helper()
	q.Name = uint16(len(name))
	q.Put(h.memory[requestAt:])
	copy(h.memory[requestAt+requestSize:], name)
	chain := []hypercall.Desc{{Addr: requestAt, Len: uint32(requestSize + len(name))}}
	if in > 0 {
		chain = append(chain, hypercall.Desc{Addr: dataAt, Len: in})
	}
	chain = append(chain, hypercall.Desc{Addr: replyAt, Len: replySize, Flags: write})
	if out > 0 {
		chain = append(chain, hypercall.Desc{Addr: dataAt, Len: out, Flags: write})
	}
	h.offer(chain...)
	for used := h.queue.Used.Index; ; <-h.woken {
		if _, err := h.device.Serve(); err != nil {
			t.Fatal(err)
		}
		if h.queue.Used.Index != used {
			break
		}
	}
	r.Get(h.memory[replyAt:])
	return r
}

// TestHonest: what goes to workers and what does not is answered alike.
func TestHonest(t *testing.T) {
	h := newHostile(t)
	op := func(op hypercall.ShareOp, node uint64) hypercall.ShareRequest {
		return hypercall.ShareRequest{Op: uint32(op), Node: node}
	}
	file := h.ask(t, op(hypercall.ShareLookup, hypercall.ShareRoot), "file", 0, 0)
	if file.Errno != 0 || file.Attr.Size != 8 {
		t.Fatalf("%+v", file)
	}
	open := op(hypercall.ShareOpen, file.Node)
	open.Flags = 1
	if r := h.ask(t, open, "", 0, 0); r.Errno != 0 {
		t.Fatalf("%+v", r)
	}
	if r := h.ask(t, op(hypercall.ShareRead, file.Node), "", 0, 100); r.N != 8 || string(h.memory[dataAt:][:8]) != "contents" {
		t.Errorf("%+v", r)
	}
	copy(h.memory[dataAt:], "CON")
	if r := h.ask(t, op(hypercall.ShareWrite, file.Node), "", 3, 0); r.N != 3 || r.Node != 3 || r.Attr.Size != 8 {
		t.Errorf("%+v", r)
	}
	if r := h.ask(t, op(hypercall.ShareSync, file.Node), "", 0, 0); r.Errno != 0 {
		t.Errorf("%+v", r)
	}
	truncate := op(hypercall.ShareSetAttr, file.Node)
	truncate.Set, truncate.Size = hypercall.ShareSetSize, 5
	if r := h.ask(t, truncate, "", 0, 0); r.Errno != 0 || r.Attr.Size != 5 {
		t.Errorf("%+v", r)
	}
	if r := h.ask(t, op(hypercall.ShareOp(77), file.Node), "", 0, 0); r.Errno != uint32(syscall.ENOSYS) {
		t.Errorf("%+v", r)
	}
	if c := h.device.Counters; c.Requests != 7 || c.Waited < 2 || c.Read != 8 || c.Written != 3 {
		t.Errorf("%+v", c)
	}
}

// TestMisuse breaks one rule of the contract at a time: each ends the guest.
func TestMisuse(t *testing.T) {
	good := hypercall.ShareRequest{Op: uint32(hypercall.ShareRead), Node: hypercall.ShareRoot}
	named := good
	named.Name = 9
	request := hypercall.Desc{Addr: requestAt, Len: requestSize}
	reply := hypercall.Desc{Addr: replyAt, Len: replySize, Flags: write}
	for _, c := range []struct {
		name  string
		q     hypercall.ShareRequest
		chain []hypercall.Desc
		err   error
	}{
		{"no reply", good, []hypercall.Desc{request}, ErrGuest},
		{"no request", good, []hypercall.Desc{reply}, ErrGuest},
		{"the reply first", good, []hypercall.Desc{reply, request}, ErrGuest},
		{"a short request", good, []hypercall.Desc{{Addr: requestAt, Len: requestSize - 1}, reply}, ErrGuest},
		{"a long request", good, []hypercall.Desc{{Addr: requestAt, Len: 1 << 31}, reply}, ErrGuest},
		{"names that are not there", named, []hypercall.Desc{request, reply}, ErrGuest},
		{"a short reply", good, []hypercall.Desc{request, {Addr: replyAt, Len: replySize - 1, Flags: write}}, ErrGuest},
		{"too much to read", good, []hypercall.Desc{request, reply, {Addr: dataAt, Len: hypercall.MaxShareData, Flags: write}, {Addr: dataAt, Len: 1, Flags: write}}, ErrGuest},
		{"too much to write", good, []hypercall.Desc{request, {Addr: dataAt, Len: 1 << 31}, {Addr: dataAt, Len: 1 << 31}, reply}, ErrGuest},
		{"a request outside of memory", good, []hypercall.Desc{{Addr: 1 << 40, Len: requestSize}, reply}, errOutside},
		{"a reply outside of memory", good, []hypercall.Desc{request, {Addr: 1<<64 - 8, Len: replySize, Flags: write}}, errOutside},
		{"data outside of memory", good, []hypercall.Desc{request, reply, {Addr: 1<<21 - 1, Len: 2, Flags: write}}, errOutside},
	} {
		h := newHostile(t)
		c.q.Put(h.memory[requestAt:])
		h.offer(c.chain...)
		if _, err := h.device.Serve(); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
	// More requests under way than there can be.
	h := newHostile(t)
	q := hypercall.ShareRequest{Op: uint32(hypercall.ShareSync), Node: hypercall.ShareRoot}
	q.Put(h.memory[requestAt:])
	var err error
	for i := 0; i < 100_000 && err == nil; i++ {
		h.offer(request, reply)
		_, err = h.device.Serve()
		if h.queue.Avail.Index%1000 == 0 {
			h.device.mu.Lock() // nothing is finished meanwhile
			for range 300 {
				h.offer(request, reply)
				if n, _ := h.device.queue.Waiting(); n > 0 {
					err = errors.Join(err, h.device.next())
				}
			}
			h.device.mu.Unlock()
		}
	}
	if !errors.Is(err, ErrGuest) {
		t.Errorf("a flood of requests: %v", err)
	}
}

// FuzzRequest serves requests of any bytes, several in a row.
func FuzzRequest(f *testing.F) {
	h := newHostile(f)
	seed := func(q hypercall.ShareRequest, name string) {
		b := make([]byte, requestSize)
		q.Name = uint16(len(name))
		q.Put(b)
		f.Add(append(b, name...), uint16(100), uint16(100))
	}
	for op := range hypercall.ShareMax + 1 {
		seed(hypercall.ShareRequest{Op: uint32(op), Node: hypercall.ShareRoot}, "file")
		seed(hypercall.ShareRequest{Op: uint32(op), Node: 2, Other: hypercall.ShareRoot}, "")
		seed(hypercall.ShareRequest{Op: uint32(op), Node: hypercall.ShareRoot, Flags: 1, Mode: syscall.S_IFREG | 0o644}, "../beside")
	}
	f.Fuzz(func(t *testing.T, b []byte, in, out uint16) {
		if len(b) < requestSize {
			return
		}
		b = b[:min(len(b), requestSize+hypercall.MaxShareName)]
		if op := binary.LittleEndian.Uint32(b); op == uint32(hypercall.ShareAllocate) || op == uint32(hypercall.ShareSetAttr) {
			binary.LittleEndian.PutUint64(b[32:], binary.LittleEndian.Uint64(b[32:])%(1<<20)) // not the machine's disk
			binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])%(1<<20))
		}
		if op := binary.LittleEndian.Uint32(b); op == uint32(hypercall.ShareWrite) {
			binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])%(1<<20))
		}
		copy(h.memory[requestAt:], b)
		h.offer(
			hypercall.Desc{Addr: requestAt, Len: uint32(len(b))}, hypercall.Desc{Addr: dataAt, Len: uint32(in)},
			hypercall.Desc{Addr: replyAt, Len: replySize, Flags: write}, hypercall.Desc{Addr: dataAt, Len: uint32(out), Flags: write},
		)
		used := h.queue.Used.Index
		if _, err := h.device.Serve(); err != nil {
			if !errors.Is(err, ErrGuest) {
				t.Fatal(err)
			}
			h.device.queue.Next = h.queue.Avail.Index // a new guest
			return
		}
		for h.queue.Used.Index == used {
			<-h.woken
			if _, err := h.device.Serve(); err != nil {
				t.Fatal(err)
			}
		}
		var r hypercall.ShareReply
		if r.Get(h.memory[replyAt:]); r.N < 0 || r.Errno > 133 || r.Errno != 0 && (r.N != 0 || r.Node != 0) {
			t.Errorf("answer %+v", r)
		}
	})
}

// TestReadMemory: a guest that has many long reads wait costs the host no more memory than workers can fill at a time, until it
// takes what was read; and all of them are answered then.
func TestReadMemory(t *testing.T) {
	h := newHostile(t)
	file := h.ask(t, hypercall.ShareRequest{Op: uint32(hypercall.ShareLookup), Node: hypercall.ShareRoot}, "file", 0, 0)
	open := hypercall.ShareRequest{Op: uint32(hypercall.ShareOpen), Node: file.Node}
	if r := h.ask(t, open, "", 0, 0); r.Errno != 0 {
		t.Fatalf("%+v", r)
	}
	const many = 100
	read := hypercall.ShareRequest{Op: uint32(hypercall.ShareRead), Node: file.Node}
	read.Put(h.memory[requestAt:])
	d := h.device
	for range many {
		h.offer(
			hypercall.Desc{Addr: requestAt, Len: requestSize}, hypercall.Desc{Addr: replyAt, Len: replySize, Flags: write},
			hypercall.Desc{Addr: dataAt, Len: hypercall.MaxShareData, Flags: write},
		)
		buffers, n, err := d.queue.Request(nil, d.queue.Head(0))
		if err != nil {
			t.Fatal(err)
		}
		q, err := d.parse(buffers, n)
		if err != nil {
			t.Fatal(err)
		}
		d.queue.Take()
		d.out++
		d.delegate(q, 0) // as if a disk were slow
	}
	held := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.done)
	}
	for held() < maxWorkers {
		<-h.woken
	}
	if n := held(); n != maxWorkers {
		t.Errorf("%d reads of a MiB are held", n)
	}
	for used := h.queue.Used.Index; h.queue.Used.Index-used < many; {
		if _, err := d.Serve(); err != nil {
			t.Fatal(err)
		}
	}
	if string(h.memory[dataAt:][:8]) != "contents" || d.out != 0 || len(d.spare) != maxWorkers {
		t.Errorf("%q, %d are out, %d buffers are spare", h.memory[dataAt:][:8], d.out, len(d.spare))
	}
}

// noFiles is a Mapper that closes what it gets.
type noFiles struct{}

func (noFiles) Map(fd int, at int64, n uint64, write bool) (hypercall.GVA, syscall.Errno) {
	syscall.Close(fd)
	return 0, syscall.ENOMEM
}

func (noFiles) Unmap(va hypercall.GVA) syscall.Errno { return syscall.EINVAL }
