// Package user is the network that needs no privileges: a netif.Link behind which ordinary sockets of the host stand for
// everything the guest talks to. It is what `ukvm run` uses unless told otherwise.
//
//	guest ◄─ frames ─► Link ─┬─ TCP: package tcpproxy, a socket for each connection, inside Send and Receive
//	                         ├─ ARP, DHCP, neighbour discovery: answered here
//	                         ├─ ICMP echo to others: a table of flows, an ICMP socket and a goroutine for each
//	                         └─ netstack (gVisor) ─┬─ UDP: likewise
//	                                               ├─ TCP of DialContext, Listen, DNS, link-local IPv6, connections that are no sockets
//	                                               └─ ICMP echo to us, fragments, and all that is malformed
//
// # Addresses
//
// The guest has a network of its own, by default 10.0.2.0/24, with the same fixed addresses behind every Link:
//
//	.2   router; the source of connections that come from the host's loopback or from IPv6
//	.3   DNS over UDP and TCP, forwarded to the host's resolvers (RFC 1035, RFC 7766)
//	.4   the host's loopback, also named host.ukvm.internal: only with Config.HostLoopback
//	.15  the guest
//
// and one for IPv6, by default fd00::/64, in which ::2, ::3 and ::4 are the same, and ::15 is the guest, as Config tells it.
// A guest that does not go by that makes its own addresses (RFC 4862): a router advertisement, sent when it asks for one,
// tells it the prefix, the router (fe80::2), the MTU and the resolver (RFC 8106). As these are unique local addresses, a guest prefers IPv4 for what has both (RFC 6724).
//
// The guest reaches what the host reaches, through Config.Dial, but not the host's loopback (127.0.0.0/8, what is
// assigned to loopback devices, 0.0.0.0/8), and neither link-local, multicast nor broadcast addresses: 169.254.169.254
// stays out of reach; so does ::1, and what IPv6 has in place of the others. Where the host has no IPv6, the guest's
// attempts end at once. Published ports accept IPv6, the guest sees IPv4.
//
// Echo requests go out by unprivileged ICMP sockets. Where the host does not permit them (net.ipv4.ping_group_range), the
// guest is told that it is prohibited; the router answers in any case. Of IPv6 only those that fit the MTU go out.
//
// # Connections
//
// A connection of the guest is answered only after the host's succeeded; refused is refused, unreachable is an ICMP
// error. A published port accepts on the host, then connects to the guest: while the guest's server is not up, the client
// gets a reset, as from any host, so readiness probes work. Where the client's address is IPv4 and not the host's
// loopback, the guest sees it as the peer's. End of stream and reset pass both ways.
//
// # Copies
//
// TCP from the guest is written to its socket from guest memory: one copy, the kernel's; more only while the socket has no
// room. TCP to the guest is read into a buffer that keeps it until the guest has acknowledged it, and copied from there:
// two. Datagrams, and what passes netstack, are copied once more each way. Checksums are computed for none of it if the
// guest does without (SetFeatures), and frames are then as long as an IP packet can be.
//
// # Limits
//
// At most Config.MaxTCP connections exist, Config.MaxPending of them in the making. All of them together buffer about
// 64 MiB in each direction, one of them at most 1 MiB (package tcpproxy has the rule); what the host sends beyond that
// stays in its sockets. The few connections through netstack hold at most tcpBuffer bytes in each direction there, and one
// buffer of spliceBuffer bytes while data moves. Other frames for the guest wait in a queue of at most 1024 frames and
// 4 MiB; more are dropped. Of UDP flows there are at most Config.MaxUDP, with a few datagrams each while they are set up.
// Fragments are reassembled in at most 4 MiB. Beyond a limit new connections are refused and counted. Everything ends
// with Close.
//
// # Why not netstack for all of TCP
//
// It was measured (BenchmarkRequests, guest of one thread, 2 cores): netstack hands each segment to a goroutine of its
// own, and a pair of goroutines for each connection moves the data, so that a small request and its response wake five
// threads: 9 700 a second on one connection, against 44 000 here and 67 000 without any guest.
package user
