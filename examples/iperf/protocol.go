package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What goes over the control connection, as iperf 3.12 has it (iperf_api.h): the client's cookie, then states of one byte
// from the side that decides on them, and between them JSON behind its length.
//
//	client                         server
//	cookie ───────────────────────►
//	        ◄────────────── paramExchange
//	parameters ───────────────────►
//	        ◄────────────── createStreams
//	data connections, each with the cookie (UDP: a datagram, answered) ──►
//	        ◄──── testStart, testRunning
//	testEnd ──────────────────────►
//	        ◄──────────── exchangeResults
//	results ──────────────────────►
//	        ◄─────────────────── results
//	        ◄───────────── displayResults
//	iperfDone ────────────────────►
const (
	testStart       = 1
	testRunning     = 2
	testEnd         = 4
	paramExchange   = 9
	createStreams   = 10
	clientTerminate = 12
	exchangeResults = 13
	displayResults  = 14
	iperfDone       = 16
	accessDenied    = 0xff // -1
)

// cookieSize is the length of the text that connections of a test have in common, with its NUL.
const cookieSize = 37

type cookie [cookieSize]byte

// Bounds of what a client may ask for.
const (
	maxJSON     = 256 << 10
	maxStreams  = 128 // iperf's own
	maxBlock    = 1 << 20
	maxDatagram = 65507
	minDatagram = 16 // iperf's own: the header
)

// parameters are what the server needs of what the client says.
type parameters struct {
	UDP           bool    `json:"udp"`
	SCTP          bool    `json:"sctp"`
	Parallel      int     `json:"parallel"`
	Reverse       bool    `json:"reverse"`       // the server sends
	Bidirectional bool    `json:"bidirectional"` // both do
	Len           int     `json:"len"`           // bytes of a write or datagram
	Bandwidth     float64 `json:"bandwidth"`     // bits a second of a stream; 0: no limit
	Omit          float64 `json:"omit"`          // seconds that do not count
	NoDelay       bool    `json:"nodelay"`
	Counters64    int     `json:"udp_counters_64bit"`
}

// check refuses what cannot be done.
func (p *parameters) check() error {
	longest := maxBlock
	if p.UDP {
		longest = maxDatagram
	}
	switch {
	case p.SCTP:
		return errors.New("SCTP")
	case p.Parallel < 0 || p.Parallel > maxStreams:
		return fmt.Errorf("%d streams", p.Parallel)
	case p.Len < 0 || p.Len > longest || p.UDP && p.Len < minDatagram:
		return fmt.Errorf("blocks of %d bytes", p.Len)
	case !(p.Bandwidth >= 0) || !(p.Omit >= 0 && p.Omit <= 3600):
		return fmt.Errorf("a bandwidth of %v and %v s to leave out", p.Bandwidth, p.Omit)
	}
	p.Parallel = max(p.Parallel, 1)
	if p.Len == 0 {
		p.Len = 128 << 10
	}
	return nil
}

// streams is how many streams go to the server and from it, in the order in which the client makes them.
func (p *parameters) streams() (to, from int) {
	switch {
	case p.Bidirectional:
		return p.Parallel, p.Parallel
	case p.Reverse:
		return 0, p.Parallel
	}
	return p.Parallel, 0
}

// results are what the server tells the client at the end. (The client's own has numbers beyond what they count.)
type results struct {
	CPUTotal    float64        `json:"cpu_util_total"`
	CPUUser     float64        `json:"cpu_util_user"`
	CPUSystem   float64        `json:"cpu_util_system"`
	Retransmits int            `json:"sender_has_retransmits"` // 0: not counted
	Streams     []streamResult `json:"streams"`
}

type streamResult struct {
	ID             int     `json:"id"`
	Bytes          int64   `json:"bytes"`
	Retransmits    int     `json:"retransmits"`
	Jitter         float64 `json:"jitter"`
	Errors         int64   `json:"errors"`
	OmittedErrors  int64   `json:"omitted_errors"`
	Packets        int64   `json:"packets"`
	OmittedPackets int64   `json:"omitted_packets"`
	StartTime      float64 `json:"start_time"`
	EndTime        float64 `json:"end_time"`
}

// streamID is the number that iperf gives stream i: there is no 2.
func streamID(i int) int {
	if i == 0 {
		return 1
	}
	return i + 2
}

// readJSON reads a value behind its length, big-endian.
func readJSON(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxJSON {
		return fmt.Errorf("%d bytes of JSON are more than %d", n, maxJSON)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}
