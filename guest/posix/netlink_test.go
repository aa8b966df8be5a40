package posix

import (
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// fakeFamily only describes interfaces.
type fakeFamily []Interface

func (f fakeFamily) Socket(typ, protocol int) (Socket, syscall.Errno) { return nil, syscall.ENOBUFS }

func (f fakeFamily) Interfaces() []Interface { return f }

var testInterfaces = fakeFamily{
	{Index: 1, Name: "lo", MTU: 65536, Loopback: true, Up: true, Addrs: []Prefix{{Addr4([4]byte{127, 0, 0, 1}, 0), 8}}},
	{Index: 2, Name: "eth0", MTU: 1500, Up: true, Hardware: [6]byte{2, 0, 0, 1, 2, 3},
		Addrs: []Prefix{
			{Addr4([4]byte{10, 0, 2, 15}, 0), 24},
			{Addr{Family: syscall.AF_INET6, IP: netip.MustParseAddr("fe80::1").As16()}, 64},
		}},
	{Index: 3, Name: "eth1", MTU: 9000},
}

// routeRequest encodes a request as package syscall's NetlinkRIB does.
func routeRequest(typ, flags uint16, body ...byte) []byte {
	b := append32(nil, uint32(nlHeader+len(body)))
	b = append16(b, typ)
	b = append16(b, flags)
	b = append32(b, 7)
	b = append32(b, 0)
	return append(b, body...)
}

// ask sends a request and returns the messages of the answer, read by package syscall.
func (p *proc) ask(f fd, request []byte) []syscall.NetlinkMessage {
	p.t.Helper()
	to := sockaddr{family: syscall.AF_NETLINK}.appendTo(nil)
	p.must(syscall.SYS_SENDTO, f, request, len(request), 0, to, len(to))
	b := make([]byte, 4096)
	n := p.must(syscall.SYS_RECVFROM, f, b, len(b), 0, nil, nil)
	m, err := syscall.ParseNetlinkMessage(b[:n])
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func attrs(t *testing.T, m *syscall.NetlinkMessage) map[uint16][]byte {
	t.Helper()
	list, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		t.Fatal(err)
	}
	values := map[uint16][]byte{}
	for _, a := range list {
		values[a.Attr.Type] = a.Value
	}
	return values
}

func TestNetlinkRoute(t *testing.T) {
	s, c := newTestSystem(nil)
	s.registerFamily(syscall.AF_INET, testInterfaces)
	p := &proc{caller: &guest{s, c}, t: t}
	f := p.make(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	own := sockaddr{family: syscall.AF_NETLINK}.appendTo(nil)
	p.must(syscall.SYS_BIND, f, own, len(own))
	size := int32(12)
	p.must(syscall.SYS_GETSOCKNAME, f, own, unsafe.Pointer(&size))
	if port := get32(own[4:]); port != processID || size != 12 {
		t.Fatal(port, size)
	}

	links := p.ask(f, routeRequest(syscall.RTM_GETLINK, syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP, 0))
	if len(links) != 4 || links[3].Header.Type != syscall.NLMSG_DONE {
		t.Fatalf("%+v", links)
	}
	for i, m := range links[:3] {
		want := testInterfaces[i]
		info := (*syscall.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
		a := attrs(t, &m)
		if m.Header.Type != syscall.RTM_NEWLINK || m.Header.Seq != 7 || m.Header.Pid != processID || int(info.Index) != want.Index ||
			cString(a[syscall.IFLA_IFNAME]) != want.Name || int(get32(a[syscall.IFLA_MTU])) != want.MTU ||
			!slices.Equal(a[syscall.IFLA_ADDRESS], want.Hardware[:]) || (info.Flags&syscall.IFF_UP != 0) != want.Up ||
			(info.Flags&syscall.IFF_LOOPBACK != 0) != want.Loopback {
			t.Errorf("%+v %+v %v", m.Header, info, a)
		}
	}
	var got []string
	for _, m := range p.ask(f, routeRequest(syscall.RTM_GETADDR, syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP, 0)) {
		if m.Header.Type == syscall.NLMSG_DONE {
			continue
		}
		info := (*syscall.IfAddrmsg)(unsafe.Pointer(&m.Data[0]))
		addr, _ := netip.AddrFromSlice(attrs(t, &m)[syscall.IFA_ADDRESS])
		got = append(got, netip.PrefixFrom(addr, int(info.Prefixlen)).String()+" "+decimal(int64(info.Index)))
	}
	if !slices.Equal(got, []string{"127.0.0.1/8 1", "10.0.2.15/24 2", "fe80::1/64 2"}) {
		t.Error(got)
	}
	one := p.ask(f, routeRequest(syscall.RTM_GETLINK, syscall.NLM_F_REQUEST, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
	if len(one) != 1 || cString(attrs(t, &one[0])[syscall.IFLA_IFNAME]) != "eth0" {
		t.Errorf("%+v", one)
	}
	name := append(make([]byte, ifInfoSize), 9, 0, 3, 0, 'e', 't', 'h', '1', 0, 0, 0, 0)
	one = p.ask(f, routeRequest(syscall.RTM_GETLINK, syscall.NLM_F_REQUEST, name...))
	if len(one) != 1 || cString(attrs(t, &one[0])[syscall.IFLA_IFNAME]) != "eth1" {
		t.Errorf("%+v", one)
	}
	for _, r := range [][]byte{
		routeRequest(syscall.RTM_GETROUTE, syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP, 0),
		routeRequest(syscall.RTM_NEWLINK, syscall.NLM_F_REQUEST, make([]byte, 16)...),
	} {
		m := p.ask(f, r)
		if len(m) != 1 || m[0].Header.Type != syscall.NLMSG_ERROR || int32(get32(m[0].Data)) != -int32(syscall.EOPNOTSUPP) {
			t.Errorf("%+v", m)
		}
	}
	if _, errno := p.call(syscall.SYS_RECVFROM, f, make([]byte, 10), 10, syscall.MSG_DONTWAIT, nil, nil); errno != syscall.EAGAIN {
		t.Error(errno)
	}
	second := p.make(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	p.ask(second, routeRequest(syscall.RTM_GETLINK, syscall.NLM_F_REQUEST|syscall.NLM_F_DUMP, 0))
	if _, errno := p.call(syscall.SYS_SOCKET, syscall.AF_NETLINK, syscall.SOCK_RAW, 16); errno != syscall.EPROTONOSUPPORT {
		t.Error(errno)
	}
}

func TestInterfaceIoctls(t *testing.T) {
	s, _ := newTestSystem(nil)
	s.registerFamily(syscall.AF_INET, testInterfaces)
	ask := func(request uint32, name string, index uint32) (ifreq, syscall.Errno) {
		r := ifreq{}
		copy(r.name[:], name)
		put32(r.data[:], index)
		return r, s.interfaceIoctl(request, unsafe.Pointer(&r))
	}
	if r, errno := ask(siocgifindex, "eth0", 0); errno != 0 || get32(r.data[:]) != 2 {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifname, "", 3); errno != 0 || cString(r.name[:]) != "eth1" {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifaddr, "eth0", 0); errno != 0 || !slices.Equal(r.data[:8], []byte{2, 0, 0, 0, 10, 0, 2, 15}) {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifnetmask, "eth0", 0); errno != 0 || !slices.Equal(r.data[4:8], []byte{255, 255, 255, 0}) {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifbrdaddr, "eth0", 0); errno != 0 || !slices.Equal(r.data[4:8], []byte{10, 0, 2, 255}) {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifhwaddr, "eth0", 0); errno != 0 || !slices.Equal(r.data[:8], []byte{1, 0, 2, 0, 0, 1, 2, 3}) {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifmtu, "eth1", 0); errno != 0 || get32(r.data[:]) != 9000 {
		t.Error(r, errno)
	}
	if r, errno := ask(siocgifflags, "lo", 0); errno != 0 || get16(r.data[:]) != 0x49 {
		t.Error(r, errno)
	}
	if _, errno := ask(siocgifaddr, "eth1", 0); errno != syscall.EADDRNOTAVAIL {
		t.Error(errno)
	}
	if _, errno := ask(siocgifmtu, "eth7", 0); errno != syscall.ENODEV {
		t.Error(errno)
	}
	if _, errno := ask(0x8999, "eth0", 0); errno != syscall.ENOTTY {
		t.Error(errno)
	}
}
