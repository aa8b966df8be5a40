// Command splicing copies between connections and files with io.Copy, where package net uses splice and sendfile, and prints
// what has arrived: the cases of net.TestSplice, which runs itself as another process and so is none for guests. The test
// runs it on Linux, too, and expects the same.
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// patience is how long a connection may wait: much longer than any does.
const patience = time.Minute

func main() {
	dir, err := os.MkdirTemp("", "splicing")
	check(err)
	defer os.RemoveAll(dir)
	for _, from := range []string{"tcp", "unix", "file"} {
		for _, to := range []string{"tcp", "unix", "file"} {
			for _, c := range []shape{
				{"nothing", 1, 0, 0}, {"simple", 128, 128, 0}, {"many writes", 4096, 1 << 20, 0}, {"odd", 65_537, 3<<20 + 1, 0},
				{"big", 5 << 20, 64 << 20, 0}, {"limit below", 4096, 1 << 20, 1 << 10}, {"limit above", 1024, 4096, 4096 + 100},
				{"limit at", 32, 128, 128},
			} {
				c.copy(dir, from, to)
			}
		}
	}
	for _, from := range []string{"tcp", "unix"} {
		closedSource(dir, from)
		proxy(dir, from)
		resetSource(dir, from)
		goneDestination(dir, from)
		lateSource(dir, from)
	}
	packets(dir)
}

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// shape is what is copied: total bytes, written in chunks, of which a LimitedReader lets limit through; 0 is no limit.
type shape struct {
	name                string
	chunk, total, limit int
}

// copy copies from one kind of thing to another, and prints how much and the checksum of what has arrived.
func (c shape) copy(dir, from, to string) {
	source := open(dir, from, func(w io.WriteCloser) {
		n := c.total
		if c.limit > 0 {
			n = min(n, c.limit) // more would wait for a reader
		}
		check(write(w, c.chunk, n))
	})
	destination, arrived := collect(dir, to)
	var r io.Reader = source
	if c.limit > 0 {
		r = &io.LimitedReader{R: source, N: int64(c.limit)}
	}
	n, err := io.Copy(destination, r)
	check(err)
	destination.Close()
	source.Close()
	rest := ""
	if l, ok := r.(*io.LimitedReader); ok {
		rest = fmt.Sprintf(", %d of the limit left", l.N)
	}
	fmt.Printf("%s to %s, %s: %d copied%s, %s arrived\n", from, to, c.name, n, rest, <-arrived)
}

// write writes n bytes of a pattern that does not repeat at any chunk's length, chunk by chunk, and closes w: a connection
// for writing only.
func write(w io.WriteCloser, chunk, n int) error {
	const prime = 8191
	pattern := make([]byte, chunk+prime)
	for i := range pattern {
		pattern[i] = byte(i % prime)
	}
	for at := 0; at < n; {
		k := min(chunk, n-at)
		if _, err := w.Write(pattern[at%prime : at%prime+k]); err != nil {
			return err
		}
		at += k
	}
	return shut(w)
}

// shut is the end of what is written.
func shut(w io.WriteCloser) error {
	if half, ok := w.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return w.Close()
}

// open is something to read from that fill writes.
func open(dir, kind string, fill func(io.WriteCloser)) io.ReadCloser {
	if kind == "file" {
		f := create(dir)
		fill(f)
		return reopen(f)
	}
	client, server := pair(dir, kind)
	go func() {
		fill(client)
		io.Copy(io.Discard, client) // until the other end is closed
		client.Close()
	}()
	return server
}

// collect is something to write to, and what has arrived there once it is closed.
func collect(dir, kind string) (io.WriteCloser, <-chan sum) {
	arrived := make(chan sum, 1)
	if kind == "file" {
		f := create(dir)
		return closer{f, func() {
			f := reopen(f)
			arrived <- read(f)
			f.Close()
		}}, arrived
	}
	client, server := pair(dir, kind)
	go func() {
		arrived <- read(client)
		client.Close()
	}()
	return server, arrived
}

// closer is a file after whose Close something is done. It embeds the file, so that io.Copy finds its ReadFrom.
type closer struct {
	*os.File
	after func()
}

func (c closer) Close() error {
	err := c.File.Close()
	c.after()
	return err
}

func create(dir string) *os.File {
	f, err := os.CreateTemp(dir, "")
	check(err)
	return f
}

// reopen opens a file again, for reading, and removes it: a guest's files are in its memory.
func reopen(f *os.File) *os.File {
	again, err := os.Open(f.Name())
	check(err)
	check(os.Remove(f.Name()))
	return again
}

// sum is what was read: how much, and its checksum.
type sum struct {
	n int64
	h hash.Hash
}

func (s sum) String() string { return fmt.Sprintf("%d bytes %.8x", s.n, s.h.Sum(nil)) }

func read(r io.Reader) sum {
	s := sum{h: sha256.New()}
	var err error
	s.n, err = io.Copy(s.h, r)
	check(err)
	return s
}

// pair is a connection: the end that has dialled and the one that was accepted.
func pair(dir, kind string) (client, server net.Conn) {
	l := listen(dir, kind)
	defer l.Close()
	client, err := net.Dial(kind, l.Addr().String())
	check(err)
	server, err = l.Accept()
	check(err)
	for _, c := range []net.Conn{client, server} {
		check(c.SetDeadline(time.Now().Add(patience)))
	}
	return client, server
}

var sockets int

func listen(dir, kind string) net.Listener {
	address := "127.0.0.1:0"
	if kind != "tcp" {
		sockets++
		address = filepath.Join(dir, fmt.Sprintf("socket%d", sockets))
	}
	l, err := net.Listen(kind, address)
	check(err)
	return l
}

// closedSource copies from a connection that this end has closed: an error, and the destination is as good as before.
func closedSource(dir, from string) {
	far, source := pair(dir, from)
	defer far.Close()
	client, destination := pair(dir, "tcp")
	defer client.Close()
	source.Close()
	go func() {
		n, err := destination.(io.ReaderFrom).ReadFrom(source)
		fmt.Printf("%s closed: %d copied, %v\n", from, n, cause(err))
		io.WriteString(destination, "bye")
		destination.Close()
	}()
	b, err := io.ReadAll(client)
	check(err)
	fmt.Printf("%s closed: %q arrives after it\n", from, b)
}

// proxy copies both ways. A client that has written and closes ends both (https://go.dev/issue/25985).
func proxy(dir, from string) {
	front, back := listen(dir, from), listen(dir, "tcp")
	defer front.Close()
	defer back.Close()
	done := make(chan string, 2)
	go func() {
		source, err := front.Accept()
		check(err)
		destination, err := net.Dial("tcp", back.Addr().String())
		check(err)
		there := make(chan bool)
		go func() {
			_, err := io.Copy(source, destination)
			<-there
			done <- fmt.Sprintf("back: %v", cause(err))
		}()
		n, err := io.Copy(destination, source)
		done <- fmt.Sprintf("there: %d, %v", n, cause(err))
		destination.Close()
		source.Close()
		close(there)
	}()
	client, err := net.Dial(from, front.Addr().String())
	check(err)
	_, err = io.WriteString(client, "foo")
	check(err)
	client.Close()
	c, err := back.Accept()
	check(err)
	b, err := io.ReadAll(c)
	check(err)
	c.Close()
	fmt.Printf("%s proxied: %q, %s, %s\n", from, b, <-done, <-done)
}

// resetSource copies from a connection that is reset once some of it has arrived; a Unix connection just ends.
func resetSource(dir, from string) {
	client, source := pair(dir, from)
	destination, arrived := collect(dir, "tcp")
	hold := make(chan bool)
	go func() {
		_, err := io.WriteString(client, "before the reset")
		check(err)
		<-hold
		if c, ok := client.(*net.TCPConn); ok {
			check(c.SetLinger(0))
		}
		client.Close()
	}()
	l := &io.LimitedReader{R: source, N: 16}
	n, err := io.Copy(destination, l)
	check(err)
	close(hold)
	m, err := io.Copy(destination, source)
	destination.Close()
	source.Close()
	fmt.Printf("%s reset: %d and %d copied, %v, %s arrived\n", from, n, m, cause(err), <-arrived)
}

// goneDestination copies without end to a connection whose other end is closed.
func goneDestination(dir, from string) {
	ended := make(chan error, 1)
	client, source := pair(dir, from)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			if _, err := client.Write(buf); err != nil {
				ended <- err
				return
			}
		}
	}()
	far, destination := pair(dir, "tcp")
	far.Close()
	n, err := io.Copy(destination, source)
	fmt.Printf("%s to nobody: less than all copied %v, reset or broken %v\n", from, n < 1<<30, gone(err))
	source.Close()
	destination.Close()
	fmt.Printf("%s to nobody: the source's writer ends, reset or broken %v\n", from, gone(<-ended))
	client.Close()
}

// gone is whether an error is what a writer gets whose peer has closed: which of the two depends on whether all had been
// read by then (tcp_reset in Linux's net/ipv4/tcp_input.c).
func gone(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) }

// lateSource copies from a connection on which nothing comes, until its deadline; then it goes on.
func lateSource(dir, from string) {
	client, source := pair(dir, from)
	destination, arrived := collect(dir, "tcp")
	check(source.SetReadDeadline(time.Now().Add(20 * time.Millisecond)))
	n, err := io.Copy(destination, source)
	fmt.Printf("%s late: %d copied, %v\n", from, n, errors.Is(err, os.ErrDeadlineExceeded))
	check(source.SetReadDeadline(time.Now().Add(patience)))
	go func() {
		_, err := io.WriteString(client, "in the end")
		check(err)
		client.Close()
	}()
	n, err = io.Copy(destination, source)
	destination.Close()
	source.Close()
	fmt.Printf("%s late: %d copied, %v, %s arrived\n", from, n, cause(err), <-arrived)
}

// packets copies from sockets that keep boundaries, which are never spliced: each datagram arrives whole.
func packets(dir string) {
	client, source := pair(dir, "unixpacket")
	destination, arrived := collect(dir, "tcp")
	for _, s := range []string{"one ", "two ", "three"} {
		_, err := io.WriteString(client, s)
		check(err)
	}
	client.Close()
	n, err := io.Copy(destination, source)
	destination.Close()
	source.Close()
	fmt.Printf("unixpacket: %d copied, %v, %s arrived\n", n, cause(err), <-arrived)
}

// cause is an error without addresses, which differ from run to run.
func cause(err error) error {
	for {
		switch e := err.(type) {
		case *net.OpError:
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		case *fs.PathError:
			err = e.Err
		default:
			return err
		}
	}
}
