package posix

import (
	"strings"

	"ukvm.dev/guest/posix/vnode"
	"ukvm.dev/hypercall"
)

// etcFiles are the configuration files made at the start, unless --copy brings them: those that package net, os/user
// and their like read. /etc/localtime is not among them: time is UTC. /etc/services and /etc/protocols are not either:
// package net has what it needs of them built in.
var etcFiles = []struct {
	path string
	text func(s *System) string
}{
	{"/etc/hosts", hostsText},
	{resolvPath, resolvText},
	{"/etc/hostname", func(s *System) string { return s.hostname() + "\n" }},
	{"/etc/nsswitch.conf", func(*System) string { return "passwd: files\ngroup: files\nhosts: files dns\n" }},
	{"/etc/passwd", func(*System) string {
		return "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
	}},
	{"/etc/group", func(*System) string { return "root:x:0:\nnogroup:x:65534:\n" }},
}

const resolvPath = "/etc/resolv.conf"

// hostAlias are the names of the address that stands for the host's loopback.
const hostAlias = "host.ukvm.internal host"

// hostsText is /etc/hosts (hosts(5)): the guest's own names, and the host's.
func hostsText(s *System) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n")
	own := "127.0.1.1"
	for n := range s.netConfigs() {
		if n.Addr != [4]byte{} {
			own = dotted(n.Addr)
			break
		}
	}
	b.WriteString(own + "\t" + s.hostname() + "\n")
	for n := range s.netConfigs() {
		if n.Host != [4]byte{} {
			b.WriteString(dotted(n.Host) + "\t" + hostAlias + "\n")
			break
		}
	}
	return b.String()
}

// netConfigs are the configurations of the guest's network devices.
func (s *System) netConfigs() func(yield func(*hypercall.NetConfig) bool) {
	b := s.env.boot()
	return func(yield func(*hypercall.NetConfig) bool) {
		for i := range min(b.Devices, hypercall.MaxDevices) {
			if d := &b.Device[i]; d.Kind == hypercall.DeviceNet && !yield(&d.Net) {
				return
			}
		}
	}
}

// resolvers are the name servers and the search list of resolv.conf(5).
type resolvers struct {
	known   bool
	servers []string
	search  []string
}

// resolvText is /etc/resolv.conf.
func resolvText(s *System) string {
	s.mu.Lock()
	r := s.host.resolvers
	s.mu.Unlock()
	if !r.known {
		for n := range s.netConfigs() {
			for _, a := range n.DNS {
				if a == [4]byte{} {
					break
				}
				r.servers = append(r.servers, dotted(a))
			}
			r.search = append(r.search, strings.Fields(cString(n.Search[:]))...)
		}
	}
	var b strings.Builder
	if len(r.search) > 0 {
		b.WriteString("search " + strings.Join(r.search, " ") + "\n")
	}
	for _, a := range r.servers {
		b.WriteString("nameserver " + a + "\n")
	}
	return b.String()
}

// SetResolvers makes /etc/resolv.conf name these servers and this search list: for a network stack that has learned
// them. A file brought by --copy stays as it is.
func SetResolvers(servers, search []string) { system.setResolvers(servers, search) }

func (s *System) setResolvers(servers, search []string) {
	s.mu.Lock()
	s.host.resolvers = resolvers{true, append([]string(nil), servers...), append([]string(nil), search...)}
	built := s.host.resolvNode
	s.mu.Unlock()
	if built != nil {
		writeAll(built, resolvText(s))
	}
}

// keepResolv fills the /etc/resolv.conf made at the start and keeps it up to date.
func (s *System) keepResolv(n vnode.Node) {
	s.mu.Lock()
	s.host.resolvNode = n
	s.mu.Unlock()
	writeAll(n, resolvText(s))
}
