// Package contract is what the tests of network and the program that they run in guests agree upon: ports, the values
// that go to and fro as JSON, and the bytes of transfers.
package contract

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Ports of the guest.
const (
	PortWeb      = 80  // HTTP/1.1, and HTTP/2 without TLS
	PortTLS      = 443 // HTTP/1.1 and HTTP/2
	PortEcho     = 7   // TCP and UDP: what comes goes back
	PortSum      = 9   // answers with the Sum of all that came, after its end
	PortDeadline = 11  // sends "late" whenever nothing has come for DeadlineAfter, and what came
	PortFlood    = 13  // sends until nobody has read for FloodPatience
	PortClosed   = 15  // nobody listens
)

// Times of the guest.
const (
	DeadlineAfter = 100 * time.Millisecond
	FloodPatience = time.Second

	// A connection whose peer is silent is asked after KeepAlive, and given up after KeepAliveCount questions.
	KeepAlive      = time.Second
	KeepAliveCount = 3
)

// What guest part sends are Bytes of this seed; exit ends it with this code.
const (
	PartSeed = 77
	PartCode = 3
)

// Stats is what the guest says of itself: GET /stats, after a collection.
type Stats struct {
	Goroutines int
	Files      int    // descriptors
	Heap       uint64 // bytes that are alive
	Conns      int64  // connections to the web servers
	Holds      int64  // requests that wait
	Sockets    int64  // connections to the other ports
	Requests   uint64 // begun, but for those to /stats
	Floods     uint64 // connections of PortFlood that nobody read
}

// Sum is what became of a transfer.
type Sum struct {
	Bytes  int64
	SHA256 string
}

// Header is what the guest says of a request's header: GET /header.
type Header struct {
	Fields int
	Bytes  int // of all values
	Proto  string
	Client string // address
}

// Fetch asks the guest for HTTP requests: POST /fetch. It answers with Fetched.
type Fetch struct {
	URL        string
	Roots      string // certificates to trust, PEM
	ServerName string // expected in the server's certificate; empty: that of URL
	Times      int    // requests in all
	Parallel   int    // at a time
	Upload     int64  // bytes to send with each; 0: GET
	Seed       uint64 // of those bytes
}

// Fetched is what came of them.
type Fetched struct {
	Done  int // requests without an error
	Proto string
	Body  Sum // of the last
	Text  string
	Fault *Fault // the first
}

// Dial asks the guest for a connection: POST /dial. It answers with Dialed.
type Dial struct {
	Network, Address string
	Timeout          time.Duration
	Send             string // expect an answer to it
}

// Dialed is what came of it.
type Dialed struct {
	Received string
	Elapsed  time.Duration
	Fault    *Fault
}

// Looked is the answer to GET /lookup.
type Looked struct {
	Values []string
	Fault  *Fault
}

// Fault is an error of the guest's.
type Fault struct {
	Text     string
	Errno    syscall.Errno
	Timeout  bool
	NotFound bool // DNS
}

// NewFault describes err; nil is none.
func NewFault(err error) *Fault {
	if err == nil {
		return nil
	}
	f := &Fault{Text: err.Error(), Timeout: errors.Is(err, os.ErrDeadlineExceeded)}
	errors.As(err, &f.Errno)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		f.Timeout = true
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		f.NotFound = dns.IsNotFound
	}
	return f
}
