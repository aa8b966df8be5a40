package pcap

import (
	"encoding/binary"
	"net/netip"
)

// Block types and their contents (draft-ietf-opsawg-pcapng section 4). Blocks are little-endian here and padded to 32 bits;
// their total length stands at both ends.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockPacket     = 6 // enhanced
	blockStatistics = 5

	byteOrderMagic = 0x1a2b3c4d
	versionMajor   = 1
	versionMinor   = 0

	linkEthernet = 1 // LINKTYPE_ETHERNET

	flagInbound  = 1 // of option epb_flags
	flagOutbound = 2
)

// Options of blocks. A list of them ends with optionEnd, which needs no value.
const (
	optionEnd = 0

	optionApplication = 4 // shb_userappl

	optionName        = 2 // if_name
	optionDescription = 3 // if_description
	optionIPv4        = 4 // if_IPv4addr: address and mask
	optionMAC         = 6 // if_MACaddr
	optionResolution  = 9 // if_tsresol: negative power of ten

	optionFlags = 2 // epb_flags

	optionStart    = 2 // isb_starttime
	optionStop     = 3 // isb_endtime
	optionReceived = 4 // isb_ifrecv: packets that the interface has seen
	optionDropped  = 5 // isb_ifdrop: of them not captured, for want of room
)

// packetOverhead is the size of a packet block without the packet and its padding: type, length, interface, time stamp, both
// lengths of the packet, the option for flags, the end of options, and the length again.
const packetOverhead = 4 + 4 + 4 + 8 + 8 + 8 + 4 + 4

var le = binary.LittleEndian

// padded is n rounded up to 32 bits.
func padded(n int) int { return (n + 3) &^ 3 }

// beginBlock appends the head of a block. What ends it is endBlock, with the place it begins at.
func beginBlock(b []byte, kind uint32) (_ []byte, begin int) {
	begin = len(b)
	b = le.AppendUint32(b, kind)
	return le.AppendUint32(b, 0), begin
}

func endBlock(b []byte, begin int) []byte {
	size := uint32(len(b) + 4 - begin)
	le.PutUint32(b[begin+4:], size)
	return le.AppendUint32(b, size)
}

func appendOption(b []byte, code uint16, value ...byte) []byte {
	b = le.AppendUint16(b, code)
	b = le.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, padded(len(value))-len(value))...)
}

func appendEnd(b []byte) []byte { return le.AppendUint32(b, optionEnd) }

// appendSection begins the file (section 4.1).
func appendSection(b []byte, application string) []byte {
	b, begin := beginBlock(b, blockSection)
	b = le.AppendUint32(b, byteOrderMagic)
	b = le.AppendUint16(b, versionMajor)
	b = le.AppendUint16(b, versionMinor)
	b = le.AppendUint64(b, ^uint64(0)) // the section's length is not known
	b = appendEnd(appendOption(b, optionApplication, []byte(application)...))
	return endBlock(b, begin)
}

// appendInterface describes a network card (section 4.2). There is no option for its MTU, which goes with the description.
func appendInterface(b []byte, snapLen int, name, description string, mac [6]byte, addr netip.Prefix) []byte {
	b, begin := beginBlock(b, blockInterface)
	b = le.AppendUint16(b, linkEthernet)
	b = le.AppendUint16(b, 0) // reserved
	b = le.AppendUint32(b, uint32(snapLen))
	b = appendOption(b, optionName, []byte(name)...)
	b = appendOption(b, optionDescription, []byte(description)...)
	if addr.IsValid() && addr.Addr().Is4() {
		ip := addr.Addr().As4()
		mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-addr.Bits()))
		b = appendOption(b, optionIPv4, append(ip[:], mask...)...)
	}
	b = appendOption(b, optionMAC, mac[:]...)
	b = appendOption(b, optionResolution, 9)
	return endBlock(appendEnd(b), begin)
}

// appendTime appends nanoseconds since 1970, the upper half first.
func appendTime(b []byte, ns int64) []byte {
	b = le.AppendUint32(b, uint32(uint64(ns)>>32))
	return le.AppendUint32(b, uint32(ns))
}

// appendPacketHead begins a packet block (section 4.3). The captured bytes follow, then appendPacketTail.
func appendPacketHead(b []byte, index int, ns int64, captured, length int) []byte {
	b = le.AppendUint32(b, blockPacket)
	b = le.AppendUint32(b, uint32(packetOverhead+padded(captured)))
	b = le.AppendUint32(b, uint32(index))
	b = appendTime(b, ns)
	b = le.AppendUint32(b, uint32(captured))
	return le.AppendUint32(b, uint32(length))
}

func appendPacketTail(b []byte, captured int, flags uint32) []byte {
	var padding [3]byte
	b = append(b, padding[:padded(captured)-captured]...)
	b = le.AppendUint16(b, optionFlags)
	b = le.AppendUint16(b, 4)
	b = le.AppendUint32(b, flags)
	b = appendEnd(b)
	return le.AppendUint32(b, uint32(packetOverhead+padded(captured)))
}

// appendStatistics ends an interface (section 4.6).
func appendStatistics(b []byte, index int, start, stop int64, received, dropped uint64) []byte {
	b, begin := beginBlock(b, blockStatistics)
	b = le.AppendUint32(b, uint32(index))
	b = appendTime(b, stop)
	b = appendOption(b, optionStart, appendTime(nil, start)...)
	b = appendOption(b, optionStop, appendTime(nil, stop)...)
	b = appendOption(b, optionReceived, le.AppendUint64(nil, received)...)
	b = appendOption(b, optionDropped, le.AppendUint64(nil, dropped)...)
	return endBlock(appendEnd(b), begin)
}
