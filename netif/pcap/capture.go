package pcap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"ukvm.dev/netif"
)

// Options say how much is captured. The zero value is everything.
type Options struct {
	SnapLen int   // bytes kept of each frame, its beginning; 0: all
	Limit   int64 // bytes the file may have; 0: no limit
	Buffer  int   // bytes that may wait to be written; 0: DefaultBuffer
}

// DefaultBuffer bridges a file that takes nothing for 30 ms of 4 Gbit/s. It is memory that is used only as far as it is
// needed; as much again is what is being written.
const DefaultBuffer = 16 << 20

const (
	// maxFrame is the longest frame a link may carry, with a VLAN tag.
	maxFrame = netif.EthernetSize + 4 + 65535

	// writeDelay is how long frames wait for more of them.
	writeDelay = 100 * time.Millisecond

	// closePatience is how long Close waits for a file that takes nothing, such as a pipe that nobody reads.
	closePatience = 2 * time.Second
)

// Errors of Close and Err.
var (
	ErrLimit = errors.New("the limit of the capture's size is reached")
	ErrStuck = errors.New("nobody takes what is captured")
)

// A Capture is one file with what passes over one or more links. Its methods are safe for concurrent use.
type Capture struct {
	options Options
	file    io.WriteCloser
	now     func() time.Time

	more chan struct{} // something waits that did not before
	full chan struct{} // half of the buffer waits
	stop chan struct{}
	done chan struct{} // the writer has ended
	once sync.Once

	mu         sync.Mutex
	waiting    []byte
	spare      []byte // the writer's when it writes
	size       int64  // bytes of the file with waiting
	closed     bool
	broken     error // of writing; nothing is written any more
	limited    bool  // the limit is reached; only statistics follow
	interfaces []*counts
}

// counts are those of a link.
type counts struct {
	start            int64 // nanoseconds since 1970
	captured, missed uint64
}

// Create makes a file, or replaces one, that only its owner can read, and begins a capture to it.
func Create(name string, o Options) (*Capture, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("capture to a file: %w", err)
	}
	c, err := New(f, o)
	if err != nil {
		f.Close()
	}
	return c, err
}

// New begins a capture to w, which it closes at the end.
func New(w io.WriteCloser, o Options) (*Capture, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.SnapLen == 0 {
		o.SnapLen = maxFrame
	}
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	c := &Capture{
		options: o, file: w, now: time.Now,
		more: make(chan struct{}, 1), full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	c.waiting = appendSection(c.waiting, "ukvm")
	c.size = int64(len(c.waiting))
	c.more <- struct{}{}
	go c.write()
	return c, nil
}

const (
	minLimit  = 4 << 10 // room for the descriptions of all cards that a guest can have
	minBuffer = 256 << 10
)

func (o Options) check() error {
	switch {
	case o.SnapLen < 0:
		return fmt.Errorf("configure capture: %d bytes of each frame are less than none", o.SnapLen)
	case o.Limit != 0 && o.Limit < minLimit:
		return fmt.Errorf("configure capture: a file of %d bytes is too small: the least is %d", o.Limit, minLimit)
	case o.Buffer != 0 && o.Buffer < minBuffer:
		return fmt.Errorf("configure capture: a buffer of %d bytes is too small: the least is %d", o.Buffer, minBuffer)
	}
	return nil
}

// addInterface describes another link and returns its number.
func (c *Capture) addInterface(name string, config netif.Config) int {
	description := fmt.Sprintf("%s of a ukvm guest, MTU %d", name, config.MTU)
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.waiting)
	c.waiting = appendInterface(c.waiting, c.options.SnapLen, name, description, config.MAC, config.Addr)
	c.size += int64(len(c.waiting) - before)
	c.interfaces = append(c.interfaces, &counts{start: c.now().UnixNano()})
	c.announceLocked(before)
	return len(c.interfaces) - 1
}

// record captures frames that pass over a link at this moment.
func (c *Capture) record(index int, flags uint32, frames []netif.Frame) {
	if len(frames) == 0 {
		return
	}
	now := c.now().UnixNano()
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.waiting)
	for i := range frames {
		c.recordLocked(index, flags, now, &frames[i])
	}
	c.announceLocked(before)
}

func (c *Capture) recordLocked(index int, flags uint32, now int64, f *netif.Frame) {
	length := f.Len
	if length <= 0 || length > maxFrame || length > f.Room() {
		return // no frame: the link drops it
	}
	counts := c.interfaces[index]
	captured := min(length, c.options.SnapLen)
	size := packetOverhead + padded(captured)
	switch {
	case c.closed || c.limited || c.broken != nil || len(c.waiting)+size > c.options.Buffer:
		counts.missed++
		return
	case c.options.Limit != 0 && c.size+int64(size)+c.reserveLocked() > c.options.Limit:
		counts.missed++
		c.limited = true // shorter frames would be a strange choice of what is in the file
		return
	}
	b := appendPacketHead(c.waiting, index, now, captured, length)
	at := len(b)
	b = grow(b, captured, c.options.Buffer)
	f.CopyTo(b[at : at+captured])
	c.waiting = appendPacketTail(b, captured, flags)
	c.size += int64(size)
	counts.captured++
}

// grow makes b longer by n bytes. Its memory grows in large steps, and not much beyond most.
func grow(b []byte, n, most int) []byte {
	if cap(b)-len(b) < n {
		larger := make([]byte, len(b), max(min(2*cap(b), most), len(b)+n)+4<<10)
		copy(larger, b)
		b = larger
	}
	return b[:len(b)+n]
}

// reserveLocked is the room in bytes for the statistics at the end.
func (c *Capture) reserveLocked() int64 {
	const statistics = 4 + 4 + 4 + 8 + 4*(4+8) + 4 + 4
	return int64(len(c.interfaces)) * statistics
}

// announceLocked tells the writer, once, that there is something, or much.
func (c *Capture) announceLocked(before int) {
	if before == 0 && len(c.waiting) > 0 {
		signal(c.more)
	}
	if half := c.options.Buffer / 2; before < half && len(c.waiting) >= half {
		signal(c.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write is the writer's goroutine.
func (c *Capture) write() {
	defer close(c.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ending := false; !ending; {
		select {
		case <-c.more:
			timer.Reset(writeDelay)
			select {
			case <-timer.C:
			case <-c.full:
			case <-c.stop:
				ending = true
			}
		case <-c.stop:
			ending = true
		}
		if ending {
			c.finish()
		}
		c.flush()
	}
	if err := c.file.Close(); err != nil {
		c.fail(fmt.Errorf("close capture: %w", err))
	}
}

// flush writes what waits.
func (c *Capture) flush() {
	c.mu.Lock()
	b := c.waiting
	if c.broken != nil {
		b = b[:0] // it would follow half a block
	}
	c.waiting, c.spare = c.spare[:0], nil
	c.mu.Unlock()
	if len(b) > 0 {
		if _, err := c.file.Write(b); err != nil {
			c.fail(fmt.Errorf("write capture: %w", err))
		}
	}
	c.mu.Lock()
	c.spare = b
	c.mu.Unlock()
}

// fail ends the capture. What waits is lost with it.
func (c *Capture) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = err
	}
}

// finish ends the recording with the statistics.
func (c *Capture) finish() {
	now := c.now().UnixNano()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for i, n := range c.interfaces {
		c.waiting = appendStatistics(c.waiting, i, n.start, now, n.captured+n.missed, n.missed)
	}
}

// Close writes what waits and closes the file. It returns what Err does, and ErrStuck if the file takes nothing for two
// seconds; the goroutine that writes is left to its fate then. Close is idempotent. Links go on to work afterwards.
func (c *Capture) Close() error {
	c.once.Do(func() { close(c.stop) })
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		return ErrStuck
	}
	return c.Err()
}

// Err is why frames are missing at the end of the file: an error of writing it, or ErrLimit. Frames that were missed only
// because the file was slow are counted in Missed alone.
func (c *Capture) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil && c.limited {
		return ErrLimit
	}
	return c.broken
}

// Missed is how many frames are not in the file.
func (c *Capture) Missed() (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.interfaces {
		n += i.missed
	}
	return n
}
