package tcpproxy

import (
	"encoding/binary"
	"math/rand/v2"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

const (
	ttl         = 64
	headerSize  = netif.EthernetSize + header.IPv4MinimumSize + header.TCPMinimumSize
	headerSize6 = netif.EthernetSize + header.IPv6MinimumSize + header.TCPMinimumSize

	// pollInterval is how many calls of Output may pass without a look at the sockets.
	pollInterval = 8

	// FirstPort is the first port that a connection to the guest comes from. Those below are for others with the same
	// address.
	FirstPort = 10000
)

// newSequence is where nobody can guess (RFC 6528); the generator is the runtime's ChaCha8.
func newSequence() uint32 { return rand.Uint32() }

func randomPort() uint16 { return FirstPort + uint16(rand.Uint32N(65536-FirstPort)) }

// Output fills frames for the guest and returns how many. Connections take turns, a frame each.
func (p *Proxy) Output(frames []netif.Frame) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(frames) == 0 {
		return 0
	}
	// While there is something to say anyway, the sockets are asked now and then only.
	if p.outputs++; p.ready.empty() || p.outputs%pollInterval == 0 {
		p.pollLocked()
	}
	n := 0
	now := p.now()
	for n < len(frames) && !p.ready.empty() {
		c := p.ready.pop()
		if p.emitLocked(c, &frames[n], now) {
			n++
			if c.state == established && (c.readable || c.unsent() > 0 || c.hostEnded && !c.finSent) {
				p.readyLocked(c)
			}
		}
	}
	return n
}

// emitLocked makes the next frame of c; it reports false if there is none.
func (p *Proxy) emitLocked(c *conn, f *netif.Frame, now int64) bool {
	switch c.state {
	case resetting:
		p.removeLocked(c)
		return p.frame(c, f, header.TCPFlagRst|header.TCPFlagAck, c.max, 0, 0)
	case accepting, connecting:
		if c.stale {
			c.stale = false
			p.readyLocked(c) // the SYN comes next
			return p.frame(c, f, header.TCPFlagRst, c.staleAck, 0, 0)
		}
		if c.nxt != c.iss {
			return false
		}
		flags := header.TCPFlagSyn
		if c.state == accepting {
			flags |= header.TCPFlagAck
		}
		c.nxt = c.iss + 1
		c.max = c.nxt
		p.retryLocked(c, now)
		return p.frame(c, f, flags, c.iss, 0, 0)
	case established:
		return p.dataLocked(c, f, now)
	}
	return false
}

// dataLocked makes a frame with payload, end of stream or an acknowledgement.
func (p *Proxy) dataLocked(c *conn, f *netif.Frame, now int64) bool {
	p.readLocked(c)
	if c.state != established {
		return p.emitLocked(c, f, now) // reading has ended it
	}
	if c.probe {
		// A byte that the guest has makes it answer, and takes nothing from the stream.
		c.probe = false
		return p.frame(c, f, header.TCPFlagAck, c.una-1, 0, 0)
	}
	off := c.inFlight()
	unsent := c.send.size - off
	room := c.window - off
	if c.limit > 0 {
		room = min(room, c.limit-off)
	}
	longest, headers := c.segment, c.key.headers()
	if p.features.RxSegment > 0 && (p.features.TCP6 || !c.key.six()) {
		longest = max(longest, min(p.features.RxSegment, netif.EthernetSize+65535)-headers)
	}
	n := max(0, min(unsent, room, longest, f.Room()-headers))
	// Small segments wait for the window to open (RFC 9293 section 3.8.6.2.1), unless nothing else is on its way.
	if n < unsent && n < c.segment && n < c.widest/2 && c.una != c.nxt {
		n = 0
	}
	seq := c.nxt
	flags := header.TCPFlagAck
	if n > 0 && n == unsent {
		flags |= header.TCPFlagPsh
	}
	fin := c.hostEnded && n == unsent && !c.finSent
	if fin {
		flags |= header.TCPFlagFin
	}
	if n == 0 && !fin {
		if unsent > 0 && c.retryAt == 0 {
			p.retryLocked(c, now) // to probe the window
		}
		if !c.ackNow {
			return false
		}
		// A guest whose window has shrunk ignores what lies outside of it, with the acknowledgement.
		if edge := c.una + uint32(c.window); after(seq, edge) {
			seq = edge
		}
	}
	c.nxt += uint32(n)
	if fin {
		c.nxt++
		c.finSent = true
	}
	if after(c.nxt, c.max) {
		c.max = c.nxt
	}
	if c.nxt != c.una && c.retryAt == 0 {
		p.retryLocked(c, now)
	}
	return p.frame(c, f, flags, seq, off, n)
}

// roomLocked is the window the guest may have.
func (p *Proxy) roomLocked(c *conn) int { return max(0, p.shareLocked()-c.pend.size) }

// frame writes a segment with n bytes of c.send from off on, and with all there is to acknowledge. It reports false if
// it does not fit, and the segment is lost.
func (p *Proxy) frame(c *conn, f *netif.Frame, flags header.TCPFlags, seq uint32, off, n int) bool {
	clear(p.header[:])
	size := c.key.headers()
	transport := size - header.TCPMinimumSize
	if flags&header.TCPFlagSyn != 0 {
		size += c.synOptions(p.header[size:], p.longestSegment(&c.key))
	}
	b := p.header[:size]
	copy(b, p.config.Ethernet[:])
	tcp := header.TCP(b[transport:])
	pseudo := c.key.encode(b[netif.EthernetSize-2:transport], len(tcp)+n)
	fields := header.TCPFields{
		SrcPort: c.key.port, DstPort: c.key.guest, SeqNum: seq,
		DataOffset: uint8(len(tcp)), Flags: flags, WindowSize: p.windowLocked(c, flags),
	}
	if flags&header.TCPFlagAck != 0 {
		fields.AckNum = c.rcv
	}
	tcp.Encode(&fields)
	p.checksumLocked(c, f, pseudo, tcp, off, n)

	f.Len = size + n
	w := f.Writer()
	if w.Write(b) < len(b) {
		p.lost++
		return false
	}
	c.send.each(off, n, func(piece []byte) { w.Write(piece) })
	c.ackNow, c.ackAt, c.unacked, c.unackedSegs = false, 0, 0, 0
	if c.ackRepeats > 0 && n == 0 {
		c.ackRepeats--
		p.ackLocked(c)
	}
	p.finishLocked(c)
	return true
}

// windowLocked opens the window as far as there is room, and returns the field for it.
func (p *Proxy) windowLocked(c *conn, flags header.TCPFlags) uint16 {
	const widest = 65535
	switch {
	case flags&header.TCPFlagRst != 0:
		return 0
	case c.state == connecting:
		return widest // of no use to the guest before our acknowledgement
	}
	// The right edge never moves back (RFC 9293 section 3.8.6).
	if edge := c.rcv + uint32(p.roomLocked(c)); after(edge, c.adv) {
		c.adv = edge
	}
	window := c.adv - c.rcv
	if flags&header.TCPFlagSyn == 0 { // never scaled in a SYN
		window >>= c.advScale
	}
	return uint16(min(window, widest))
}

// checksumLocked completes the TCP header, or leaves that and the cutting into segments to the guest.
func (p *Proxy) checksumLocked(c *conn, f *netif.Frame, pseudo uint16, tcp header.TCP, off, n int) {
	f.Header = hypercall.NetHeader{}
	if !p.features.RxChecksum {
		var sum checksum.Checksumer
		sum.Add(tcp)
		c.send.each(off, n, sum.Add)
		tcp.SetChecksum(^checksum.Combine(sum.Checksum(), pseudo))
		return
	}
	tcp.SetChecksum(pseudo)
	f.Header.Flags = hypercall.NeedsCsum
	f.Header.CsumStart = uint16(c.key.headers() - header.TCPMinimumSize)
	f.Header.CsumOffset = header.TCPChecksumOffset
	if n > c.segment {
		f.Header.GSOType = hypercall.GSOTCP4
		if c.key.six() {
			f.Header.GSOType = hypercall.GSOTCP6
		}
		f.Header.GSOSize = uint16(c.segment)
		f.Header.HdrLen = uint16(c.key.headers())
	}
}

// synOptionsSize is the length of the options in our SYNs: segment size, padding, window scale.
const synOptionsSize = 8

// longestSegment is the longest payload that the link's MTU has room for.
func (p *Proxy) longestSegment(k *connKey) int {
	return p.config.MTU - (k.headers() - netif.EthernetSize)
}

// encode writes the Ethernet type and the IP header of a packet to the guest with n bytes of TCP, and returns the checksum
// of its pseudo-header.
func (k *connKey) encode(b []byte, n int) uint16 {
	var src, dst tcpip.Address
	if ip := b[2:]; k.six() {
		src, dst = tcpip.AddrFrom16(k.addr), tcpip.AddrFrom16(k.guestAddr)
		binary.BigEndian.PutUint16(b, uint16(header.IPv6ProtocolNumber))
		header.IPv6(ip).Encode(&header.IPv6Fields{
			PayloadLength: uint16(n), TransportProtocol: header.TCPProtocolNumber, HopLimit: ttl, SrcAddr: src, DstAddr: dst,
		})
	} else {
		src, dst = tcpip.AddrFrom4([4]byte(k.addr[:4])), tcpip.AddrFrom4([4]byte(k.guestAddr[:4]))
		binary.BigEndian.PutUint16(b, uint16(header.IPv4ProtocolNumber))
		header.IPv4(ip).Encode(&header.IPv4Fields{
			TotalLength: uint16(len(ip) + n), Flags: header.IPv4FlagDontFragment, TTL: ttl,
			Protocol: uint8(header.TCPProtocolNumber), SrcAddr: src, DstAddr: dst,
		})
		header.IPv4(ip).SetChecksum(^header.IPv4(ip).CalculateChecksum())
	}
	return header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(n))
}

// synOptions writes the options of a SYN and returns their length. The scale is only for those who offered one.
func (c *conn) synOptions(b []byte, longest int) int {
	n := header.EncodeMSSOption(uint32(longest), b)
	if c.state == connecting || c.advScale != 0 {
		n += header.EncodeNOP(b[n:])
		n += header.EncodeWSOption(windowScale, b[n:])
	}
	return n
}
