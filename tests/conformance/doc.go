// Package conformance is the proof that our TCP is right: scripts that drive guest/net as a whole stack, through its
// sockets on one side and a hand-made network card on the other, packet by packet, on a virtual clock. It is the idea of
// packetdrill (Cardwell et al., USENIX ATC 2013), in Go and in one process.
//
// Each file in testdata holds scripts about one subject. A script shows one behaviour and names where it is specified:
//
//	== fast-retransmit: the third duplicate ACK repeats the first segment (RFC 5681 §3.2)
//	passive rtt 0.1 <mss 1000>
//	set congestion reno
//	write 4000
//	> . 1:1001(1000) ack 1
//	…
//	+0.1 < . 1:1(0) ack 1
//
// The script is the peer, 10.0.0.2; the stack is 10.0.0.1. Sequence numbers are relative to the initial one of who sends
// them, ours and the peer's, as tcpdump shows them. # begins a comment.
//
// # Segments
//
//	< FLAGS SEQ:END(LEN) [ack N] [win N] [<OPTIONS>] [MORE]     the peer sends; the stack gets it at once
//	<& …                                                        the same, but the next one is in the same batch of the card
//	> FLAGS SEQ:END(LEN) [ack N] [win N] [<OPTIONS>] [MORE]     the stack has sent this
//
// FLAGS are S F R P . (ACK) U E W or 0 for none. All that the stack sends must be expected, in order, before anything
// else happens. Of an expected segment flags, numbers and length are compared, its payload with what has been written,
// and of the rest what is given. ECN's flags count only if they are given.
//
//	OPTIONS    mss N, ws N, sackok, sack A:B, TS val N ecr N, nop, eol, raw HEX, separated by commas.
//	           ecr ours: the last timestamp the stack sent. Expected: val +N, milliseconds after the flow's first;
//	           no mss|ws|sackok|TS: that option must not be there
//	MORE       port N (the peer's; 5000, or where connect goes), dst N (ours), from ADDR, to ADDR, urg N, ttl N, tos N,
//	           noecn (expected: neither ECE nor CWR), df, nodf, badsum, badoffset (sent: header length of 16 bytes), cut (sent: the header ends early)
//
// icmp WHAT [N] [seq N] is an ICMP error about a segment of ours that began at seq: net, host, proto, port, admin
// (unreachable codes 0 to 3 and 13), toobig N (code 4, next-hop MTU N), ttl (time exceeded), quench.
//
// flood N is N SYNs from 10.0.0.99, from as many ports. What is sent there need not be expected.
//
// # Time
//
//	+0.2 STEP        0.2 s pass, in which the stack must send nothing, then STEP
//	+0.2 > …         the segment is sent 0.2 s from now (within 3 ms: timers have a grain of 1 ms), and none before
//	+0.2~0.4 > …     at some time in between
//	+5               nothing happens for 5 s
//
// # The program
//
// Calls may have a socket's name and a dot before them and = RESULT behind: an errno, or what a call returns. Without a
// name they are about the socket made last: listen makes l, connect and accept make c, socket NAME makes NAME.
//
//	listen [BACKLOG]     on port 80 unless bound       connect [PORT]      accept [NAME]
//	bind [ADDR:]PORT     socket NAME                   write N [more]      read N | eof      peek N     discard N
//	shutdown rd|wr|rdwr  close                         set OPTION [VALUE …]
//	state NAME           info FIELD VALUE              error ERRNO|none    events in,out,err,hup,rdhup
//	stat COUNTER N       conns N      timewait N
//
// # Abbreviations
//
//	passive [rtt T] [win N] [<OPTIONS>]     a connection the peer has opened and we have accepted, after a round trip of T
//	active [rtt T] [win N] [<OPTIONS>]      a connection we have opened; both without <OPTIONS> have <mss 1000>
//	exchange                                10 bytes each way, after which ACKs are delayed; 11 comes next, both ways
//
// # The card
//
// mtu N, tso N (it cuts up to N bytes into segments itself), memory N (MiB the stack has), ecn N (net.ipv4.tcp_ecn,
// 2 unless said) and ip N come first.
//
// # IPv6
//
// Scripts run over IPv4 and over IPv6, where addresses are others with the same last numbers, MTUs are 20 bytes more, so that
// segments have the same length, and errors are ICMPv6's. After ip 4 or ip 6, among the first lines, a script runs over
// that version only and means what it says. There ttl and tos are hop limit and traffic class, an expected segment has the
// flow label of its connection's others, and a sent one can be swapped (its checksum is over another address) or behind N,
// which is an empty extension header: 0 hop-by-hop options, 60 destination options, 44 a fragment header.
//
// Every script runs three times, from different initial sequence numbers: somewhere, around 0, and around 2³¹ (both
// sides). At the end all sockets are closed, and an hour later nothing may be left of them.
package conformance
