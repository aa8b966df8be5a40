package posix

import (
	"syscall"
)

// control is what travels with a message beside its bytes (cmsg(3)): open files and the sender's credentials, or what is
// known of a datagram. Each description in it is a reference.
type control struct {
	ancillary Ancillary
	files     []*description
	creds     bool // the receiver asked for credentials (SO_PASSCRED)
}

const (
	cmsgHeader = 16  // struct cmsghdr
	maxRights  = 253 // SCM_MAX_FD
	ucredSize  = 12
)

func cmsgAlign(n int) int { return (n + 7) &^ 7 }

// drop releases the files.
func (c *control) drop() {
	if c == nil {
		return
	}
	for _, d := range c.files {
		d.release()
	}
	c.files = nil
}

// cmsg is one control message.
type cmsg struct {
	level, typ int32
	data       []byte
}

// nextCmsg splits a control message off b; ok is false at the end. Errors: EINVAL.
func nextCmsg(b []byte) (m cmsg, rest []byte, ok bool, errno syscall.Errno) {
	if len(b) < cmsgHeader {
		return m, nil, false, 0
	}
	n := get64(b)
	if n < cmsgHeader || n > uint64(len(b)) {
		return m, nil, false, syscall.EINVAL
	}
	m = cmsg{int32(get32(b[8:])), int32(get32(b[12:])), b[cmsgHeader:n]}
	return m, b[min(cmsgAlign(int(n)), len(b)):], true, 0
}

// parseControl reads control messages to send through a socket of a family. Errors: EINVAL, EBADF, EPERM. A descriptor of
// package kernel's cannot be sent: EINVAL.
func (s *System) parseControl(b []byte, family uint16) (*control, syscall.Errno) {
	c := &control{}
	for {
		m, rest, more, errno := nextCmsg(b)
		if errno == 0 && more {
			errno = s.addControl(c, m, family)
		}
		if errno != 0 {
			c.drop()
			return nil, errno
		}
		if !more {
			return c, 0
		}
		b = rest
	}
}

func (s *System) addControl(c *control, m cmsg, family uint16) syscall.Errno {
	if m.level != syscall.SOL_SOCKET {
		if family != syscall.AF_INET && family != syscall.AF_INET6 {
			return 0 // another protocol's
		}
		return c.ancillary.parse(m, family)
	}
	switch m.typ {
	case syscall.SCM_RIGHTS:
		if len(c.files)+len(m.data)/4 > maxRights {
			return syscall.EINVAL
		}
		for i := 0; i+4 <= len(m.data); i += 4 {
			fd := uintptr(get32(m.data[i:]))
			d, errno := s.get(fd)
			if errno != 0 {
				return s.refuse(fd, syscall.EINVAL)
			}
			c.files = append(c.files, d)
		}
		return 0
	case syscall.SCM_CREDENTIALS:
		if len(m.data) != ucredSize {
			return syscall.EINVAL
		}
		if get32(m.data) != processID {
			return syscall.EPERM
		}
		return 0
	}
	return syscall.EINVAL
}

// storeControl stores control messages into b, giving the files numbers. It returns how much of b it used and whether
// something did not fit; files that do not fit stay in c.
func (s *System) storeControl(b []byte, c *control, cloexec bool) (used int, cut bool) {
	if c.ancillary.Has != 0 {
		return c.ancillary.store(b)
	}
	if c.creds {
		if cmsgHeader+ucredSize > len(b) {
			cut = true
		} else {
			putCmsg(b, cmsgHeader+ucredSize, syscall.SOL_SOCKET, syscall.SCM_CREDENTIALS)
			putUcred(b[cmsgHeader:])
			used = min(cmsgAlign(cmsgHeader+ucredSize), len(b))
		}
	}
	if len(c.files) == 0 {
		return used, cut
	}
	room := b[used:]
	n := 0
	for len(c.files) > 0 && cmsgHeader+4*n+4 <= len(room) {
		d := c.files[0]
		fd, errno := s.install(d, 0, cloexec)
		c.files = c.files[1:] // install has taken the reference, either way
		if errno != 0 {
			cut = true
			break
		}
		put32(room[cmsgHeader+4*n:], uint32(fd))
		n++
	}
	if n > 0 {
		putCmsg(room, cmsgHeader+4*n, syscall.SOL_SOCKET, syscall.SCM_RIGHTS)
		used += min(cmsgAlign(cmsgHeader+4*n), len(room))
	}
	return used, cut || len(c.files) > 0
}

func putCmsg(b []byte, n, level, typ int) {
	put64(b, uint64(n))
	put32(b[8:], uint32(level))
	put32(b[12:], uint32(typ))
}

// putUcred stores struct ucred of the only process.
func putUcred(b []byte) {
	put32(b, processID)
	put32(b[4:], 0)
	put32(b[8:], 0)
}
