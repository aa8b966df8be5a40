package tcp

import (
	"net/netip"

	"ukvm.dev/guest/net/route"
)

// Ephemeral ports, as Linux's ip_local_port_range.
const (
	EphemeralFirst = 32768
	EphemeralLast  = 60999
	ephemerals     = EphemeralLast - EphemeralFirst + 1
)

// ports knows who has which port: bindings made by Bind, and how many connections use a port.
type ports struct {
	bound map[uint16]*binding
	used  map[uint16]int
	next  [256]uint32 // see choose
}

// binding is one Bind. It lives until its holder, connection or listener, gives it up.
type binding struct {
	addr                 netip.Addr // see route.Covers
	port                 uint16
	reuseAddr, reusePort bool
	listening            bool
	next                 *binding
}

func (s *ports) use(port uint16) {
	if s.used == nil {
		s.used = make(map[uint16]int)
	}
	s.used[port]++
}

func (s *ports) unuse(port uint16) {
	if s.used[port]--; s.used[port] == 0 {
		delete(s.used, port)
	}
}

// conflicts reports whether e may not have the same port as o (socket(7)): their addresses overlap, and neither both have
// reuseAddr while o does not listen, nor both have reusePort.
func (o *binding) conflicts(e *binding) bool {
	if !route.Overlap(o.addr, e.addr) {
		return false
	}
	if o.reusePort && e.reusePort {
		return false
	}
	return !(o.reuseAddr && e.reuseAddr && !o.listening)
}

// free reports whether e may have its port.
func (s *ports) free(e *binding) bool {
	for o := s.bound[e.port]; o != nil; o = o.next {
		if o != e && o.conflicts(e) {
			return false
		}
	}
	return true
}

// bind enters e, choosing a port if it has none. A port that connections use, those in TIME-WAIT included, needs
// reuseAddr.
func (b *Box) bind(e *binding) error {
	s := &b.ports
	if e.port == 0 {
		start := int(b.Random() % ephemerals) // RFC 6056 §3.3.1
		for i := range ephemerals {
			try := uint16(EphemeralFirst + (start+i)%ephemerals)
			if s.bound[try] == nil && s.used[try] == 0 {
				e.port = try
				break
			}
		}
		if e.port == 0 {
			return ErrInUse
		}
	} else if !s.free(e) || s.used[e.port] > 0 && s.bound[e.port] == nil && !e.reuseAddr && !e.reusePort {
		return ErrInUse
	}
	if s.bound == nil {
		s.bound = make(map[uint16]*binding)
	}
	e.next = s.bound[e.port]
	s.bound[e.port] = e
	return nil
}

// unbind takes e out.
func (s *ports) unbind(e *binding) {
	at := s.bound[e.port]
	if at == e {
		if e.next == nil {
			delete(s.bound, e.port)
		} else {
			s.bound[e.port] = e.next
		}
		return
	}
	for ; at != nil; at = at.next {
		if at.next == e {
			at.next = e.next
			return
		}
	}
}

// choose finds a local port for a connection to f's peer from f's address: one that nobody has bound and that makes the
// flow unique; the ports of other flows can be shared. It is RFC 6056 §3.3.4 (double-hash): each destination walks
// through the ports from a secret offset, so that a port comes again as late as possible and nobody can tell the next.
func (b *Box) choose(f *flow) bool {
	f.localPort = 0
	h := b.isn.portHash(f, b.Random)
	next := &b.ports.next[h%uint64(len(b.ports.next))]
	for i := range uint32(ephemerals) {
		f.localPort = EphemeralFirst + (uint32(h>>32)%ephemerals+*next+i)%ephemerals
		if b.ports.bound[uint16(f.localPort)] == nil && b.available(f) {
			*next = (*next + i + 1) % ephemerals
			return true
		}
	}
	return false
}

// available reports whether no connection has the flow. One in TIME-WAIT gives way if timestamps make that safe.
func (b *Box) available(f *flow) bool {
	if b.conns[*f] != nil {
		return false
	}
	w := b.waits.find(*f)
	return w == nil || w.reusable(b.Now())
}
