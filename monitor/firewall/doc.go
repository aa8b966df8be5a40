// Package firewall reads the rules of a guest's packet filter, as `ukvm run --firewall FILE` and monitor.Config.Firewall
// have them, and checks them.
//
//	# A web server that its admins can log in to.
//	set admins { 10.0.0.0/8, fd00::/8 }
//
//	chain input {
//	    policy drop
//	    state established, related accept
//	    state invalid drop
//	    icmp type echo-request limit 10/second accept
//	    tcp dport 80, 443 accept
//	    tcp dport 22 saddr @admins flags syn,!ack limit 3/minute burst 3 log "login" accept
//	    tcp dport 113 reject
//	    count unexpected
//	}
//
// # Chains
//
// Packets pass chains with these names, where there are any: prerouting (all that arrive, before it is known whom they
// are for), input (those for the guest), forward (those for others), output (those the guest sends), postrouting (all
// that leave). Rules can jump to chains with other names. Rules are tried in order; the first that matches and has a
// verdict decides, and if none does the policy, which is accept unless the chain says "policy drop".
//
// # Rules
//
// A rule is a line: conditions, all of which must hold; what to do; a verdict. Each part may be left out.
//
//	iif NAMES, oif NAMES        network card it came in by (up to forward), goes out by (from output on): eth0
//	saddr, daddr [!=] ADDRESSES source, destination: 10.0.0.1, 10.0.0.0/8, fd00::/8
//	tcp, udp, icmp, icmp6       protocol; others are proto NUMBER
//	sport, dport [!=] PORTS     source port, destination port: 80, 8000-8100
//	type TYPES                  ICMP type, a number or name: echo-request
//	flags FLAGS                 TCP flags, all of them: syn, !ack
//	state STATES                of its connection: new, established, related, invalid, untracked
//	limit [over] N/UNIT         at most so many packets a second, minute, hour or day, after 5 at once or burst N;
//	                            with over, those that are too many
//
//	count NAME                  add the packet to a counter
//	log ["TEXT"]                report it on the guest's standard error, ten a second at most
//
//	accept, drop                let it pass; forget it
//	reject [with ANSWER]        forget it and tell its sender: rst, port, host, prohibited
//	jump CHAIN, return          go on in another chain, and back
//
// Where a plural stands there can be several, separated by commas, within braces if they go over lines, or @NAME, the
// elements of a set. A rule ends with its line or a semicolon, and # begins a comment.
//
// Loopback, ARP, IPv6 neighbour discovery and the guest's own DHCP are not filtered.
package firewall
