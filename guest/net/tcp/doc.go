// Package tcp is the TCP box: RFC 9293 with window scaling, timestamps and PAWS (RFC 7323), retransmission timing of
// RFC 6298, congestion control of RFC 9438 (CUBIC, with HyStart++ of RFC 9406) or RFC 5681 (NewReno) with the initial
// window of RFC 6928, the defences of RFC 5961, RFC 6528 and RFC 6056, SYN cookies (RFC 4987), path MTU discovery that
// notices black holes (RFC 1191, RFC 4821), and RFC 6191 for reuse of TIME-WAIT. Losses are found by RACK-TLP (RFC 8985)
// with selective acknowledgements (RFC 2018, RFC 2883) and repaired with proportional rate reduction (RFC 9937), which is
// taken back when it was for nothing (RFC 3522, RFC 3708, RFC 5682); with peers that have no SACK it is NewReno's recovery (RFC
// 6582, RFC 3042). Routers may mark instead of dropping (ECN, RFC 3168).
//
//	 Conn.Read ▲                          │ Conn.Write: the one copy on the way down
//	┌──────────┴──────────┐       ┌───────▼───────────┐
//	│ rcv.queue           │       │ snd.buf           │   blocks of memory, kept until acknowledged
//	│  in order, unread   │       └───────┬───────────┘
//	│ rcv.ahead           │   ACKs  ┌─────▼───────────┐
//	│  ahead of a hole    ├────────►│ output          │   how much, how fast: window, congestion, Nagle
//	└──────────▲──────────┘         └─────┬───────────┘
//	 input     │ one Conn, by the         │ emit          segments refer to snd.buf's memory
//	┌──────────┴──────── flow ────────────▼───────────┐
//	│ Box      conns · waits · listeners · dirty      │
//	└──────────▲──────────────────────────┬───────────┘
//	   Receive │                          ▼ Down
//
// It runs to completion: Receive queues data, notes what a connection owes its peer (an ACK, data that has room now) and
// puts the connection on the dirty list; Flush, called once after a batch of packets, a user's call or a timer, sends it.
// So a batch of segments is answered by one ACK, and the ACKs of a batch release one long burst. Only what must be said
// at once (duplicate ACKs, RST) is sent from within Receive.
//
// Files: conn (the control block), state, user (calls from above), listen, cookies, segment, input (what arrives),
// opening (the handshakes), ack, recovery (phases, NewReno), selective (recovery with SACK), scoreboard, rack, tailprobe,
// prr, undo, frto, congestion, cubic, hystart, ecn, rtt, output, emit, sendbuffer, receive (queues and window), reassembly, report
// (SACK), timers, timewait, ports, isn, failure (ICMP), pmtu, limits.
//
// Not here, and the reason: urgent data is received as ordinary data, which RFC 6093 §4 suggests programs ask for anyway;
// fast open needs a client that asks for it, and Go's does not.
//
// Nothing is safe for concurrent use: the stack's lock guards the box and all connections. Errors are the sentinels of
// errors.go and package packet.
package tcp
