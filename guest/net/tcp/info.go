package tcp

import "net/netip"

// Info describes a connection, for TCP_INFO and for showing. Times are nanoseconds, sizes bytes.
type Info struct {
	State            State
	Local, Remote    netip.AddrPort
	Congestion       string
	Recovery         int // 0: none, 1: fast recovery, 2: after a timeout, 3: the window is reduced, nothing is lost
	Retries, Probes  int
	Backoff          int
	Timestamps       bool
	Scaling          bool
	SACK             bool
	ECN              bool
	SendScale        uint8
	ReceiveScale     uint8
	RTO, RTT, RTTVar int64
	SendMSS          int
	ReceiveMSS       int
	AnnouncedMSS     int
	PathMTU          int
	InFlight         int // not acknowledged, selectively acknowledged and lost included
	Sacked, Lost     int
	MinRTT           int64
	Reordering       bool // has been seen
	Window           int  // congestion window
	Threshold        int
	PeerWindow       int
	SendQueue        int
	ReceiveQueue     int
	OutOfOrder       int // segments held ahead of a hole
	ReceiveLimit     int
	SinceSent        int64
	SinceReceived    int64
	Retransmits      int // in all
}

// Info describes the connection.
func (c *Conn) Info() Info {
	now := c.box.Now()
	return Info{
		State:         c.state,
		Local:         netip.AddrPortFrom(c.flow.local, uint16(c.flow.localPort)),
		Remote:        netip.AddrPortFrom(c.flow.remote, uint16(c.flow.remotePort)),
		Congestion:    c.congestion().Name,
		Recovery:      int(c.rec.phase),
		Retries:       c.retries,
		Probes:        c.probes,
		Backoff:       int(c.rtt.backoff),
		Timestamps:    c.ts.on,
		Scaling:       c.scaling,
		SACK:          c.sack,
		ECN:           c.ecn.on,
		SendScale:     c.snd.scale,
		ReceiveScale:  c.rcv.scale,
		RTO:           c.rtt.timeout(),
		RTT:           c.rtt.srtt,
		RTTVar:        c.rtt.rttvar,
		SendMSS:       c.snd.mss,
		ReceiveMSS:    c.rcv.mss,
		AnnouncedMSS:  c.rcv.ourMSS,
		PathMTU:       c.mtu,
		InFlight:      c.snd.max.minus(c.snd.una),
		Sacked:        c.board.sacked,
		Lost:          c.board.lost,
		MinRTT:        c.rtt.min,
		Reordering:    c.rack.reorder,
		Window:        c.cc.Size,
		Threshold:     c.cc.Threshold,
		PeerWindow:    c.snd.wnd,
		SendQueue:     c.snd.buf.len(),
		ReceiveQueue:  c.rcv.queued,
		OutOfOrder:    c.rcv.ahead.len(),
		ReceiveLimit:  c.rcv.limit,
		SinceSent:     now - c.snd.last,
		SinceReceived: now - c.rcv.lastData,
		Retransmits:   c.repeats,
	}
}
