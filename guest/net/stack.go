package net

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/event"
	"ukvm.dev/guest/net/filter"
	"ukvm.dev/guest/net/icmp4"
	"ukvm.dev/guest/net/icmp6"
	"ukvm.dev/guest/net/ip4"
	"ukvm.dev/guest/net/ip6"
	"ukvm.dev/guest/net/loopback"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/ping"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/guest/net/timer"
	"ukvm.dev/guest/net/udp"
	"ukvm.dev/hypercall"
)

// Config is what a Stack is made from. The zero value is a stack for 64 MiB that uses package time's clock.
type Config struct {
	Memory   int64         // bytes of memory there are; see Limits for what depends on it
	Clock    Clock         // nil: SystemClock
	Random   func() uint64 // unpredictable; nil: math/rand/v2, which the runtime seeds from the system
	Hostname string        // told to DHCP servers
	ECN      tcp.ECN       // of new TCP connections, until SetECN; the zero value answers peers that ask
	// Resolvers is told, without the stack's lock, which DNS servers and search list interfaces have been configured
	// with, whenever that changes.
	Resolvers func(servers []netip.Addr, search string)
	// Log is told, without the stack's lock, what rules of the packet filter log, a line at a time. nil: nobody.
	Log func(text string)
}

// Boxes are the boxes all interfaces share. Their function values are what joins them; see wire.
type Boxes struct {
	IP4      ip4.Box
	ICMP4    icmp4.Box
	IP6      ip6.Box
	ICMP6    icmp6.Box
	Ping4    ping.Box
	Ping6    ping.Box
	UDP      udp.Box
	TCP      tcp.Box
	Loopback loopback.Box

	Filter    filter.Box // see SetFilter
	Conntrack conntrack.Box
}

// Stack is a network stack. It is safe for concurrent use and owns no goroutine: packets are processed by whoever brings
// them, to completion.
type Stack struct {
	config Config
	limits Limits
	pool   packet.Pool

	// mu guards everything below, and all boxes. It is taken by enter and given back by leave.
	mu         sync.Mutex
	now        int64  // when mu was taken
	armed      int64  // what the clock's alarm is set to; 0: nothing
	onAlarm    func() // alarm, made once: it is set often
	wheel      timer.Wheel
	boxes      Boxes
	lo         ip4.Link
	lo6        ip6.Link
	interfaces []*Interface
	events     *event.Loop
	sockets    int
	after      []func() // to be called when mu has been given back
	closing    closing

	public    bool                // the monitor is to know the counters
	published []hypercall.Counter // what it knows
	gauged    []uint64            // gauges as they were at gaugedAt
	gaugedAt  int64
}

// New returns a Stack with a loopback interface. It starts nothing.
func New(c Config) *Stack {
	if c.Clock == nil {
		c.Clock = SystemClock()
	}
	if c.Random == nil {
		c.Random = rand.Uint64
	}
	s := &Stack{config: c, limits: limitsFor(c.Memory)}
	s.onAlarm = s.alarm
	s.wire()
	s.events = event.New(s.eventHost())
	s.lo = ip4.Link{MTU: loopback.MTU, TSO: loopback.TSO, Loopback: true, Output: s.boxes.Loopback.Output}
	s.mustAdd(s.boxes.IP4.AddLink(&s.lo))
	s.mustAdd(s.boxes.IP4.AddAddr(&s.lo, netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8)))
	s.lo6 = ip6.Link{MTU: loopback.MTU, TSO: loopback.TSO, Loopback: true, Output: s.boxes.Loopback.Output}
	s.mustAdd(s.boxes.IP6.AddLink(&s.lo6))
	s.mustAdd(s.boxes.IP6.AddAddr(&s.lo6, ip6.Addr{Prefix: netip.PrefixFrom(netip.IPv6Loopback(), 128)}, false))
	return s
}

func (s *Stack) mustAdd(err error) {
	if err != nil {
		panic("BUG: net: no room for the loopback interface: " + err.Error())
	}
}

// Limits returns the limits that follow from Config.Memory.
func (s *Stack) Limits() Limits { return s.limits }

// Pool is where drivers get packets to receive into.
func (s *Stack) Pool() *packet.Pool { return &s.pool }

// enter takes the lock and looks at the clock.
func (s *Stack) enter() {
	s.mu.Lock()
	s.now = s.config.Clock.Now()
}

// leave completes what was begun since enter, and gives the lock back: connections send what they have to, loopback
// delivers, cards are told of their new packets, and the alarm is set.
func (s *Stack) leave() {
	s.complete()
	s.settle()
	for _, i := range s.interfaces {
		i.NIC.Sync()
	}
	next, ok := s.wheel.Next()
	if s.events.Pending() && s.closing.done == nil {
		next, ok = s.now, true // callbacks never run within a call
	}
	if ok && (s.armed == 0 || next < s.armed || next-s.armed >= alarmSlack) {
		s.armed = next
		s.config.Clock.SetAlarm(next, s.onAlarm)
	}
	if s.public && s.now-s.gaugedAt >= gaugeEvery {
		s.gaugedAt = s.now
		s.gaugeValues(s.gauged)
	}
	after := s.after
	s.after = nil
	s.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// gaugeEvery is how often, in ns, gauges are stored for the monitor, which reads them at the guest's end.
const gaugeEvery = 1_000_000

// alarmSlack is how many ns too early the alarm may go off, for nothing, when timers were stopped or moved: it is cheaper than to
// set it with each packet of a busy connection, and dearer when all is at rest.
const alarmSlack = 100_000_000

// complete sends and delivers until there is nothing more to.
func (s *Stack) complete() {
	for more := true; more; {
		s.boxes.TCP.Flush()
		more = s.boxes.Loopback.Deliver()
		for _, i := range s.interfaces {
			i.NIC.Retry()
		}
		more = more || s.boxes.TCP.Dirty()
	}
}

// turnRounds bounds how often in a row callbacks may cause callbacks, over loopback, before it is others' turn.
const turnRounds = 16

// turn is leave for who brings work from outside, a driver or the clock: the event loop's callbacks run first, so that
// their answers go out together, and with the ACKs.
func (s *Stack) turn() {
	if s.armed != 0 && s.armed <= s.now {
		// Also for who brings packets: where there is always something to do an alarm comes late.
		s.armed = 0
		s.wheel.Advance(s.now)
	}
	if s.events.InUse() && s.closing.done == nil {
		for range turnRounds {
			s.boxes.TCP.Tell()
			if !s.events.Pending() {
				break
			}
			s.events.Run()
			s.complete()
		}
	}
	s.leave()
}

// alarm runs the timers that are due. An alarm that was replaced may still come; it finds nothing due.
func (s *Stack) alarm() {
	s.enter()
	if s.armed > s.now {
		s.armed = 0 // there may be none any more: it is set again
	}
	s.turn()
}

// Do calls f with the lock held and the boxes at hand, between packets: to look at them, or to wire them differently. f
// must not call the Stack.
func (s *Stack) Do(f func(b *Boxes, interfaces []*Interface)) {
	s.enter()
	f(&s.boxes, s.interfaces)
	s.leave()
}

// errTooManySockets is returned by newSocket.
var errTooManySockets = errors.New("no buffer space available")

// newSocket counts a socket; the caller holds the lock.
func (s *Stack) newSocket() error {
	if s.sockets >= s.limits.Sockets {
		return errTooManySockets
	}
	s.sockets++
	return nil
}
