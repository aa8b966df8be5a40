package posix

import "syscall"

// rtnetlink(7): the parts that package net and its like ask for. Everything is in the machine's byte order, which is
// little-endian.
//
//	message = length 4, type 2, flags 2, sequence 4, port 4, body, padding to 4
//	body    = struct ifinfomsg or ifaddrmsg, attributes
//	attr    = length 2, type 2, value, padding to 4
const (
	nlHeader    = 16
	ifInfoSize  = 16
	ifAddrSize  = 8
	rtAttrAlign = 4
)

// netlinkRequest is the header of a request.
type netlinkRequest struct {
	typ   uint16
	flags uint16
	seq   uint32
	body  []byte
}

// nextRequest splits a message off b. ok is false at the end or if what follows is no message.
func nextRequest(b []byte) (r netlinkRequest, rest []byte, ok bool) {
	if len(b) < nlHeader {
		return r, nil, false
	}
	n := int64(get32(b))
	if n < nlHeader || n > int64(len(b)) {
		return r, nil, false
	}
	r = netlinkRequest{get16(b[4:]), get16(b[6:]), get32(b[8:]), b[nlHeader:n]}
	return r, b[min((n+3)&^3, int64(len(b))):], true
}

// answerRoute answers the requests in b, one datagram for each message of an answer's end or an error, and one for each
// dump.
func answerRoute(b []byte, port uint32, interfaces []Interface) (replies [][]byte) {
	for {
		r, rest, ok := nextRequest(b)
		if !ok {
			return replies
		}
		b = rest
		if r.flags&syscall.NLM_F_REQUEST == 0 || r.typ < syscall.NLMSG_MIN_TYPE {
			continue // control messages and answers are not answered
		}
		w := netlinkWriter{seq: r.seq, port: port}
		switch dump := r.flags&syscall.NLM_F_DUMP == syscall.NLM_F_DUMP; {
		case r.typ == syscall.RTM_GETLINK && dump:
			for i := range interfaces {
				w.link(&interfaces[i], syscall.NLM_F_MULTI)
			}
			w.done()
		case r.typ == syscall.RTM_GETADDR && dump:
			family := uint8(0)
			if len(r.body) > 0 {
				family = r.body[0]
			}
			for i := range interfaces {
				w.addresses(&interfaces[i], family)
			}
			w.done()
		case r.typ == syscall.RTM_GETLINK:
			w.one(r, interfaces)
		default:
			w.fail(syscall.EOPNOTSUPP, r)
		}
		replies = append(replies, w.b)
	}
}

// netlinkWriter builds the answer to one request.
type netlinkWriter struct {
	b     []byte
	seq   uint32
	port  uint32
	start int // of the message in progress
}

func (w *netlinkWriter) begin(typ, flags uint16) {
	w.start = len(w.b)
	w.b = append32(w.b, 0)
	w.b = append16(w.b, typ)
	w.b = append16(w.b, flags)
	w.b = append32(w.b, w.seq)
	w.b = append32(w.b, w.port)
}

func (w *netlinkWriter) end() { put32(w.b[w.start:], uint32(len(w.b)-w.start)) }

func (w *netlinkWriter) attr(typ uint16, value ...byte) {
	w.b = append16(w.b, uint16(4+len(value)))
	w.b = append16(w.b, typ)
	w.b = append(w.b, value...)
	for len(w.b)%rtAttrAlign != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *netlinkWriter) done() {
	w.begin(syscall.NLMSG_DONE, syscall.NLM_F_MULTI)
	w.b = append32(w.b, 0)
	w.end()
}

// fail is an error message: the errno and the request's header.
func (w *netlinkWriter) fail(errno syscall.Errno, r netlinkRequest) {
	w.begin(syscall.NLMSG_ERROR, 0)
	w.b = append32(w.b, uint32(-int32(errno)))
	w.b = append32(w.b, uint32(nlHeader+len(r.body)))
	w.b = append16(w.b, r.typ)
	w.b = append16(w.b, r.flags)
	w.b = append32(w.b, r.seq)
	w.b = append32(w.b, w.port)
	w.end()
}

// link describes an interface.
func (w *netlinkWriter) link(i *Interface, flags uint16) {
	w.begin(syscall.RTM_NEWLINK, flags)
	w.b = append(w.b, syscall.AF_UNSPEC, 0)
	w.b = append16(w.b, i.hardwareType())
	w.b = append32(w.b, uint32(i.Index))
	w.b = append32(w.b, i.flags())
	w.b = append32(w.b, 0)
	w.attr(syscall.IFLA_IFNAME, append([]byte(i.Name), 0)...)
	w.attr(syscall.IFLA_MTU, append32(nil, uint32(i.MTU))...)
	w.attr(syscall.IFLA_ADDRESS, i.Hardware[:]...)
	broadcast := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if i.Loopback {
		broadcast = [6]byte{}
	}
	w.attr(syscall.IFLA_BROADCAST, broadcast[:]...)
	const down, up, unknown = 2, 6, 0 // IF_OPER states
	state := byte(down)
	if i.Up {
		state = up
		if i.Loopback {
			state = unknown
		}
	}
	w.attr(iflaOperState, state)
	w.end()
}

const iflaOperState = 16

// addresses describes an interface's addresses of a family, or of all.
func (w *netlinkWriter) addresses(i *Interface, family uint8) {
	for _, p := range i.Addrs {
		af := uint8(p.Family)
		if family != syscall.AF_UNSPEC && family != af {
			continue
		}
		const permanent, universe, link, host = 0x80, 0, 253, 254
		scope := byte(universe)
		switch {
		case p.isLoopback():
			scope = host
		case p.isLinkLocal6():
			scope = link
		}
		w.begin(syscall.RTM_NEWADDR, syscall.NLM_F_MULTI)
		w.b = append(w.b, af, byte(p.Bits), permanent, scope)
		w.b = append32(w.b, uint32(i.Index))
		raw := p.raw()
		w.attr(syscall.IFA_ADDRESS, raw...)
		if af == syscall.AF_INET {
			w.attr(syscall.IFA_LOCAL, raw...)
			w.attr(syscall.IFA_LABEL, append([]byte(i.Name), 0)...)
		}
		w.end()
	}
}

// one answers a question about one interface, by index or name.
func (w *netlinkWriter) one(r netlinkRequest, interfaces []Interface) {
	if len(r.body) < ifInfoSize {
		w.fail(syscall.EINVAL, r)
		return
	}
	index, name := int(int32(get32(r.body[4:]))), attrString(r.body[ifInfoSize:], syscall.IFLA_IFNAME)
	for i := range interfaces {
		if at := &interfaces[i]; index != 0 && at.Index == index || index == 0 && name != "" && at.Name == name {
			w.link(at, 0)
			return
		}
	}
	w.fail(syscall.ENODEV, r)
}

// attrString finds a string among attributes.
func attrString(b []byte, typ uint16) string {
	for len(b) >= 4 {
		n := int(get16(b))
		if n < 4 || n > len(b) {
			return ""
		}
		if get16(b[2:])&0x3fff == typ {
			return cString(b[4:n])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}
