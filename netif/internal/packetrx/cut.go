package packetrx

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

// gsoUDP is a GSO type of the kernel that no guest gets to see (virtio 1.3 §5.1.6): datagrams of the same length, and a shorter
// one at the end.
const gsoUDP = 5

// Offsets in bytes, and sizes, that cutting takes.
const (
	etherType = 12
	ipStart   = netif.EthernetSize
	ip4Size   = 20 // without options
	ip6Size   = 40 // without extension headers
	udpSize   = 8
	tcpSize   = 20 // without options
	tcpSeq    = 4
	tcpDoff   = 12
	tcpFlags  = 13
	tcpSum    = 16
	udpSum    = 6

	tcpFinPsh = 1 | 8 // flags of the last segment only
	tcpCWR    = 0x80  // of the first only

	// maxHeaders bounds the headers of a frame: IPv6 with some extension headers, and TCP with options.
	maxHeaders = 256
)

// cutter makes frames that a guest takes of one that it has not agreed to: segments with the headers of the whole, as the
// kernel cuts them for cards (RFC 9293 for TCP; UDP_SEGMENT, udp(7)), all with complete checksums; or one, if only that was
// missing. The zero cutter has none. It does not keep frames that make no sense.
type cutter struct {
	frame  []byte
	header hypercall.NetHeader
	l4     int  // offset of the transport's header
	data   int  // offset of the payload
	at     int  // offset of what is next of it
	valid  bool // the guest wants to hear that checksums are good
	made   int  // segments
}

// has reports whether a frame with header h is one for a cutter, if the guest has agreed to f.
func (c *cutter) has(h *hypercall.NetHeader, f *netif.Features) bool {
	c.valid = f.RxChecksum
	switch h.GSOType {
	case hypercall.GSONone:
		return h.Flags&hypercall.NeedsCsum != 0 && !f.RxChecksum
	case hypercall.GSOTCP4:
		return f.RxSegment == 0
	case hypercall.GSOTCP6:
		return f.RxSegment == 0 || !f.TCP6
	}
	return true
}

// more reports whether there is a next one.
func (c *cutter) more() bool { return c.frame != nil }

// start begins with a frame, which must stay until there is no more. It reports whether the frame can be cut.
func (c *cutter) start(frame []byte, h *hypercall.NetHeader) bool {
	*c = cutter{header: *h, valid: c.valid, l4: int(h.CsumStart)}
	if h.Flags&hypercall.NeedsCsum == 0 || c.l4 < ipStart || c.l4+int(h.CsumOffset)+2 > len(frame) {
		return false
	}
	if h.GSOType == hypercall.GSONone {
		c.frame = frame
		return true
	}
	ip := ip4Size
	if ip6(frame) {
		ip = ip6Size
	} else if binary.BigEndian.Uint16(frame[etherType:]) != 0x0800 {
		return false
	}
	if h.GSOSize == 0 || c.l4 < ipStart+ip {
		return false
	}
	switch h.GSOType {
	case hypercall.GSOTCP4, hypercall.GSOTCP6:
		if c.l4+tcpSize > len(frame) || h.CsumOffset != tcpSum {
			return false
		}
		c.data = c.l4 + max(int(frame[c.l4+tcpDoff]>>4)*4, tcpSize)
	case gsoUDP:
		if h.CsumOffset != udpSum {
			return false
		}
		c.data = c.l4 + udpSize
	default:
		return false
	}
	if c.data >= len(frame) || c.data > maxHeaders {
		return false
	}
	c.frame, c.at = frame, c.data
	return true
}

func ip6(frame []byte) bool { return binary.BigEndian.Uint16(frame[etherType:]) == 0x86dd }

// next stores the next one in f and reports whether it fitted.
func (c *cutter) next(f *netif.Frame) bool {
	if c.header.GSOType == hypercall.GSONone {
		frame := c.frame
		c.frame = nil
		c.complete(frame, nil)
		return c.store(f, frame, nil)
	}
	size := min(int(c.header.GSOSize), len(c.frame)-c.at)
	payload := c.frame[c.at : c.at+size]
	var room [maxHeaders]byte
	headers := room[:copy(room[:], c.frame[:c.data])]
	c.fill(headers, payload)
	c.made++
	if c.at += size; c.at == len(c.frame) {
		c.frame = nil
	}
	return c.store(f, headers, payload)
}

// fill makes headers those of a segment.
func (c *cutter) fill(headers, payload []byte) {
	be := binary.BigEndian
	length := len(headers) + len(payload) - c.l4 // of the transport's part
	ip, l4 := headers[ipStart:c.l4], headers[c.l4:]
	var pseudo uint16
	protocol := uint16(6)
	if c.header.GSOType == gsoUDP {
		protocol = 17
		be.PutUint16(l4[4:], uint16(length))
	} else {
		be.PutUint32(l4[tcpSeq:], be.Uint32(l4[tcpSeq:])+uint32(c.at-c.data))
		if c.at+len(payload) < len(c.frame) {
			l4[tcpFlags] &^= tcpFinPsh
		}
		if c.made > 0 {
			l4[tcpFlags] &^= tcpCWR
		}
	}
	if ip6(headers) {
		be.PutUint16(ip[4:], uint16(len(ip)-ip6Size+length))
		pseudo = checksum.Checksum(ip[8:ip6Size], 0)
	} else {
		be.PutUint16(ip[2:], uint16(len(ip)+length))
		be.PutUint16(ip[4:], be.Uint16(ip[4:])+uint16(c.made))
		be.PutUint16(ip[10:], 0)
		be.PutUint16(ip[10:], ^checksum.Checksum(ip, 0))
		pseudo = checksum.Checksum(ip[12:ip4Size], 0)
	}
	pseudo = checksum.Combine(pseudo, protocol)
	pseudo = checksum.Combine(pseudo, uint16(length))
	be.PutUint16(l4[c.header.CsumOffset:], pseudo)
	c.complete(headers, payload)
}

// complete sums what a frame of two parts has from the transport's header on, where the sum of the pseudo header is already.
// Headers of transports have even lengths.
func (c *cutter) complete(headers, payload []byte) {
	sum := ^checksum.Checksum(payload, checksum.Checksum(headers[c.l4:], 0))
	if sum == 0 {
		sum = 0xffff // RFC 768: 0 would be none; to others it is the same
	}
	binary.BigEndian.PutUint16(headers[c.l4+int(c.header.CsumOffset):], sum)
}

// store puts a frame of two parts in f, if it fits.
func (c *cutter) store(f *netif.Frame, headers, payload []byte) bool {
	n := len(headers) + len(payload)
	if n > f.Room() {
		return false
	}
	w := f.Writer()
	w.Write(headers)
	w.Write(payload)
	f.Len, f.Header = n, hypercall.NetHeader{}
	if c.valid {
		f.Header.Flags = hypercall.DataValid
	}
	return true
}
