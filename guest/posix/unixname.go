package posix

import (
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// bind gives a socket a name: a path, at which a socket file is made; an abstract name; or, for an address of a family
// only, an abstract name of five hexadecimal digits (autobind). Errors: EINVAL, EADDRINUSE, ENOSPC and those of a path.
func (u *unixSocket) bind(a sockaddr) syscall.Errno {
	if a.family != syscall.AF_UNIX {
		return syscall.EINVAL
	}
	x := &u.sys.unix
	switch {
	case a.path == "":
		return u.autobind(x)
	case a.path[0] == 0:
		x.mu.Lock()
		defer x.mu.Unlock()
		switch {
		case u.local.path != "":
			return syscall.EINVAL
		case x.named[unixName{u.typ, a.path}] != nil:
			return syscall.EADDRINUSE
		}
		u.nameLocked(x, a.path)
		return 0
	}
	x.mu.Lock()
	bound := u.local.path != ""
	x.mu.Unlock()
	if bound {
		return syscall.EINVAL
	}
	f, errno := u.sys.newName(cwd, a.path, false)
	if errno == 0 {
		m := vnode.Make{Mode: syscall.S_IFSOCK | u.sys.masked(0o777)}
		var n vnode.Node
		if n, errno = f.dir.Make(f.name, m); errno == 0 {
			return u.bindNode(x, a.path, n)
		}
	}
	if errno == syscall.EEXIST {
		return syscall.EADDRINUSE
	}
	return errno
}

func (u *unixSocket) bindNode(x *unixDomain, path string, n vnode.Node) syscall.Errno {
	if errno := holdNode(n); errno != 0 {
		return errno
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.nodes == nil {
		x.nodes = make(map[vnode.Node]*unixSocket)
	}
	x.nodes[n] = u
	u.node, u.local.path = n, path
	return 0
}

func (u *unixSocket) nameLocked(x *unixDomain, name string) {
	if x.named == nil {
		x.named = make(map[unixName]*unixSocket)
	}
	x.named[unixName{u.typ, name}] = u
	u.local.path = name
}

func (u *unixSocket) autobind(x *unixDomain) syscall.Errno {
	x.mu.Lock()
	defer x.mu.Unlock()
	if u.local.path != "" {
		return 0
	}
	const names = 1 << 20
	for range names {
		x.auto = (x.auto + 1) % names
		name := "\x00"
		for shift := 16; shift >= 0; shift -= 4 {
			name += string("0123456789abcdef"[x.auto>>shift&15])
		}
		if x.named[unixName{u.typ, name}] == nil {
			u.nameLocked(x, name)
			return 0
		}
	}
	return syscall.ENOSPC
}

// unnameLocked gives the name back. The socket file stays, as files do.
func (u *unixSocket) unnameLocked(x *unixDomain) {
	if u.node != nil {
		delete(x.nodes, u.node)
	} else if name := (unixName{u.typ, u.local.path}); x.named[name] == u {
		delete(x.named, name)
	}
}

// find returns the socket of an address, which may be closed by the time it is used. Errors: ECONNREFUSED if there is
// none, EINVAL, and those of a path.
func (u *unixSocket) find(a sockaddr) (*unixSocket, syscall.Errno) {
	x := &u.sys.unix
	if a.family != syscall.AF_UNIX || a.path == "" {
		return nil, syscall.EINVAL
	}
	var to *unixSocket
	if a.path[0] == 0 {
		x.mu.Lock()
		to = x.named[unixName{u.typ, a.path}]
		x.mu.Unlock()
	} else {
		n, errno := u.sys.existing(cwd, a.path, 0)
		if errno != 0 {
			return nil, errno
		}
		x.mu.Lock()
		to = x.nodes[n]
		x.mu.Unlock()
	}
	if to == nil {
		return nil, syscall.ECONNREFUSED
	}
	return to, 0
}

// connect connects at once: to a listener's queue, or, for datagrams, by noting the receiver. EAGAIN: the queue is
// full.
func (u *unixSocket) connect(a sockaddr) syscall.Errno {
	x := &u.sys.unix
	if a.family == syscall.AF_UNSPEC && u.datagram() {
		x.mu.Lock()
		u.peer = nil
		u.updateLocked(0)
		x.mu.Unlock()
		return 0
	}
	to, errno := u.find(a)
	if errno != 0 {
		return errno
	}
	if to.typ != u.typ {
		return syscall.EPROTOTYPE
	}
	if u.datagram() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if to.peer != nil && to.peer != u {
			return syscall.EPERM
		}
		u.peer = to
		u.stage = unixIdle
		u.updateLocked(0)
		return 0
	}
	conn, errno := u.sys.makeUnix(u.typ, 0)
	if errno != 0 {
		return errno
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case to.stage != unixListening || to.closed || to.shutIn:
		return syscall.ECONNREFUSED
	case len(to.pending) > to.backlog:
		to.waitLocked(u)
		return syscall.EAGAIN
	case u.stage == unixConnected:
		return syscall.EISCONN
	case u.stage == unixListening:
		return syscall.EINVAL
	}
	conn.stage, conn.peer, conn.local, conn.passCred = unixConnected, u, to.local, to.passCred
	u.stage, u.peer = unixConnected, conn
	to.pending = append(to.pending, conn)
	conn.updateLocked(0)
	to.updateLocked(EventIn)
	u.updateLocked(EventOut)
	return 0
}

// listen makes a bound socket take connections. Errors: EOPNOTSUPP, EINVAL.
func (u *unixSocket) listen(backlog int) syscall.Errno {
	x := &u.sys.unix
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case u.datagram():
		return syscall.EOPNOTSUPP
	case u.local.path == "" || u.stage == unixConnected:
		return syscall.EINVAL
	}
	u.stage, u.backlog = unixListening, backlog
	u.updateLocked(0)
	u.wakeSendersLocked()
	return 0
}

func (u *unixSocket) accept() (socketObject, sockaddr, syscall.Errno) {
	x := &u.sys.unix
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case u.datagram():
		return nil, sockaddr{}, syscall.EOPNOTSUPP
	case u.stage != unixListening:
		return nil, sockaddr{}, syscall.EINVAL
	case len(u.pending) == 0 && u.shutIn:
		return nil, sockaddr{}, syscall.EINVAL
	case len(u.pending) == 0:
		return nil, sockaddr{}, syscall.EAGAIN
	}
	conn := u.pending[0]
	u.pending = append(u.pending[:0:0], u.pending[1:]...)
	u.updateLocked(0)
	u.wakeSendersLocked()
	return conn, conn.peer.local, 0
}

func (u *unixSocket) name(peer bool) (sockaddr, syscall.Errno) {
	x := &u.sys.unix
	x.mu.Lock()
	defer x.mu.Unlock()
	if !peer {
		return u.local, 0
	}
	if u.peer == nil {
		return sockaddr{}, syscall.ENOTCONN
	}
	return u.peer.local, 0
}
