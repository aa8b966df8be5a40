package tcp

import "ukvm.dev/guest/net/wire"

// Path MTU. It is the link's until a router says that less fits (RFC 1191), or until full-size segments are lost again and
// again while none says so: a black hole (RFC 4821 §7.7, RFC 8899 §4.3), such as a tunnel behind a firewall that drops
// ICMP. After raiseAfter the full size is tried again.
//
//	            "fragmentation needed"
//	┌─ full ─────────────────────────────► less ──┐
//	│   ▲ └── 3 timeouts of the same segment ─►   │ each 2 further timeouts: the next of fallbacks
//	│   └───────────── raiseAfter ─────────┘ ◄────┘
//	└─ for trialTime after that, 1 timeout is enough if it was a black hole

// plateaus are likely path MTUs for routers that do not tell (RFC 1191 §7).
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, minMTU}

// fallbacks are the path MTUs tried in a black hole: Ethernet, what every IPv6 link and nearly every tunnel has, and what
// every IPv4 host takes, there with leave to fragment.
var fallbacks = [...]int{1500, 1280, 576}

const (
	blackHoleAfter = 3            // timeouts of the same full-size segment (RFC 8899 §5.1.2, MAX_PROBES)
	raiseAfter     = 600 * second // RFC 1191 §6.3, RFC 8899 §5.1.1 PMTU_RAISE_TIMER
	trialTime      = 60 * second
)

// path is what a connection remembers while its path MTU is less than the full one.
type path struct {
	full    int   // path MTU and
	fullMSS int   // payload of a full segment, before anything was lost
	raiseAt int64 // when to try full again, or end the trial; 0: never
	hole    bool  // less because of a black hole
	trial   bool
}

// leastMTU is the least path MTU believed: below it routers may fragment, which those of IPv6 never have to (RFC 8200 §5).
func (c *Conn) leastMTU() int {
	if c.flow.local.Is4() {
		return minMTU
	}
	return minMTU6
}

// tooBig adapts to a path that takes no larger packets than mtu, 0 if the router did not say.
func (c *Conn) tooBig(mtu int) {
	if mtu == 0 {
		for _, mtu = range plateaus {
			if mtu < c.mtu {
				break
			}
		}
	}
	if least := c.leastMTU(); mtu < least {
		mtu = least
		c.noDF = true
	}
	if c.state.transmits() && c.shrink(mtu) {
		c.goBack() // all of it was lost, but not to congestion (RFC 1191 §6.5)
		c.touch()
	}
}

// shrink makes segments fit mtu, and reports whether that makes a difference.
func (c *Conn) shrink(mtu int) bool {
	if mtu >= c.mtu {
		return false
	}
	mss := mtu - headerSize(c.flow.local)
	if c.ts.on {
		mss -= wire.TCPTimestampsSize
	}
	if c.path.full == 0 {
		c.path.full, c.path.fullMSS = c.mtu, c.snd.mss
	}
	c.path.raiseAt, c.path.trial = c.box.Now()+raiseAfter, false
	c.mtu = mtu
	if mss = max(mss, minSendMSS); mss >= c.snd.mss {
		return false
	}
	c.setMSS(mss)
	return true
}

func (c *Conn) setMSS(mss int) {
	c.snd.mss, c.cc.MSS = mss, mss
	c.cc.Size = max(c.cc.Size, mss)
}

// suspectBlackHole is told of each timeout of data.
func (c *Conn) suspectBlackHole() {
	first := blackHoleAfter
	if c.path.trial {
		first = 1
	}
	if c.retries < first || (c.retries-first)%2 != 0 {
		return
	}
	lost := min(c.snd.mss, c.snd.buf.len()) + headerSize(c.flow.local)
	if c.ts.on {
		lost += wire.TCPTimestampsSize
	}
	for i, mtu := range fallbacks {
		if mtu < lost && mtu >= c.leastMTU() {
			c.box.Stats.BlackHoles++
			c.path.hole = true
			c.noDF = c.noDF || i == len(fallbacks)-1
			c.shrink(mtu)
			return
		}
	}
}

// raise tries the full path MTU again when its time has come.
func (c *Conn) raise(now int64) {
	p := &c.path
	switch {
	case p.raiseAt == 0 || now < p.raiseAt || c.retries > 0 || c.rec.phase != open:
	case p.trial:
		*p = path{} // what was in the way is gone
	default:
		c.mtu, c.noDF = p.full, false
		c.setMSS(p.fullMSS)
		if p.trial = p.hole; p.trial {
			p.raiseAt = now + trialTime
		} else {
			*p = path{} // if it is still too much, a router will say so again
		}
	}
}
