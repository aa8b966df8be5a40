// Package conntrack is the connection tracking box: it knows, from the packets that pass, which connections there are,
// and says of each packet what it is to them. Package filter asks it if a rule wants to know.
//
//	          packet, state New          answer: Established          time-out, or room for others
//	(none) ───────────────────► pending ──────────┐            ┌────────────────────────────► (none)
//	                               │ Confirm: it  ▼            │
//	                               └─ passed ──► entry, in the queue of its time-out
//
// A connection is entered only when its first packet has passed the filter, so that what is dropped costs no memory.
//
// TCP is followed by sequence numbers: a segment outside of both ends' windows is Invalid (van Rooij, "Real Stateful TCP
// Packet Filtering in IP Filter", 2000), and RST ends a connection for the box only if the receiver must believe it
// (RFC 5961 §3.2). A segment of a connection the box has not seen begin is Invalid, but this host is believed if it sends
// one, and everybody until PickUp. UDP and others are connections between the same two ends; ICMP requests and replies
// belong together by their identifier (RFC 5508). ICMP errors are Related if they quote a packet the other end was sent.
//
// # Time-outs
//
// RFC 5382 (TCP), RFC 4787 (UDP) and RFC 5508 (ICMP) say how long middleboxes keep idle connections at least; see
// queues.go. A time-out is a queue in which entries stand by the time of their last packet, so nothing has to be
// searched.
//
// # Limits
//
// There are at most Max entries. When a further one comes, the oldest makes room of those whose other end has proven
// nothing: finished ones first, then those without an answer, then others than TCP, those this host began last. If there
// are none, the packet of the new connection is dropped (Confirm). The buckets are found by a keyed hash, which others can not aim at.
//
// Not here, and the reason: helpers for protocols that open further connections (FTP's active mode), whose parsers have
// been holes more often than help; verification of checksums, since whoever can send a segment with a wrong one can send
// it with the right one.
//
// Not safe for concurrent use: the stack's lock guards the box.
package conntrack
