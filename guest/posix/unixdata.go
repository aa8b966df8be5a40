package posix

import "syscall"

// transmit sends to the peer or, for datagrams, to an address.
func (u *unixSocket) transmit(p []byte, to sockaddr, flags int, c *control) (int, syscall.Errno) {
	if flags&syscall.MSG_OOB != 0 {
		return 0, syscall.EOPNOTSUPP
	}
	if u.datagram() {
		return u.sendDatagram(p, to, c)
	}
	x := &u.sys.unix
	x.mu.Lock()
	defer x.mu.Unlock()
	peer := u.peer
	switch {
	case to.family != 0 && u.typ == syscall.SOCK_STREAM && u.stage == unixConnected:
		return 0, syscall.EISCONN
	case to.family != 0 && u.typ == syscall.SOCK_STREAM:
		return 0, syscall.EOPNOTSUPP
	case u.pendingErr != 0 && u.typ != syscall.SOCK_STREAM:
		return 0, u.takeErrorLocked()
	case peer == nil || u.stage != unixConnected:
		return 0, syscall.ENOTCONN
	case u.shutOut || peer.shutIn || peer.closed:
		return 0, syscall.EPIPE
	}
	if u.typ == syscall.SOCK_SEQPACKET {
		return u.sendMessageLocked(peer, p, c)
	}
	room := u.sendLimit - peer.bytes.n
	if len(p) == 0 {
		return 0, 0
	}
	if room <= 0 {
		return 0, syscall.EAGAIN
	}
	n := min(room, len(p))
	if c != nil && len(c.files) > 0 {
		peer.marks = append(peer.marks, unixMark{peer.passed + uint64(peer.bytes.n), uint64(n), c.files})
		c.files = nil
	}
	peer.bytes.write(p[:n])
	peer.updateLocked(EventIn)
	u.updateLocked(0)
	return n, 0
}

func (u *unixSocket) takeErrorLocked() syscall.Errno {
	errno := u.pendingErr
	u.pendingErr = 0
	u.updateLocked(0)
	return errno
}

// sendDatagram sends a message to an address, or to the peer.
func (u *unixSocket) sendDatagram(p []byte, a sockaddr, c *control) (int, syscall.Errno) {
	x := &u.sys.unix
	var to *unixSocket
	if a.family != 0 {
		var errno syscall.Errno
		if to, errno = u.find(a); errno != 0 {
			return 0, errno
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	connected := to == nil
	if connected {
		if to = u.peer; to == nil {
			return 0, syscall.ENOTCONN
		}
	}
	switch {
	case u.shutOut:
		return 0, syscall.EPIPE
	case to.closed:
		if connected {
			u.peer = nil
			u.updateLocked(0)
		}
		return 0, syscall.ECONNREFUSED
	case to.typ != u.typ:
		return 0, syscall.EPROTOTYPE
	case to.peer != nil && to.peer != u:
		return 0, syscall.EPERM
	case to.shutIn:
		return 0, syscall.EPIPE
	}
	return u.sendMessageLocked(to, p, c)
}

// sendMessageLocked queues a message at `to`. Errors: EMSGSIZE, EAGAIN.
func (u *unixSocket) sendMessageLocked(to *unixSocket, p []byte, c *control) (int, syscall.Errno) {
	if len(p) > u.sendLimit-32 {
		return 0, syscall.EMSGSIZE
	}
	full := to.charged > 0 && to.charged+len(p)+messageCost > u.sendLimit
	if u.datagram() && to.peer != u {
		full = len(to.messages) > unixMessages && to != u
	}
	if full {
		to.waitLocked(u)
		return 0, syscall.EAGAIN
	}
	m := unixMessage{data: append(make([]byte, 0, len(p)), p...), from: u.local}
	if c != nil {
		m.files, c.files = c.files, nil
	}
	to.messages = append(to.messages, m)
	to.queued += len(p)
	to.charged += len(p) + messageCost
	to.updateLocked(EventIn)
	if u != to {
		u.updateLocked(0)
		if u.peer == to && !u.writableLocked() {
			to.waitLocked(u) // it is told when it may write again
		}
	}
	return len(p), 0
}

// receive takes bytes or a message.
func (u *unixSocket) receive(p []byte, flags int, c *control) (n int, from sockaddr, mflags int, errno syscall.Errno) {
	switch {
	case flags&syscall.MSG_OOB != 0 && u.typ == syscall.SOCK_STREAM:
		return 0, from, 0, syscall.EINVAL // there never is any
	case flags&syscall.MSG_OOB != 0:
		return 0, from, 0, syscall.EOPNOTSUPP
	}
	x := &u.sys.unix
	x.mu.Lock()
	var dropped []*description
	if u.typ == syscall.SOCK_STREAM {
		n, dropped, errno = u.receiveStreamLocked(p, flags, c)
		if u.peer != nil && u.peer.local.path != "" {
			from = u.peer.local
		}
	} else {
		n, from, mflags, dropped, errno = u.receiveMessageLocked(p, flags, c)
	}
	if errno == 0 && c != nil {
		c.creds = u.passCred
	}
	x.mu.Unlock()
	for _, d := range dropped {
		d.release() // outside the lock: a socket may be among them
	}
	return n, from, mflags, errno
}

// receiveStreamLocked takes bytes, up to the end of the next ones that came with files. Files that nobody asks for are
// dropped.
func (u *unixSocket) receiveStreamLocked(p []byte, flags int, c *control) (n int, dropped []*description, errno syscall.Errno) {
	switch {
	case u.stage != unixConnected:
		return 0, nil, syscall.EINVAL
	case u.bytes.n == 0 && u.pendingErr != 0:
		return 0, nil, u.takeErrorLocked()
	case u.bytes.n == 0 && u.shutIn:
		return 0, nil, 0
	case len(p) == 0:
		return 0, nil, 0
	case u.bytes.n == 0:
		return 0, nil, syscall.EAGAIN
	}
	reached := len(u.marks) > 0 && u.marks[0].at < u.passed+uint64(len(p))
	if reached { // what came with files ends a read
		p = p[:min(uint64(len(p)), u.marks[0].at+u.marks[0].n-u.passed)]
	}
	if flags&syscall.MSG_PEEK != 0 {
		return u.bytes.peek(p, 0), nil, 0
	}
	if reached {
		if c != nil && len(c.files) == 0 {
			c.files = u.marks[0].files
		} else {
			dropped = u.marks[0].files
		}
		u.marks = u.marks[1:]
	}
	n = u.bytes.read(p)
	u.passed += uint64(n)
	u.updateLocked(0)
	if u.peer != nil {
		u.peer.updateLocked(0) // raises EventOut when there is room again
	}
	return n, dropped, 0
}

// receiveMessageLocked takes a message; what does not fit into p is lost.
func (u *unixSocket) receiveMessageLocked(p []byte, flags int, c *control) (n int, from sockaddr, mflags int, dropped []*description, errno syscall.Errno) {
	if len(u.messages) == 0 {
		switch {
		case u.pendingErr != 0:
			return 0, from, 0, nil, u.takeErrorLocked()
		case !u.datagram() && u.stage != unixConnected:
			return 0, from, 0, nil, syscall.ENOTCONN
		case u.shutIn:
			return 0, from, 0, nil, 0
		}
		return 0, from, 0, nil, syscall.EAGAIN
	}
	m := u.messages[0]
	n = copy(p, m.data)
	if n < len(m.data) {
		mflags = syscall.MSG_TRUNC
	}
	if flags&syscall.MSG_TRUNC != 0 {
		n = len(m.data)
	}
	if m.from.path != "" {
		from = m.from
	}
	if flags&syscall.MSG_PEEK != 0 {
		return n, from, mflags, nil, 0
	}
	if c != nil {
		c.files = m.files
	} else {
		dropped = m.files
	}
	u.messages[0] = unixMessage{}
	u.messages = u.messages[1:]
	u.queued -= len(m.data)
	u.charged -= len(m.data) + messageCost
	u.updateLocked(0)
	if u.peer != nil && !u.datagram() {
		u.peer.updateLocked(0)
	}
	u.wakeSendersLocked()
	return n, from, mflags, dropped, 0
}
