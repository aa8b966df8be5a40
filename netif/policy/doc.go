// Package policy has the kernel check what passes between a guest's TAP device and the host: a pair of BPF programs on the
// device (TCX, Linux 6.6) that let a guest speak only for itself, with the peers and ports that it may, and not too often.
// It holds whatever the guest's own stack does, and costs no process time.
//
//	guest ─► TAP ─► ingress ─► the host's stack, a bridge      frames of the guest: source, rules, rate
//	guest ◄─ TAP ◄─ egress ◄── the host's stack, a bridge      frames for it: rules
//
// The guard is always on: the source address of a frame, and the sender of ARP and of neighbour discovery, is the guest's.
// That is what it was told, in IPv6 also every link-local one; Policy.Addrs are others. A guest that gets its addresses from
// others (DHCP, router advertisements) has only its MAC address checked, unless Addrs are given. VLAN tags, router advertisements, redirects, and frames that are neither IP
// nor ARP do not pass.
//
// Rules name peers and ports. With none every peer is allowed; with any, only what one allows: a flow that the guest
// begins (To) or a peer (From), and the packets of the flow that go the other way. No flow is remembered: a packet belongs to
// a rule by its addresses and ports, and a TCP segment with SYN and without ACK only in the direction of the rule. ARP,
// neighbour discovery, DHCP where the guest uses it, and ICMP's reports of errors always pass. Later fragments have no ports
// and pass where any port of their protocol would. IPv6 extension headers count as the protocol.
//
// Programs are assembled here for each guest, so no compiler and no kernel headers are needed, and rules cost a few
// instructions. Everything is held by descriptors: it is gone when the Guard is closed or the process ends, however that
// happens.
package policy
