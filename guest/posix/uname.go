package posix

import (
	"syscall"
	"unsafe"
)

// What uname(2) and /proc/sys/kernel say. The release is that of a Linux whose system calls these are.
const (
	osType    = "Linux"
	osRelease = "6.1.0-ukvm"
	osVersion = "#1 ukvm"
	osMachine = "x86_64"
)

const hostNameMax = 64 // utsname's fields without the NUL

// sysUname is uname(2).
func sysUname(s *System, a args) (uintptr, syscall.Errno) {
	if a.p1 == nil {
		return 0, syscall.EFAULT
	}
	s.mu.Lock()
	h := *s.hostLocked()
	s.mu.Unlock()
	u := (*syscall.Utsname)(a.p1)
	*u = syscall.Utsname{}
	for _, f := range [...]struct {
		to   *[65]int8
		text string
	}{
		{&u.Sysname, osType}, {&u.Nodename, h.name}, {&u.Release, osRelease}, {&u.Version, osVersion},
		{&u.Machine, osMachine}, {&u.Domainname, h.domain},
	} {
		for i := range min(len(f.text), hostNameMax) {
			f.to[i] = int8(f.text[i])
		}
	}
	return 0, 0
}

// sysSethostname is sethostname(2).
func sysSethostname(s *System, a args) (uintptr, syscall.Errno) {
	name, errno := nameAt(a.p1, a.a2)
	if errno != 0 {
		return 0, errno
	}
	s.mu.Lock()
	s.hostLocked().name = name
	s.mu.Unlock()
	return 0, 0
}

// sysSetdomainname is setdomainname(2).
func sysSetdomainname(s *System, a args) (uintptr, syscall.Errno) {
	name, errno := nameAt(a.p1, a.a2)
	if errno != 0 {
		return 0, errno
	}
	s.mu.Lock()
	s.hostLocked().domain = name
	s.mu.Unlock()
	return 0, 0
}

// nameAt copies a host's name. Errors: EINVAL, EFAULT.
func nameAt(p unsafe.Pointer, n uintptr) (string, syscall.Errno) {
	if n > hostNameMax {
		return "", syscall.EINVAL
	}
	b, errno := memory(p, n)
	if errno != 0 {
		return "", errno
	}
	return cString(b), 0
}

// sysGetgroups is getgroups(2): root is in no other group.
func sysGetgroups(s *System, a args) (uintptr, syscall.Errno) {
	if int32(a.a1) < 0 {
		return 0, syscall.EINVAL
	}
	return 0, 0
}

// sysNoAttributes is the getxattr(2) family: no file system here has extended attributes.
func sysNoAttributes(s *System, a args) (uintptr, syscall.Errno) { return 0, syscall.ENOTSUP }
