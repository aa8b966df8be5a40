// Package net is the guest's network stack. The derived standard library's package net imports it as ukvm/net, so a
// program without sockets has no stack in it.
//
// It is a set of boxes, each a struct in a package of its own, joined by nothing but function values (packet.Handler and
// a few others), which one function sets: wire, in wiring.go, has the plan. Any connection can be changed while the stack
// runs (Stack.Do): to filter, to count, to put another box in between.
//
//	wire      formats: Ethernet, ARP, IPv4, ICMP, UDP, TCP, DHCP; checksums
//	packet    memory: gather lists over blocks with reference counts
//	timer     one timing wheel                route    prefixes
//	nic eth neighbour arp ndp loopback        the link: queue to the card, frames, neighbours
//	ip4 icmp4                                 RFC 791, 792, 1122: checks, fragments, filters, errors
//	ip6 icmp6                                 RFC 8200, 4443: the same, extension headers, source selection
//	udp tcp dgram                             RFC 768, 9293 and relatives: see package tcp
//	ping                                      ICMP for programs: ping sockets, raw ones
//	dhcp slaac dhcp6                          RFC 2131, 4861, 8415: configuration
//	mcast                                     RFC 3376, 3810: groups announced
//	fragment bucket                           reassembly for both IPs, limits of rates
//	event                                     the other face: callbacks in place of sockets
//	filter conntrack                          rules about packets; connections as packets show them
//	(here)    wiring, interfaces, sockets as package posix wants them, limits
//
// # How it runs
//
// To completion, on whoever's goroutine brings work: a driver with a batch of received frames, a program's call, the
// alarm of the one timer. The stack has no goroutine of its own and makes none, per packet or per connection.
//
//	driver: Interface.Receive(batch) ─┐            ┌─ NIC.Transmit, …, Flush once
//	program: Socket.Send, Recv, …    ─┼─► enter ─► boxes ─► leave ─┤
//	clock: alarm                     ─┘   lock             unlock  └─ Notify: posix wakes who waits
//
// leave is where everything due gets done: connections send what they owe, loopback delivers, cards are flushed, the
// alarm is set. So a batch of segments is answered by one ACK, and a call that sends much rings one doorbell. Drivers and
// the alarm end with turn, which is leave but for what package event adds: callbacks run before, without the lock.
//
// # Locks
//
// There is one, Stack.mu: a guest has one processor, and a packet's way up and down is short. enter and leave take it and
// give it back; no box locks anything. It may be held while Notify's functions and a driver's Transmit and Flush are
// called, so their locks come after it. Config.Resolvers is called without it. Packets and blocks of memory may be
// released anywhere.
//
// # Copies
//
// Down: one, from the program's slice into the send buffer (TCP) or the packet (UDP). Segments, retransmissions and
// fragments refer to that memory; the device reads it there; it is reused when acknowledged and no device has it. Up: one,
// from the device's buffer into the program's slice; until then the buffer waits in the socket's queue. Exceptions: short
// packets are merged or moved so that they do not keep big buffers alive (here, and package netdev for frames of up to
// 2 KiB on cards that receive long ones), fragments are copied together, and what goes through loopback in packets of more
// than 2 KiB is not copied at all in between.
//
// With what the host adds (packages devices/net, netif/tap, netif/user) a byte of a program is copied twice each way:
//
//	program ─1─► send buffer ───2─► host: the kernel's packet (TAP), or its socket (user network)
//	program ◄─2─ receive buffer ◄─1─ host: from the kernel's packet, or, by way of a buffer (a third copy), its socket
//
// Frames of up to 2 KiB are copied once more where that is cheaper than to do without: behind a TAP, each way, for the
// kernel takes 0.2 µs to look at a list of pieces (netif/tap), and on the way up in a guest whose card receives long frames.
//
// # Offloads
//
// Transport checksums are always left to be completed (packet.SetPartialChecksum); the NIC box does it for cards that do
// not. Where a card segments (TSO), TCP makes segments of many times the MSS. Received packets whose checksum the device
// has verified, or that never had one, are taken as they are, and so are frames of up to 64 KiB, in several buffers
// (large receive). What a card can do is in its boot information: the monitor asks the host's network (netif.Features) and
// switches all of it on.
//
// There is no merging of segments here (GRO): the host's kernel and the user network make whole frames of what they have,
// and a batch of segments is one turn of the stack, with one ACK, anyway.
//
// # Settings
//
// Config has what a stack is made with. Some of it can be changed while it runs: SetFilter, SetECN, and with Do whatever a box
// has for fields (its Congestion, say). Programs have the same by package guest's SetFilter and Rewire, or as on Linux:
// /proc/sys/net/ipv4/tcp_ecn is SetECN.
//
// # Limits
//
// All memory that others can make the stack use is bounded: limits.go has what depends on the guest's memory, and says
// where the constants are. What comes from the network is hostile: each parser checks once and is fuzzed (testdata/fuzz),
// and so is the stack as a whole (FuzzFrames).
//
// # The end
//
// When the program ends, by main's return, os.Exit or a panic, its sockets are closed, and the guest stays until peers have
// acknowledged what was written, for some time at most (closing.go). The program itself stands still meanwhile (posix.AtExit).
// After death by a signal, or a fatal error of Go's runtime, only what the peers' windows have room for leaves.
//
// # Tests
//
// tests/conformance has scripts, packet by packet, for TCP in the whole stack, package tcp for itself; this package's
// tests run whole stacks in simulation with virtual time (nettest), against gVisor's netstack, and under net/http and
// crypto/tls.
//
// Not here: forwarding, a DNS resolver (Go's own is used, through
// /etc/resolv.conf).
package net
