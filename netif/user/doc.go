// Package user is the network that needs no privileges: a netif.Link behind which a user-space TCP/IP stack (gVisor's
// netstack) ends the guest's connections, and ordinary sockets of the host carry them on. It is what `ukvm run` uses
// unless told otherwise.
//
//	guest ◄─ frames ─► Link ─┬─ ARP, DHCP: answered here
//	                         └─ netstack ─┬─ TCP: one guest connection and one host socket, spliced
//	                                      ├─ UDP: a table of flows, one host socket each
//	                                      └─ ICMP echo: of the addresses below
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
// The guest reaches what the host reaches, through Config.Dial, but not the host's loopback (127.0.0.0/8, what is
// assigned to loopback devices, 0.0.0.0/8), and neither link-local, multicast nor broadcast addresses: 169.254.169.254
// stays out of reach.
// IPv6 ends at the host: published ports accept it, the guest sees IPv4.
//
// # Connections
//
// A connection of the guest is answered only after the host's succeeded; refused is refused, unreachable is an ICMP
// error. A published port accepts on the host, then dials the guest: while the guest's server is not up, the client gets
// a reset, as from any host, so readiness probes work. Where the client's address is IPv4 and not the host's loopback,
// the guest sees it as the peer's. End of stream and reset pass both ways.
//
// # Limits
//
// Frames towards the guest wait in a queue of at most 1024 frames and 4 MiB; more are dropped. A TCP connection holds
// at most tcpBuffer bytes in each direction inside netstack (send buffer and receive buffer) and one buffer of
// spliceBuffer bytes in each direction while data moves; at most Config.MaxTCP connections exist, Config.MaxPending of
// them in the making. Config.MaxUDP flows hold at most a few datagrams each while they are set up. Beyond a limit new
// connections are refused and counted. Fragments are reassembled in at most 4 MiB. Everything ends with Close.
package user
