package posix

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// describedFamily describes interfaces and routes.
type describedFamily struct {
	fakeFamily
	routes []Route
}

func (f *describedFamily) Routes() []Route { return f.routes }

func addr(text string) Addr {
	a := netip.MustParseAddr(text)
	if a.Is4() {
		return Addr4(a.As4(), 0)
	}
	return Addr{Family: syscall.AF_INET6, IP: a.As16()}
}

func prefix(text string) Prefix {
	p := netip.MustParsePrefix(text)
	return Prefix{addr(p.Addr().String()), p.Bits()}
}

// TestProcNet compares the files of /proc/net with those of a Linux machine with the same addresses, routes and numbers.
func TestProcNet(t *testing.T) {
	s, c := newTestSystem(nil)
	s.registerFamily(syscall.AF_INET, &describedFamily{
		fakeFamily{
			{Index: 1, Name: "lo", MTU: 65536, Loopback: true, Up: true, Addrs: []Prefix{prefix("127.0.0.1/8"), prefix("::1/128")},
				Groups:   []Addr{addr("224.0.0.1"), addr("ff02::1")},
				Received: Traffic{12995146, 80823117027, 174}, Sent: Traffic{12995146, 80823117027, 0}},
			{Index: 4, Name: "eth0", MTU: 1500, Up: true, Addrs: []Prefix{prefix("192.0.2.2/24"), prefix("fe80::fc:ff:fe00:1/64")},
				Groups:   []Addr{addr("224.0.0.1"), addr("239.1.2.3"), addr("ff02::1:ff00:1")},
				Received: Traffic{Packets: 10, Bytes: 1140}, Sent: Traffic{Packets: 20, Bytes: 2280, Dropped: 3}},
		},
		[]Route{
			{prefix("0.0.0.0/0"), addr("192.0.2.1"), "eth0"}, {prefix("192.0.2.0/24"), Addr{}, "eth0"},
			{prefix("fe80::/64"), Addr{}, "eth0"}, {prefix("::/0"), addr("fd00::1"), "eth0"}, {prefix("fd00::7/128"), addr("fd00::1"), "eth0"},
		},
	})
	p := &proc{caller: &guest{s, c}, t: t}
	const pad = "                                                                               "
	for path, want := range map[string]string{
		"/proc/net/dev": "Inter-|   Receive                                                |  Transmit\n" +
			" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
			"    lo: 80823117027 12995146    0  174    0     0          0         0 80823117027 12995146    0    0    0     0       0          0\n" +
			"  eth0:    1140      10    0    0    0     0          0         0     2280      20    0    3    0     0       0          0\n",
		"/proc/self/net/if_inet6": "00000000000000000000000000000001 01 80 10 80       lo\n" +
			"fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n",
		"/proc/1/net/igmp": "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n" +
			"1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n" +
			"4\teth0      :     2      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\t\t\t\t030201EF     1 0:00000000\t\t0\n",
		"/proc/net/igmp6": "1    lo              ff020000000000000000000000000001     1 00000004 0\n" +
			"4    eth0            ff0200000000000000000001ff000001     1 00000004 0\n",
		"/proc/net/route": "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n" +
			"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0" + pad + "\n" +
			"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0" + pad + "\n",
		"/proc/net/ipv6_route": "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000000 00000000 00000001     eth0\n" +
			"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000000 00000000 00000003     eth0\n" +
			"fd000000000000000000000000000007 80 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000000 00000000 00000007     eth0\n",
		"/proc/self/net/netstat": "IpExt: InOctets OutOctets\nIpExt: 80823118027 80823119027\n",
	} {
		if got := p.slurp(path); got != want {
			t.Errorf("%s:\n%q, want\n%q", path, got, want)
		}
	}
	// Without a network there are the files, and nothing in them.
	s, c = newTestSystem(nil)
	p = &proc{caller: &guest{s, c}, t: t}
	for _, name := range []string{"if_inet6", "igmp6", "ipv6_route"} {
		if got := p.slurp("/proc/net/" + name); got != "" {
			t.Errorf("%s without a network: %q", name, got)
		}
	}
}

// TestProcECN: /proc/sys/net/ipv4/tcp_ecn is the network's; what it does not know is not taken.
func TestProcECN(t *testing.T) {
	const path = "/proc/sys/net/ipv4/tcp_ecn"
	s, c := newTestSystem(nil)
	g := &guest{s, c}
	p := &proc{caller: g, t: t}
	store := func(text string, want syscall.Errno) {
		t.Helper()
		f := fd(p.must(syscall.SYS_OPEN, path, wronly|syscall.O_TRUNC, 0))
		if _, errno := g.call(syscall.SYS_WRITE, int(f), []byte(text), len(text)); errno != want {
			t.Errorf("store %q: %v, want %v", text, errno, want)
		}
		p.close(f)
	}
	if got := p.slurp(path); got != "0\n" {
		t.Errorf("without a network: %q", got)
	}
	store("1", syscall.EOPNOTSUPP)

	g.s.registerFamily(syscall.AF_INET, TestFamily())
	if got := p.slurp(path); got != "2\n" {
		t.Errorf("by itself: %q", got)
	}
	for _, text := range []string{"1\n", " 0", "2"} {
		store(text, 0)
		if got := p.slurp(path); got != strings.TrimSpace(text)+"\n" {
			t.Errorf("after %q: %q", text, got)
		}
	}
	for _, text := range []string{"3", "-1", "on", "", "1 1"} {
		store(text, syscall.EINVAL)
	}
	if got := p.slurp(path); got != "2\n" {
		t.Errorf("after what is no setting: %q", got)
	}
}
