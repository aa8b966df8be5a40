package console

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wakes counts calls of wake.
type wakes struct{ n atomic.Int64 }

func (w *wakes) wake() { w.n.Add(1) }

// until waits for something that another goroutine does.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func pieces(s ...string) (p [][]byte) {
	for _, s := range s {
		p = append(p, []byte(s))
	}
	return p
}

func TestInput(t *testing.T) {
	r, w := io.Pipe()
	var k wakes
	c := New(r, nil, nil, k.wake)
	defer c.Close()
	defer w.Close()
	if input, room := c.Events(); input || room {
		t.Error("news before anyone has asked")
	}
	b := make([]byte, 4)
	read := func() (int, bool, syscall.Errno) { return c.Read([][]byte{b[:1], b[1:]}) }
	if n, end, errno := read(); n != 0 || end || errno != 0 {
		t.Fatalf("before any input: %d, %t, %v", n, end, errno)
	}
	w.Write([]byte("hello "))
	until(t, "no wake-up", func() bool { return k.n.Load() == 1 })
	if input, _ := c.Events(); !input {
		t.Error("no news of input")
	}
	if input, _ := c.Events(); input {
		t.Error("the same news again")
	}
	if n, end, errno := read(); n != 4 || string(b) != "hell" || end || errno != 0 {
		t.Fatalf("%d, %q, %t, %v", n, b, end, errno)
	}
	if input, _ := c.Events(); input {
		t.Error("news that nobody has asked for")
	}
	// To read nothing is to ask.
	if n, end, errno := c.Read(nil); n != 0 || end || errno != 0 {
		t.Fatalf("%d, %t, %v", n, end, errno)
	}
	if input, _ := c.Events(); !input || k.n.Load() != 2 {
		t.Errorf("input %t after %d wake-ups", input, k.n.Load())
	}
	if n, _, _ := read(); n != 2 || string(b[:2]) != "o " {
		t.Fatalf("%d, %q", n, b)
	}
	go w.CloseWithError(io.EOF)
	until(t, "no end", func() bool { _, end, _ := read(); return end })
	if n, end, errno := read(); n != 0 || !end || errno != 0 {
		t.Errorf("at the end: %d, %t, %v", n, end, errno)
	}
	if input, _ := c.Events(); input {
		t.Error("the end is news for ever")
	}
}

func TestInputFails(t *testing.T) {
	for _, f := range []struct {
		err   error
		errno syscall.Errno
	}{{syscall.EISDIR, syscall.EISDIR}, {errors.New("bad"), syscall.EIO}, {os.ErrClosed, syscall.EPIPE}} {
		var k wakes
		c := New(io.MultiReader(strings.NewReader("x"), failing{f.err}), nil, nil, k.wake)
		b := make([]byte, 10)
		until(t, "no input", func() bool { n, _, _ := c.Read([][]byte{b}); return n == 1 })
		var errno syscall.Errno
		until(t, "no error", func() bool { _, _, errno = c.Read([][]byte{b}); return errno != 0 })
		if errno != f.errno {
			t.Errorf("%v: errno %v, want %v", f.err, errno, f.errno)
		}
		c.Close()
	}
	c := New(nil, nil, nil, func() {})
	if n, end, errno := c.Read([][]byte{make([]byte, 1)}); n != 0 || !end || errno != 0 {
		t.Errorf("no input at all: %d, %t, %v", n, end, errno)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestCloseInput: the goroutine that reads ends with the console, and the file is the caller's as it was.
func TestCloseInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	before := runtime.NumGoroutine()
	c := New(r, nil, nil, func() {})
	c.Read([][]byte{make([]byte, 1)})
	c.Close()
	if n := runtime.NumGoroutine(); n != before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	w.Write([]byte("x"))
	if n, err := r.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Errorf("read afterwards: %d, %v", n, err)
	}
}

// TestFiles writes to what nobody reads, of each kind, until there is no room, and then reads.
func TestFiles(t *testing.T) {
	for name, open := range map[string]func() (r, w *os.File, err error){
		"pipe":              os.Pipe,
		"non-blocking pipe": nonblockingPipe,
		"socket":            socketpair,
	} {
		for _, nowait := range []bool{true, false} {
			r, w, err := open()
			if err != nil {
				t.Fatal(err)
			}
			var k wakes
			c := New(nil, w, nil, k.wake)
			c.out[0].(*file).nowait = nowait
			block := bytes.Repeat([]byte("0123456789abcde\n"), 5000)
			var sent int
			for sent < 100<<20 {
				n, errno := c.Write(1, [][]byte{block[:100], block[100:]})
				if sent += n; errno == syscall.EAGAIN {
					break
				}
				if n != len(block) || errno != 0 {
					t.Fatalf("%s: %d bytes, %v", name, n, errno)
				}
			}
			if _, room := c.Events(); room || !c.Awaits() {
				t.Fatalf("%s: room %t after %d bytes, waits %t", name, room, sent, c.Awaits())
			}
			fds := c.Await(nil)
			if n, err := unix.Poll(fds, 0); len(fds) != 1 || n != 0 || err != nil {
				t.Errorf("%s: %d descriptors, %d ready, %v", name, len(fds), n, err)
			}
			io.ReadFull(r, make([]byte, sent))
			if n, err := unix.Poll(fds, 20_000); n != 1 || err != nil {
				t.Errorf("%s: %d ready, %v", name, n, err)
			}
			if _, room := c.Events(); !room || c.Awaits() {
				t.Errorf("%s: no news of room", name)
			}
			if _, room := c.Events(); room {
				t.Errorf("%s: the same news again", name)
			}
			if n, errno := c.Write(1, pieces("a", "", "bc")); n != 3 || errno != 0 {
				t.Errorf("%s: %d, %v", name, n, errno)
			}
			r.Close()
			if n, errno := c.Write(1, pieces("gone")); n != 0 || errno != syscall.EPIPE {
				t.Errorf("%s: %d, %v with nobody to read", name, n, errno)
			}
			w.Close()
			if n, errno := c.Write(1, pieces("closed")); n != 0 || errno != syscall.EPIPE {
				t.Errorf("%s: %d, %v when closed", name, n, errno)
			}
			c.Close()
		}
	}
}

func nonblockingPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w"), nil
}

func socketpair() (r, w *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w"), nil
}

// TestPlainFiles: regular files and the null device take everything, and a full one says so.
func TestPlainFiles(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	c := New(nil, f, null, func() {})
	defer c.Close()
	big := strings.Repeat("x", 300_000)
	for stream := 1; stream <= 2; stream++ {
		if n, errno := c.Write(stream, pieces("a", big)); n != 1+len(big) || errno != 0 {
			t.Errorf("stream %d: %d, %v", stream, n, errno)
		}
	}
	if b, err := os.ReadFile(f.Name()); string(b) != "a"+big {
		t.Errorf("the file has %d bytes, %v", len(b), err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	if n, errno := New(nil, full, nil, func() {}).Write(1, pieces("x")); n != 0 || errno != syscall.ENOSPC {
		t.Errorf("full: %d, %v", n, errno)
	}
}

// TestWriter: a writer that takes its time does not keep the guest for long, and loses nothing.
func TestWriter(t *testing.T) {
	var k wakes
	w := &slow{gate: make(chan error, 1)}
	c := New(nil, w, nil, k.wake)
	begin := time.Now()
	if n, errno := c.Write(1, pieces("one")); n != 3 || errno != 0 {
		t.Fatalf("%d, %v", n, errno)
	}
	if d := time.Since(begin); d < patience/2 {
		t.Errorf("it waited only %v", d)
	}
	if n, errno := c.Write(1, pieces("two")); n != 0 || errno != syscall.EAGAIN {
		t.Fatalf("%d, %v while it is at work", n, errno)
	}
	if _, room := c.Events(); room || c.Awaits() || len(c.Await(nil)) != 0 {
		t.Error("room, or a descriptor")
	}
	w.gate <- nil
	until(t, "no wake-up", func() bool { return k.n.Load() == 1 })
	if _, room := c.Events(); !room {
		t.Error("no news of room")
	}
	w.gate <- nil
	if n, errno := c.Write(1, pieces("two")); n != 3 || errno != 0 {
		t.Errorf("%d, %v", n, errno)
	}
	until(t, "not written", func() bool { return len(w.gate) == 0 })

	// An error that comes late is that of the next write.
	if n, errno := c.Write(1, pieces("three")); n != 5 || errno != 0 {
		t.Errorf("%d, %v", n, errno)
	}
	stop := make(chan struct{})
	close(stop)
	c.Drain(stop) // does not wait
	w.gate <- syscall.ENOSPC
	c.Drain(nil) // waits
	if n, errno := c.Write(1, pieces("four")); n != 0 || errno != syscall.ENOSPC {
		t.Errorf("%d, %v", n, errno)
	}
	w.gate <- nil
	if n, errno := c.Write(1, pieces("five")); n != 4 || errno != 0 {
		t.Errorf("%d, %v", n, errno)
	}
	c.Drain(nil)
	c.Close()
	select {
	case <-c.out[0].(*writer).done:
	default:
		t.Error("the goroutine that writes goes on")
	}
	if s := w.String(); s != "onetwofive" {
		t.Errorf("%q arrived", s)
	}
}

// slow writes when it may.
type slow struct {
	bytes.Buffer
	gate chan error
}

func (s *slow) Write(b []byte) (int, error) {
	if err := <-s.gate; err != nil {
		return 0, err
	}
	return s.Buffer.Write(b)
}

func TestWriterFails(t *testing.T) {
	for _, f := range []struct {
		err   error
		errno syscall.Errno
	}{{syscall.ENOSPC, syscall.ENOSPC}, {errors.New("bad"), syscall.EIO}, {io.ErrClosedPipe, syscall.EPIPE}} {
		c := New(nil, failing{f.err}, nil, func() {})
		// Usually at once, but an error may come late.
		_, errno := c.Write(1, pieces("x"))
		if errno == 0 {
			c.Drain(nil)
			_, errno = c.Write(1, pieces("x"))
		}
		if errno != f.errno {
			t.Errorf("%v: errno %v, want %v", f.err, errno, f.errno)
		}
		c.Close()
	}
	var b bytes.Buffer
	c := New(nil, nil, &b, func() {})
	long := strings.Repeat("long", 100_000)
	for n := 0; n < len(long); {
		k, errno := c.Write(2, pieces(long[n:]))
		if n += k; errno == syscall.EAGAIN {
			c.Drain(nil)
		} else if errno != 0 {
			t.Fatal(errno)
		}
	}
	c.Drain(nil)
	if n, errno := c.Write(1, pieces("nowhere")); n != 7 || errno != 0 || b.String() != long {
		t.Errorf("%d, %v; %d bytes arrived", n, errno, b.Len())
	}
	c.Close()
}
