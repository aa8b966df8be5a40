package matrix

import (
	"net"
	"net/netip"
)

// end is a host with one of the TCP implementations, at one end of a cable.
type end interface {
	// name is that of the implementation.
	name() string
	// listen accepts connections on a port of the end's address.
	listen(port uint16) (listener, error)
	// dial connects from a local port, or from any if that is 0.
	dial(local uint16, to netip.AddrPort) (conn, error)
	// probes reports whether it finds out that long packets vanish. One that does not cannot send much there.
	probes() bool
	// bears reports whether it does not take packets in another order for congestion. One that does would take an hour for a
	// gigabyte.
	bears() bool
	// settled returns an error as long as something of a connection is left, other than TIME-WAIT.
	settled() error
	// counters are the implementation's own, to explain what came out.
	counters() counters
	// close ends it.
	close()
}

// listener is a net.Listener for conns.
type listener interface {
	accept() (conn, error)
	Close() error
}

// conn is a TCP connection.
type conn interface {
	net.Conn
	CloseWrite() error
	// abort closes with a RST.
	abort() error
	// isReset reports whether err is what this implementation says to a reset.
	isReset(err error) bool
}

// plug is where an end puts its frames, and learns what to do with those that arrive. Addresses are 10.99.0.1 and .2, or
// fd99::1 and ::2, by the index of the direction it sends in.
type plug struct {
	cable *cable
	index int
	mtu   int
	v6    bool
}

func (p plug) send(frames [][]byte) { p.cable.dirs[p.index].send(frames) }

// receive sets who gets what arrives. It must be called before anything is sent.
func (p plug) receive(f func(frames [][]byte)) { p.cable.dirs[1-p.index].deliver = f }

// prefix is the end's address, and what is on the cable.
func (p plug) prefix() netip.Prefix {
	host := byte(1 + p.index)
	if p.v6 {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 15: host}), 64)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 99, 0, host}), 24)
}

func (p plug) addr() netip.Addr { return p.prefix().Addr() }

func (p plug) mac() [6]byte { return [6]byte{2, 0, 10, 99, 0, byte(1 + p.index)} }
