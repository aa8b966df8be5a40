package posix

import (
	"sync"
	"sync/atomic"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// System is the state of one operating system's upper half: descriptors, files, sockets. A guest has one (system);
// tests make their own. It is safe for concurrent use and starts nothing.
type System struct {
	core core
	gate gate
	env  environment

	files    table
	maps     mappings
	tree     tree
	locks    locks
	inodes   atomic.Uint64 // of anonymous inodes
	netlinks atomic.Int64  // netlink sockets bound by themselves

	mu       sync.Mutex
	families map[uint16]Family
	host     hostConfig

	unix unixDomain
	proc procState
}

// environment is what the monitor and the program's start have said. The functions are called when their answer is
// first needed.
type environment struct {
	boot     func() *hypercall.Boot
	archive  func() []byte   // the files of --copy
	args     func() []string // as main gets them
	environ  func() []string
	now      func() int64              // ns since 1970
	resident func() uint64             // bytes of memory in use
	regions  func() []hypercall.Region // what is mapped
	hertz    func() uint64             // of the time-stamp counter
	mask     *uint32                   // umask(2), which the kernel sets too; nil: it does not
}

// hostConfig is how the guest is called and where it asks for names. System.mu guards it.
type hostConfig struct {
	known      bool
	name       string
	domain     string
	resolvers  resolvers
	resolvNode vnode.Node // the /etc/resolv.conf made at the start
}

// newSystem returns a System. Nothing is made until it is used.
func newSystem(c core, g gate, env environment) *System {
	return &System{core: c, gate: g, env: env}
}

// hostLocked returns the configuration, which comes from the monitor at first.
func (s *System) hostLocked() *hostConfig {
	h := &s.host
	if !h.known {
		h.known = true
		h.name = cString(s.env.boot().Hostname[:])
		if h.name == "" {
			h.name = "ukvm"
		}
		h.domain = "(none)"
	}
	return h
}

func (s *System) hostname() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostLocked().name
}

// RegisterFamily makes f serve the sockets of an address family, syscall.AF_INET or AF_INET6. A protocol stack calls
// it when it is linked in.
func RegisterFamily(family int, f Family) { system.registerFamily(family, f) }

func (s *System) registerFamily(family int, f Family) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.families == nil {
		s.families = make(map[uint16]Family)
	}
	s.families[uint16(family)] = f
}

func (s *System) family(family uint16) (Family, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.families[family]
	if f == nil {
		return nil, syscall.EAFNOSUPPORT
	}
	return f, 0
}

// cString is the text before the first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
