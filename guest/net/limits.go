package net

import (
	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/tcp"
)

// Limits is what depends on the memory the stack may use. Limits that do not are constants of the boxes: neighbours
// and packets waiting for them (neighbour), interfaces, addresses, multicast groups and fragments (ip4), routes (route),
// ICMP rates and ping sockets (icmp4), queues of cards and loopback (nic, loopback), backlogs, half-open connections and
// segments ahead of a hole (tcp).
type Limits struct {
	Sockets int // sockets of all kinds, accepted connections included
	TCP     tcp.Limits

	UDPMemory  int // all datagram queues together, in bytes
	UDPDefault int // one queue, in bytes of memory
	UDPMax     int // what SO_RCVBUF can ask for

	Connections int // that rules of the packet filter can know of
}

// Shares of memory, as divisors, and bounds. With 16 MiB: 4096 sockets, 4 MiB of TCP buffers, windows up to 1 MiB. With
// 512 MiB: 131 072 sockets, 128 MiB, 4 MiB.
const (
	memoryDefault = 64 << 20 // when nobody says how much there is
	memoryLeast   = 4 << 20

	perSocket     = 4 << 10 // bytes of memory for each socket there may be
	perTimeWait   = 16 << 10
	tcpShare      = 4
	tcpBufferMax  = 4 << 20
	tcpBufferPart = 16 // one connection's buffer, of memory
	udpShare      = 16
	udpDefault    = 208 << 10 // as Linux's rmem_default
	udpMax        = 4 << 20

	trackShare = 64
	trackMin   = 256
	trackMax   = 256 << 10
)

// limitsFor returns the limits for so many bytes of memory.
func limitsFor(memory int64) Limits {
	if memory <= 0 {
		memory = memoryDefault
	}
	m := int(min(max(memory, memoryLeast), 1<<40))
	window := min(m/tcpBufferPart, tcpBufferMax)
	return Limits{
		Sockets: m / perSocket,
		TCP: tcp.Limits{
			Conns:          m / perSocket,
			TimeWait:       m / perTimeWait,
			Memory:         m / tcpShare,
			SendMin:        packet.Small,
			SendDefault:    min(64<<10, window),
			SendMax:        window,
			ReceiveMin:     4 << 10,
			ReceiveDefault: min(128<<10, window),
			ReceiveMax:     window,
		},
		UDPMemory:  m / udpShare,
		UDPDefault: min(udpDefault, m/udpShare),
		UDPMax:     min(udpMax, m/udpShare),

		Connections: min(max(m/trackShare/conntrack.EntrySize, trackMin), trackMax),
	}
}
