package blk

import "sync"

// Gate is what Backends have in common: they are open or closed, check requests, and once a flush has failed it fails for good.
// Its zero value is open.
type Gate struct {
	mu     sync.RWMutex // held for reading by calls under way, for writing by Close
	closed bool

	flushing sync.Mutex // one flush at a time
	lost     error      // the first that failed
}

// Enter starts a request for n bytes at off of the disk described, which change says is to change it. Unless there is an error
// (ErrRange, ErrReadOnly, ErrClosed) the disk stays open until Leave.
func (g *Gate) Enter(i Info, off, n int64, change bool) error {
	g.mu.RLock()
	err := i.Check(off, n)
	switch {
	case g.closed:
		err = ErrClosed
	case err == nil && change && i.ReadOnly:
		err = ErrReadOnly
	}
	if err != nil {
		g.mu.RUnlock()
	}
	return err
}

// Leave ends a request that Enter has let in.
func (g *Gate) Leave() { g.mu.RUnlock() }

// Flush is Backend.Flush: flush does it, once at a time, and not again after it has failed. A read-only disk has nothing to
// flush.
func (g *Gate) Flush(i Info, flush func() error) error {
	if err := g.Enter(i, 0, 0, false); err != nil {
		return err
	}
	defer g.Leave()
	if i.ReadOnly {
		return nil
	}
	g.flushing.Lock()
	defer g.flushing.Unlock()
	if g.lost == nil {
		g.lost = flush()
	}
	return g.lost
}

// Close is Backend.Close: close is called, once, when no request is under way.
func (g *Gate) Close(close func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.closed = true
	return close()
}
