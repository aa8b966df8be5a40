package cli

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/netif/packet"
	"ukvm.dev/netif/tap"
	"ukvm.dev/netif/user"
)

func TestNetWords(t *testing.T) {
	dns := netip.MustParseAddrPort
	for _, c := range []struct {
		name  string
		words NetWords
		want  []Network
	}{
		{"default", NetWords{}, []Network{{User: &user.Config{}}}},
		{"none", NetWords{Nets: []string{"none"}}, nil},
		{"options", NetWords{Nets: []string{"user,subnet=192.168.7.0/24,mtu=1500,mac=02:00:00:00:00:01"}}, []Network{{User: &user.Config{
			Subnet: netip.MustParsePrefix("192.168.7.0/24"), MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 0, 1}}}}},
		{"IPv6", NetWords{Nets: []string{"user,subnet6=fd12::/64"}}, []Network{{User: &user.Config{Subnet6: netip.MustParsePrefix("fd12::/64")}}}},
		{"no IPv6", NetWords{Nets: []string{"user,subnet6=none"}}, []Network{{User: &user.Config{NoIPv6: true}}}},
		{"both", NetWords{Nets: []string{"tap=t0,dhcp", "user"}, Publish: []string{"8080:80", "53:53/udp"}, HostLoopback: true},
			[]Network{{TAP: &tap.Config{Name: "t0", DHCP: true}}, {User: &user.Config{HostLoopback: true, Publish: []user.Publish{
				{Network: "tcp", Host: 8080, Guest: 80}, {Network: "udp", Host: 53, Guest: 53}}}}}},
		{"dns", NetWords{Nets: []string{"user"}, DNS: []string{"9.9.9.9,[2620:fe::fe]:5353", "1.1.1.1:53"}},
			[]Network{{User: &user.Config{DNS: []netip.AddrPort{dns("9.9.9.9:53"), dns("[2620:fe::fe]:5353"), dns("1.1.1.1:53")}}}}},
		{"packet", NetWords{Nets: []string{"packet=eth1", "packet=eth2,netns=x"}, DNS: []string{"9.9.9.9"}},
			[]Network{{Packet: &packet.Config{Name: "eth1", DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}}},
				{Packet: &packet.Config{Name: "eth2", NetNS: "x", DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}}}}},
		{"dns of tap", NetWords{Nets: []string{"tap=t0"}, DNS: []string{"9.9.9.9"}},
			[]Network{{TAP: &tap.Config{Name: "t0", DNS: []netip.Addr{netip.MustParseAddr("9.9.9.9")}}}}},
	} {
		c.words.Default = "user"
		got, err := c.words.Parse()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if describe(got) != describe(c.want) {
			t.Errorf("%s: %s, want %s", c.name, describe(got), describe(c.want))
		}
	}
}

// describe writes networks out, pointers followed.
func describe(networks []Network) string {
	var b strings.Builder
	for _, n := range networks {
		switch {
		case n.User != nil:
			u := n.User
			b.WriteString(strings.Join([]string{"user", u.Subnet.String(), u.Subnet6.String(), strconv.FormatBool(u.NoIPv6), net.HardwareAddr(u.MAC[:]).String()}, " "))
			for _, p := range u.Publish {
				b.WriteString(" " + p.String())
			}
			for _, d := range u.DNS {
				b.WriteString(" " + d.String())
			}
			if u.HostLoopback {
				b.WriteString(" loopback")
			}
		case n.Packet != nil:
			b.WriteString("packet " + n.Packet.Name)
			for _, d := range n.Packet.DNS {
				b.WriteString(" " + d.String())
			}
		case n.TAP != nil:
			b.WriteString("tap " + n.TAP.Name)
			if n.TAP.DHCP {
				b.WriteString(" dhcp")
			}
			for _, d := range n.TAP.DNS {
				b.WriteString(" " + d.String())
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestNetWordsErrors(t *testing.T) {
	for _, c := range []struct {
		words NetWords
		want  string
	}{
		{NetWords{Nets: []string{"bridge"}}, "write user, tap=NAME, packet=IFACE or none"},
		{NetWords{Nets: []string{"none", "user"}}, "stands alone"},
		{NetWords{Nets: []string{"none,x"}}, "stands alone"},
		{NetWords{Nets: []string{"user", "user"}}, "given twice"},
		{NetWords{Nets: []string{"user=x"}}, "takes no value"},
		{NetWords{Nets: []string{"user,frob=1"}}, "want subnet, subnet6, mac or mtu"},
		{NetWords{Nets: []string{"user,mtu=big"}}, "not a number"},
		{NetWords{Nets: []string{"user,subnet=10.0.0.0"}}, "not of the form"},
		{NetWords{Nets: []string{"user,subnet6=10.0.0.0"}}, "not none or of the form fd00::/64"},
		{NetWords{Nets: []string{"user,mac=1"}}, "not of the form"},
		{NetWords{Nets: []string{"tap="}}, "name is missing"},
		{NetWords{Nets: []string{"tap=a,netns=x", "tap=a", "tap=a,netns=x,mtu=1400"}}, "--net tap=a is given twice"},
		{NetWords{Nets: []string{"packet="}}, "the interface's name is missing"},
		{NetWords{Nets: []string{"packet=a,netns=x", "packet=a", "packet=a,netns=x,mtu=1400"}}, "--net packet=a is given twice"},
		{NetWords{Nets: []string{"tap=a", "packet=b"}, Policy: []string{"guard"}}, "--policy does not hold for --net packet=b"},
		{NetWords{Nets: []string{"packet=b"}, DNS: []string{"9.9.9.9:99"}}, "on port 53"},
		{NetWords{Nets: []string{"user"}, Policy: []string{"guard"}}, "add --net tap=NAME"},
		{NetWords{Nets: []string{"tap=a"}, Policy: []string{"to=*", "from=nobody"}}, "--policy: policy \"from=nobody\": nobody is not an address"},
		{NetWords{Nets: []string{"none"}, Publish: []string{"80:80"}}, "add --net user"},
		{NetWords{Nets: []string{"tap=t0"}, Publish: []string{"80:80"}}, "add --net user"},
		{NetWords{Nets: []string{"tap=t0"}, HostLoopback: true}, "add --net user"},
		{NetWords{Nets: []string{"none"}, DNS: []string{"9.9.9.9"}}, "leave out --net none"},
		{NetWords{Nets: []string{"tap=t0"}, DNS: []string{"9.9.9.9:99"}}, "on port 53"},
		{NetWords{DNS: []string{"dns.example"}}, "not an address"},
		{NetWords{Publish: []string{"8080"}}, "write -p 8080:8080"},
	} {
		c.words.Default = "user"
		if got, err := c.words.Parse(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, %v, want %q", c.words, got, err, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).AddrPort().Port()
	loopback := netip.MustParseAddr("127.0.0.1")

	_, err = Open([]Network{{User: &user.Config{Publish: []user.Publish{{Addr: loopback, Host: port, Guest: 80}}}}}, nil)
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error for a port in use is %v", err)
	}
	l, err := Open([]Network{{User: &user.Config{Publish: []user.Publish{{Addr: loopback, Guest: 80}}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(l.NICs) != 1 || l.NICs[0].Name != "eth0" || len(l.Published) != 1 || l.Published[0].Host == 0 || !l.NICs[0].Config.Addr.IsValid() {
		t.Errorf("links are %+v", l)
	}
}
