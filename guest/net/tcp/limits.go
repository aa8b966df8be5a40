package tcp

// Constants from specifications. Times are nanoseconds.
const (
	millisecond = 1_000_000
	second      = 1000 * millisecond

	defaultMSS    = 536                 // RFC 9293 §3.7.1 (MUST-15): if the peer names none
	defaultMSS6   = 1220                // likewise, over IPv6
	initialWindow = 10                  // RFC 6928: segments
	initialRTO    = 1 * second          // RFC 6298 §2.1
	fallbackRTO   = 3 * second          // RFC 6298 §5.7
	clockGrain    = 1 * millisecond     // RFC 6298 G; and the unit of our timestamps (RFC 7323 §5.4)
	dupThreshold  = 3                   // RFC 5681 §3.2
	pawsIdle      = 24 * 86400 * second // RFC 7323 §5.5: then the timestamp remembered is worth nothing
	minMTU        = 552                 // least path MTU believed (RFC 1191 §3 says 68; Linux min_pmtu)
	minMTU6       = 1280                // the same for IPv6 (RFC 8201 §4)
)

// Constants chosen here, mostly as Linux has them.
const (
	minRTO       = 200 * millisecond // RFC 6298 §2.4 says 1 s; all of today's systems are below
	maxRTO       = 120 * second
	leastProbe   = 4 * millisecond   // least time until a tail loss probe: a busy peer can be away for that long
	minRTTLife   = 300 * second      // how long the least round trip is believed
	delayedAck   = 40 * millisecond  // RFC 9293 §3.8.6.3 allows 500
	corkTime     = 200 * millisecond // how long MSG_MORE may hold a short segment
	timeWait     = 60 * second       // 2 MSL, MSL being 30 s
	finWait2     = 60 * second       // how long a closed connection waits for the peer's FIN
	quickAcks    = 16                // segments acknowledged at once when a connection starts or lost something
	challengeGap = 100 * millisecond // between challenge ACKs of one connection (RFC 5961 §7)
	reuseAfter   = 1 * second        // when Connect may take the flow of a connection in TIME-WAIT (RFC 6191)

	synRetries    = 6  // retransmissions of SYN: 127 s in all
	synAckRetries = 5  // of SYN|ACK
	dataRetries   = 15 // of data: about 15 minutes
	orphanRetries = 8  // of data, when nobody holds the connection any more
	probesMax     = 15 // unanswered window probes

	keepIdle     = 7200 * second
	keepInterval = 75 * second
	keepCount    = 9

	// MaxBacklog is the longest a listener's queue of accepted connections can be asked to be.
	MaxBacklog = 4096
	// MaxHalfOpen bounds the connections of one listener whose handshake is not complete; further SYNs get cookies.
	MaxHalfOpen = 1024
	// MaxOutOfOrder bounds the segments one connection holds ahead of a hole, whatever their size.
	MaxOutOfOrder = 4096
	// MaxListeners bounds the listeners of the box.
	MaxListeners = 1024
)

// Limits are what depends on the memory there is. All are in bytes except counts. The zero value is not usable.
type Limits struct {
	Conns    int // connections, half-open ones included
	TimeWait int // connections in TIME-WAIT; the oldest makes room
	Memory   int // all buffers of all connections together; beyond it windows close and writers wait

	SendMin, SendDefault, SendMax          int // send buffer of a connection: payload bytes
	ReceiveMin, ReceiveDefault, ReceiveMax int // receive buffer: payload bytes; memory is at most 2.5 times that
}
