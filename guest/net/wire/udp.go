package wire

// UDP is a UDP header (RFC 768).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|          Source Port          |       Destination Port        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|            Length             |           Checksum            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type UDP []byte

// UDPSize is the length of a UDP header in bytes, UDPChecksumOffset where its checksum lies.
const (
	UDPSize           = 8
	UDPChecksumOffset = 6
)

// ParseUDP takes the header at the start of b. The length may exceed len(b).
func ParseUDP(b []byte) (UDP, bool) {
	if len(b) < UDPSize || get16(b[4:]) < UDPSize {
		return nil, false
	}
	return UDP(b[:UDPSize]), true
}

// The fields of a header that ParseUDP has accepted, and how to change them.
func (h UDP) SrcPort() uint16      { return get16(h[0:]) }
func (h UDP) DstPort() uint16      { return get16(h[2:]) }
func (h UDP) Len() int             { return int(get16(h[4:])) } // header included
func (h UDP) Checksum() uint16     { return get16(h[6:]) }
func (h UDP) SetChecksum(v uint16) { put16(h[6:], v) }

// Encode stores a header with the given checksum into h, which has UDPSize bytes. n counts the header.
func (h UDP) Encode(src, dst uint16, n int, checksum uint16) {
	_ = h[UDPSize-1]
	put16(h[0:], src)
	put16(h[2:], dst)
	put16(h[4:], uint16(n))
	put16(h[6:], checksum)
}
