package matrix

import (
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// short opens n connections, some at a time. Each says a word, closes its side, and reads the word back.
func (r *rig) short(from, n int) error {
	const port = 4000
	l, err := r.ends[1-from].listen(port)
	if err != nil {
		return err
	}
	var servers sync.WaitGroup
	servers.Go(func() {
		for {
			c, err := l.accept()
			if err != nil {
				return
			}
			servers.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				io.Copy(c, c)
				c.CloseWrite()
			})
		}
	})
	defer servers.Wait()
	defer l.Close()
	var next atomic.Int64
	const atOnce = 20
	errs := make(chan error, atOnce)
	for range atOnce {
		go func() {
			for {
				i := next.Add(1)
				if i > int64(n) {
					errs <- nil
					return
				}
				if err := r.echo(from, port, fmt.Sprintf("word %d", i)); err != nil {
					errs <- fmt.Errorf("connection %d from %s: %w", i, r.ends[from].name(), err)
					return
				}
			}
		}()
	}
	for range atOnce {
		if e := <-errs; err == nil {
			err = e
		}
	}
	return err
}

func (r *rig) echo(from int, port uint16, word string) error {
	c, err := r.ends[from].dial(0, netip.AddrPortFrom(r.plugs[1-from].addr(), port))
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != word {
		return fmt.Errorf("got %q, %v for %q", b, err, word)
	}
	return nil
}

// halfClose closes one direction of a connection; the other still works.
func (r *rig) halfClose(from int) error {
	pair, err := r.pair(from)
	if err != nil {
		return err
	}
	first, second := pair[0], pair[1]
	defer first.Close()
	defer second.Close()
	for _, c := range pair {
		c.SetDeadline(time.Now().Add(patience))
	}
	if _, err := io.WriteString(first, "question"); err != nil {
		return err
	}
	if err := first.CloseWrite(); err != nil {
		return err
	}
	if b, err := io.ReadAll(second); err != nil || string(b) != "question" {
		return fmt.Errorf("half-closed by %s: %q, %w", r.ends[from].name(), b, err)
	}
	if _, err := transfer(second, first, r.some(1-from)); err != nil {
		return fmt.Errorf("half-closed by %s: %w", r.ends[from].name(), err)
	}
	return nil
}

// some is what an end of an index can send at least.
func (r *rig) some(from int) amount {
	if r.stuck(from) {
		return amount{size: 1000}
	}
	return amount{size: 100_000}
}

// reset aborts a connection at the end of an index; the other hears of it, at the latest when it says something.
func (r *rig) reset(from int) error {
	pair, err := r.pair(from)
	if err != nil {
		return err
	}
	aborts, hears := pair[0], pair[1]
	defer hears.Close()
	if _, err := io.WriteString(aborts, "x"); err != nil {
		return err
	}
	hears.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 1)
	if _, err := io.ReadFull(hears, b); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := aborts.abort(); err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(stop)
	writer.Go(func() { // the RST may be lost
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
				hears.Write([]byte("y"))
			}
		}
	})
	// A write that is told of the reset leaves nothing for the read but the end.
	if n, err := hears.Read(b); !hears.isReset(err) {
		return fmt.Errorf("%s has reset, %s reads %d, %w", r.ends[from].name(), r.ends[1-from].name(), n, err)
	}
	return nil
}

// simultaneous has both ends connect to each other, their SYNs crossing on the cable, and data go both ways.
func (r *rig) simultaneous() error {
	// Neighbours must know each other: only TCP is to be held.
	if pair, err := r.pair(0); err != nil {
		return err
	} else {
		pair[0].Close()
		pair[1].Close()
	}
	port := r.nextPort()
	r.cable.hold()
	var conns [2]conn
	errs := make(chan error, 2)
	for i := range conns {
		go func() {
			var err error
			conns[i], err = r.ends[i].dial(port, netip.AddrPortFrom(r.plugs[1-i].addr(), port))
			if err != nil {
				err = fmt.Errorf("%s dials: %w", r.ends[i].name(), err)
			}
			errs <- err
		}()
	}
	crossed := false
	for begin := time.Now(); !crossed && time.Since(begin) < 10*time.Second; time.Sleep(time.Millisecond) {
		crossed = r.cable.holds()
	}
	r.cable.release()
	err := <-errs
	if e := <-errs; err == nil {
		err = e
	}
	for _, c := range conns {
		if c != nil {
			defer c.Close()
		}
	}
	if err == nil && !crossed {
		err = fmt.Errorf("no two SYNs were sent")
	}
	if err != nil {
		return fmt.Errorf("simultaneous open: %w", err)
	}
	var back error
	var both sync.WaitGroup
	both.Go(func() { _, back = transfer(conns[1], conns[0], r.some(1)) })
	_, there := transfer(conns[0], conns[1], r.some(0))
	both.Wait()
	if there != nil || back != nil {
		return fmt.Errorf("simultaneous open, data: %v, %v", there, back)
	}
	return nil
}
