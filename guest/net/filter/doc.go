// Package filter is the packet filter: chains of rules at five places of a packet's way, and what becomes of packets
// that match them.
//
//	           ┌────────────┐   for us   ┌───────┐                 ┌────────┐
//	from the   │ Prerouting ├───────┬───►│ Input ├──► transports ──► Output ├──┐
//	network ──►└────────────┘       │    └───────┘                 └────────┘  │   ┌─────────────┐   to the
//	                                │    ┌─────────┐                           ├──►│ Postrouting ├──► network
//	                                └───►│ Forward ├───────────────────────────┘   └─────────────┘
//	                       for others    └─────────┘
//
// A [Config] says what the rules are. [Compile] checks it and makes a [Table] of it, which the [Box] runs: one walk
// through a chain for a packet, without allocating anything. A Table is never changed but for its counters, so loading
// another one while packets flow is one store.
//
// # Rules
//
// A rule matches a packet if all its conditions hold. Then the packet is counted, perhaps logged, and the rule's verdict
// is carried out: Accept and Drop end the matter at this place, Reject drops and tells the sender, Jump goes on in
// another chain, Return in the chain that jumped here, Continue with the next rule. At the end of one of the five chains
// its policy decides.
//
// Input and Output see whole packets: fragments have been put together or not been made yet. Prerouting and Postrouting
// see fragments, and only the first of a packet has ports, types and flags to match. Sizes are those the filter sees: a
// packet that the card will cut into segments counts as one.
//
// # What is not filtered
//
// Loopback: that is the program talking to itself. What the stack needs before there is anything to filter, as on Linux:
// ARP, IPv6 neighbour discovery (types 133 to 137 with a hop limit of 255, RFC 4861 §7.1) and the multicast listener
// discovery that it needs (RFC 2710, RFC 3810: with a hop limit of 1), and DHCP of an interface whose client is running.
// And what Reject itself sends.
//
// # Limits
//
// See limits.go. A chain can not jump to itself, in however many steps, and the longest walk is bounded by MaxSteps.
//
// Not here: address translation; sets with time-outs; limits for each source.
//
// Not safe for concurrent use: the stack's lock guards a Box. A Table belongs to one Box.
package filter
