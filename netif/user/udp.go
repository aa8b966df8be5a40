package user

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// udpKey is a flow as the guest sees it.
type udpKey struct {
	guest netip.AddrPort // address and port of the guest; of a ping: the identifier
	peer  netip.AddrPort // the other side; of a ping: port 0
}

// udpFlow is something that takes the guest's datagrams; what comes back, it sends with Link.sendUDP.
type udpFlow interface {
	// send passes on a datagram of the guest without blocking. It does not keep payload.
	send(payload []byte)
	// end frees what the flow holds. It is called once, without locks.
	end()
}

// udpEntry is a flow in the table.
type udpEntry struct {
	flow udpFlow
	used atomic.Int64 // time of the last datagram, either way, in nanoseconds of the Unix clock
}

// touch keeps the flow from ending.
func (e *udpEntry) touch() { e.used.Store(time.Now().UnixNano()) }

// udpTable holds the flows. A timer ends those that idle; it runs only while there are flows. It is safe for concurrent
// use.
type udpTable struct {
	max     int
	timeout time.Duration

	mu     sync.Mutex
	flows  map[udpKey]*udpEntry
	timer  *time.Timer
	closed bool

	toHost, toGuest, refused atomic.Uint64
}

func (t *udpTable) find(key udpKey) *udpEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flows[key]
}

// add makes the flow of key with mk, unless there is one already. It returns nil if the table is full. Mk is called with
// the lock held.
func (t *udpTable) add(key udpKey, mk func(*udpEntry) udpFlow) *udpEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.flows[key]; e != nil {
		return e
	}
	if t.closed || len(t.flows) >= t.max {
		t.refused.Add(1)
		return nil
	}
	e := new(udpEntry)
	e.touch()
	e.flow = mk(e)
	t.flows[key] = e
	if t.timer == nil {
		t.timer = time.AfterFunc(t.timeout, t.expire)
	} else if len(t.flows) == 1 {
		t.timer.Reset(t.timeout)
	}
	return e
}

// remove ends the flow of key if it is e.
func (t *udpTable) remove(key udpKey, e *udpEntry) {
	t.mu.Lock()
	found := t.flows[key] == e
	if found {
		delete(t.flows, key)
	}
	t.mu.Unlock()
	if found {
		e.flow.end()
	}
}

// expire ends the flows that have idled for the timeout. A flow may idle for up to a quarter more.
func (t *udpTable) expire() {
	before := time.Now().Add(-t.timeout).UnixNano()
	t.mu.Lock()
	var idle []udpFlow
	for key, e := range t.flows {
		if e.used.Load() <= before {
			idle = append(idle, e.flow)
			delete(t.flows, key)
		}
	}
	if len(t.flows) > 0 && !t.closed {
		t.timer.Reset(max(t.timeout/4, time.Millisecond))
	}
	t.mu.Unlock()
	for _, flow := range idle {
		flow.end()
	}
}

func (t *udpTable) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.flows)
}

func (t *udpTable) close() {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	flows := t.flows
	t.flows = nil
	t.mu.Unlock()
	for _, e := range flows {
		e.flow.end()
	}
}

// handleUDP gets the datagrams of the guest that no endpoint of netstack wants, on the thread of Send.
func (l *Link) handleUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	udp := header.UDP(pkt.TransportHeader().Slice())
	payload, ok := pkt.Data().PullUp(pkt.Data().Size())
	if !ok && pkt.Data().Size() > 0 {
		return true
	}
	lengthOK, sumOK := header.UDPValid(udp, pkt.Data().Checksum, uint16(len(payload)), pkt.NetworkProtocolNumber,
		id.RemoteAddress, id.LocalAddress, pkt.RXChecksumValidated)
	if !lengthOK || !sumOK {
		l.blocked.Add(1)
		return true
	}
	payload = payload[:udp.Length()-header.UDPMinimumSize]
	src, dst := addrPort(id.RemoteAddress, id.RemotePort), addrPort(id.LocalAddress, id.LocalPort)
	key := udpKey{guest: src, peer: dst}
	e := l.udp.find(key)
	if e == nil {
		if l.isDNS(dst) {
			l.dnsQuery(dst.Addr(), src, payload)
			return true
		}
		target, verdict := l.policy.decide(dst)
		if verdict != forward {
			l.udpUnreachable(key, verdict.err())
			return true
		}
		if e = l.udp.add(key, func(e *udpEntry) udpFlow { return l.newUDPFlow(key, target, e) }); e == nil {
			return true
		}
	}
	e.touch()
	l.udp.toHost.Add(1)
	e.flow.send(payload)
	return true
}

// udpUnreachable tells the guest that the flow's peer cannot be reached, for the reason err.
func (l *Link) udpUnreachable(key udpKey, err error) {
	from := l.plan.routerOf(key.peer.Addr())
	why := reasonOf(err)
	if why == refused {
		from = key.peer.Addr() // it says itself that the port is not in use
	}
	l.unreachable(from, why, header.UDPProtocolNumber, key.guest, key.peer, 0)
}
