package main

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A client makes a UDP stream by one datagram, which is answered (iperf.h, UDP_CONNECT_MSG and UDP_CONNECT_REPLY; the
// others are of clients before 3.10).
const (
	connectMessage   = 0x36373839
	connectReply     = 0x39383736
	oldConnectMsg    = 123456789
	oldConnectAnswer = 987654321
)

// datagrams shares the one UDP socket among streams, by their peers' addresses.
type datagrams struct {
	conn *net.UDPConn

	mu     sync.Mutex
	from   netip.Addr // who may make streams
	left   int        // how many more
	peers  map[netip.AddrPort]*peer
	opened chan *peer
}

// peer is the client's end of a stream.
type peer struct {
	all  *datagrams
	addr netip.AddrPort
	in   chan datagram
}

// datagram is what counts of one.
type datagram struct {
	size    int
	head    [minDatagram]byte
	arrived time.Time
}

func newDatagrams(c *net.UDPConn) *datagrams {
	d := &datagrams{conn: c, peers: map[netip.AddrPort]*peer{}, opened: make(chan *peer, 2*maxStreams)}
	go d.read()
	return d
}

// expect lets a host make n streams; forget ends them all.
func (d *datagrams) expect(from netip.Addr, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.from, d.left = from.Unmap(), n
}

func (d *datagrams) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.from, d.left = netip.Addr{}, 0
	clear(d.peers)
	for len(d.opened) > 0 {
		<-d.opened
	}
}

// accept waits for the next stream.
func (d *datagrams) accept(limit time.Duration) (*peer, error) {
	select {
	case p := <-d.opened:
		return p, nil
	case <-time.After(limit):
		return nil, errors.New("the client sends no datagram")
	}
}

func (d *datagrams) read() {
	b := make([]byte, 1<<16)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error about something sent
		}
		d.mu.Lock()
		p := d.peers[from]
		if p == nil && n == 4 && from.Addr().Unmap() == d.from && d.left > 0 {
			d.open(from, binary.LittleEndian.Uint32(b))
		}
		d.mu.Unlock()
		if p == nil || n < minDatagram {
			continue
		}
		g := datagram{size: n, arrived: time.Now()}
		copy(g.head[:], b)
		select {
		case p.in <- g:
		default: // lost, as in any queue
		}
	}
}

// open makes a stream.
func (d *datagrams) open(from netip.AddrPort, message uint32) {
	answer := uint32(connectReply)
	switch message {
	case connectMessage:
	case oldConnectMsg:
		answer = oldConnectAnswer
	default:
		return
	}
	p := &peer{all: d, addr: from, in: make(chan datagram, 1024)}
	d.peers[from] = p
	d.left--
	d.opened <- p
	d.conn.WriteToUDPAddrPort(binary.LittleEndian.AppendUint32(nil, answer), from)
}

// send sends a datagram. What a full card does not take is lost, as on any network.
func (p *peer) send(b []byte) error {
	_, err := p.all.conn.WriteToUDPAddrPort(b, p.addr)
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
