package net

import (
	"syscall"

	"ukvm.dev/guest/net/tcp"
)

// Bounds Linux has for keep-alive options, in seconds and probes.
const (
	keepIdleMax  = 32767
	keepIntvlMax = 32767
	keepCntMax   = 127
)

const (
	second      = 1_000_000_000
	millisecond = 1_000_000
)

// options are those of the connection, or those a listener's connections start with.
func (k *stream) options() *tcp.Options {
	if k.listener != nil {
		return &k.listener.Options
	}
	return &k.conn.Options
}

func (k *stream) changed() {
	if k.listener == nil {
		k.conn.Changed()
	}
}

// SetOption sets an option of a stream socket.
func (k *stream) SetOption(level, name int, v []byte) syscall.Errno {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return e
	}
	defer k.changed()
	o := k.options()
	switch level {
	case solSocket:
		return k.setStreamSocket(o, name, v)
	case solTCP:
		return k.setTCP(o, name, v)
	case solIP:
		x, e := intOption(v)
		switch name {
		case ipTTL:
			return setByte(&o.TTL, x, 1, e)
		case ipTOS:
			return setByte(&o.TOS, x, 0, e)
		}
	case solIPv6:
		return k.setIPv6(o, name, v)
	}
	return syscall.ENOPROTOOPT
}

func (k *stream) setStreamSocket(o *tcp.Options, name int, v []byte) syscall.Errno {
	if e, ok := k.setSocket(name, v); ok {
		o.Link = k.device
		return e
	}
	x, e := intOption(v)
	if e != 0 {
		return e
	}
	switch name {
	case soKeepAlive:
		o.KeepAlive = x != 0
	case soSndBuf, soSndBufForce:
		o.SendBuffer = max(x, 1)
	case soRcvBuf, soRcvBufForce:
		o.RecvBuffer = max(x, 1)
	case soLinger:
		if len(v) < 8 {
			return syscall.EINVAL
		}
		seconds, _ := intOption(v[4:])
		o.LingerOn, o.Linger = x != 0, int64(max(seconds, 0))*second
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

func (k *stream) setTCP(o *tcp.Options, name int, v []byte) syscall.Errno {
	if name == tcpCongestion {
		a := tcp.CongestionNamed(cString(v))
		if a == nil {
			return syscall.ENOENT
		}
		o.Congestion = a
		return 0
	}
	x, e := intOption(v)
	if e != 0 {
		return e
	}
	switch name {
	case tcpNoDelay:
		o.NoDelay = x != 0
	case tcpKeepIdle:
		if x < 1 || x > keepIdleMax {
			return syscall.EINVAL
		}
		o.KeepIdle = int64(x) * second
	case tcpKeepIntvl:
		if x < 1 || x > keepIntvlMax {
			return syscall.EINVAL
		}
		o.KeepInterval = int64(x) * second
	case tcpKeepCnt:
		if x < 1 || x > keepCntMax {
			return syscall.EINVAL
		}
		o.KeepCount = x
	case tcpUserTimeout:
		if x < 0 {
			return syscall.EINVAL
		}
		o.UserTimeout = int64(x) * millisecond
	case tcpCork:
		o.Cork = x != 0
	case tcpQuickAck, tcpDeferAccept, tcpSynCnt, tcpWindowClamp, tcpLinger2, tcpMaxSeg:
		// Hints. Accepting connections a little early, or with other timing, is within what they promise.
	default:
		return syscall.ENOPROTOOPT
	}
	return 0
}

// Option gets an option of a stream socket.
func (k *stream) Option(level, name int, v []byte) (int, syscall.Errno) {
	defer k.stack.leave()
	if e := k.lock(); e != 0 {
		return 0, e
	}
	o := k.options()
	switch level {
	case solSocket:
		return k.streamSocketOption(o, name, v)
	case solTCP:
		return k.tcpOption(o, name, v)
	case solIP:
		switch name {
		case ipTTL:
			return putInts(v, ttlOf(o.TTL))
		case ipTOS:
			return putInts(v, int(o.TOS))
		}
	case solIPv6:
		return k.ipv6Option(o, name, v)
	}
	return 0, syscall.ENOPROTOOPT
}

func (k *stream) streamSocketOption(o *tcp.Options, name int, v []byte) (int, syscall.Errno) {
	if n, e, ok := k.socketOption(name, v); ok {
		return n, e
	}
	switch name {
	case soError:
		if k.listener != nil {
			return putInts(v, 0)
		}
		e := errnoOf(k.conn.Err())
		k.settle(k.ready())
		return putInts(v, int(e))
	case soKeepAlive:
		return putInts(v, boolInt(o.KeepAlive))
	case soAcceptConn:
		return putInts(v, boolInt(k.listener != nil))
	case soSndBuf, soRcvBuf:
		n := o.SendBuffer
		switch {
		case k.listener == nil && name == soSndBuf:
			n = k.conn.SendLimit()
		case k.listener == nil:
			n = k.conn.ReceiveLimit()
		case name == soRcvBuf:
			n = o.RecvBuffer
		}
		return putInts(v, 2*n) // Linux doubles, for bookkeeping
	case soLinger:
		return putInts(v, boolInt(o.LingerOn), int(o.Linger/second))
	}
	return 0, syscall.ENOPROTOOPT
}

func (k *stream) tcpOption(o *tcp.Options, name int, v []byte) (int, syscall.Errno) {
	switch name {
	case tcpNoDelay:
		return putInts(v, boolInt(o.NoDelay))
	case tcpKeepIdle:
		return putInts(v, int(o.KeepIdle/second))
	case tcpKeepIntvl:
		return putInts(v, int(o.KeepInterval/second))
	case tcpKeepCnt:
		return putInts(v, o.KeepCount)
	case tcpUserTimeout:
		return putInts(v, int(o.UserTimeout/millisecond))
	case tcpCongestion:
		a := tcp.Cubic
		if o.Congestion != nil {
			a = o.Congestion
		}
		return copy(v, a.Name+"\x00"), 0
	case tcpMaxSeg:
		if k.listener == nil {
			return putInts(v, k.conn.Info().SendMSS)
		}
		return putInts(v, 536)
	case tcpCork:
		return putInts(v, boolInt(o.Cork))
	case tcpDeferAccept, tcpQuickAck:
		return putInts(v, 0)
	case tcpInfo:
		if k.listener == nil {
			info := k.conn.Info()
			return copy(v, encodeInfo(&info)), 0
		}
	}
	return 0, syscall.ENOPROTOOPT
}

// States as Linux numbers them (include/net/tcp_states.h).
var linuxState = [...]byte{
	tcp.Established: 1, tcp.SynSent: 2, tcp.SynReceived: 3, tcp.FinWait1: 4, tcp.FinWait2: 5, tcp.TimeWait: 6,
	tcp.Closed: 7, tcp.CloseWait: 8, tcp.LastAck: 9, tcp.Closing: 11,
}

// encodeInfo lays out struct tcp_info (include/uapi/linux/tcp.h) up to tcpi_total_retrans. Times are microseconds, but
// for tcpi_last_*, which are milliseconds; windows are in segments.
func encodeInfo(i *tcp.Info) []byte {
	b := make([]byte, 104)
	b[0] = linuxState[i.State]
	b[1] = [...]byte{0, 3, 4, 2}[i.Recovery] // tcpi_ca_state: open, recovery, loss, CWR
	b[2], b[3], b[4] = byte(i.Retries), byte(i.Probes), byte(i.Backoff)
	if i.Timestamps {
		b[5] |= 1
	}
	if i.SACK {
		b[5] |= 2
	}
	if i.ECN {
		b[5] |= 8
	}
	if i.Scaling {
		b[5] |= 4
	}
	b[6] = i.SendScale | i.ReceiveScale<<4
	mss := max(i.SendMSS, 1)
	for at, x := range map[int]int64{
		8: i.RTO / 1000, 16: int64(i.SendMSS), 20: int64(i.ReceiveMSS), 24: int64((i.InFlight + mss - 1) / mss),
		28: int64((i.Sacked + mss - 1) / mss), 32: int64((i.Lost + mss - 1) / mss), 44: i.SinceSent / millisecond, 52: i.SinceReceived / millisecond,
		60: int64(i.PathMTU), 68: i.RTT / 1000, 72: i.RTTVar / 1000,
		76: int64(i.Threshold / mss), 80: int64(i.Window / mss), 84: int64(i.AnnouncedMSS),
		96: int64(i.ReceiveLimit), 100: int64(i.Retransmits),
	} {
		putInts(b[at:at+4], int(min(x, 1<<31-1)))
	}
	return b
}
