package user

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// DNS messages (RFC 1035 section 4.1), as far as a forwarder looks into them:
//
//	0 ID   2 QR opcode AA TC RD, RA Z RCODE   4 QDCOUNT   6 ANCOUNT   8 NSCOUNT   10 ARCOUNT   12 question
//
// A question is a name, which is labels with a length byte each and an empty one at the end, then type and class.
const (
	dnsHeader  = 12
	maxName    = 255
	flagQR     = 1 << 15
	flagRA     = 1 << 7
	opcodeMask = 15 << 11
	flagRD     = 1 << 8

	typeA   = 1
	typeANY = 255
	classIN = 1

	rcodeServerFailure = 2
	rcodeNameError     = 3

	// aliasTTL is how long the guest may keep the address of the host alias, in seconds.
	aliasTTL = 60
)

// hostAlias is the name of the host's loopback for the guest, on the wire.
const hostAlias = "\x04host\x04ukvm\x08internal\x00"

// dnsQuery is a query with one question.
type dnsQuery struct {
	message  []byte
	question []byte // name, type and class
	kind     uint16
	class    uint16
}

// parseQuery checks that message is a query with exactly one question. Names in questions are not compressed.
func parseQuery(message []byte) (q dnsQuery, ok bool) {
	if len(message) < dnsHeader {
		return q, false
	}
	flags := binary.BigEndian.Uint16(message[2:])
	if flags&flagQR != 0 || binary.BigEndian.Uint16(message[4:]) != 1 {
		return q, false
	}
	name := message[dnsHeader:]
	end := 0
	for {
		if end >= len(name) || name[end] > 63 {
			return q, false
		}
		label := int(name[end])
		end += 1 + label
		if label == 0 {
			break
		}
	}
	if end > maxName || len(name) < end+4 {
		return q, false
	}
	return dnsQuery{
		message: message, question: name[:end+4],
		kind: binary.BigEndian.Uint16(name[end:]), class: binary.BigEndian.Uint16(name[end+2:]),
	}, true
}

// isHostAlias reports whether the question is about the host, which no resolver outside knows.
func (q dnsQuery) isHostAlias() bool {
	return q.class == classIN && sameName(q.question[:len(q.question)-4], []byte(hostAlias))
}

// sameName compares names regardless of the case of ASCII letters (RFC 4343). No length byte is a letter.
func sameName(a, b []byte) bool {
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// answeredBy reports whether response belongs to the query.
func (q dnsQuery) answeredBy(response []byte) bool {
	if len(response) < dnsHeader || !bytes.Equal(response[:2], q.message[:2]) ||
		binary.BigEndian.Uint16(response[2:])&flagQR == 0 {
		return false
	}
	rest := response[dnsHeader:]
	if len(rest) == 0 {
		return true // an error may come without the question
	}
	name := len(q.question) - 4
	return len(rest) >= len(q.question) && sameName(rest[:name], q.question[:name]) &&
		bytes.Equal(rest[name:len(q.question)], q.question[name:])
}

// respond starts a response with the question and room for an answer.
func (q dnsQuery) respond(rcode, answers uint16) []byte {
	b := make([]byte, dnsHeader, dnsHeader+len(q.question)+16)
	copy(b, q.message[:2])
	flags := binary.BigEndian.Uint16(q.message[2:])
	binary.BigEndian.PutUint16(b[2:], flags&(opcodeMask|flagRD)|flagQR|flagRA|rcode)
	binary.BigEndian.PutUint16(b[4:], 1)
	binary.BigEndian.PutUint16(b[6:], answers)
	return append(b, q.question...)
}

// failure says that no resolver answered.
func (q dnsQuery) failure() []byte { return q.respond(rcodeServerFailure, 0) }

// hostAnswer is the answer about the host alias. It has an IPv4 address and no IPv6 address, or does not exist if host
// is not valid.
func (q dnsQuery) hostAnswer(host netip.Addr) []byte {
	if !host.IsValid() {
		return q.respond(rcodeNameError, 0)
	}
	if q.kind != typeA && q.kind != typeANY {
		return q.respond(0, 0)
	}
	b := q.respond(0, 1)
	b = append(b, 0xc0, dnsHeader) // the name of the question (section 4.1.4)
	b = binary.BigEndian.AppendUint16(b, typeA)
	b = binary.BigEndian.AppendUint16(b, classIN)
	b = binary.BigEndian.AppendUint32(b, aliasTTL)
	b = binary.BigEndian.AppendUint16(b, 4)
	return append(b, host.AsSlice()...)
}
