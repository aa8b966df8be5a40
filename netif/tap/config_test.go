package tap

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]Config{
		"tap=tap0": {Name: "tap0"},
		"tap=t,ip=10.0.0.2/24,gw=10.0.0.1,mac=02:00:00:00:00:0a,mtu=9000,netns=blue": {
			Name: "t", NetNS: "blue", MTU: 9000, MAC: [6]byte{2, 0, 0, 0, 0, 10},
			Addr: netip.MustParsePrefix("10.0.0.2/24"), Gateway: netip.MustParseAddr("10.0.0.1"),
		},
		"tap=t,ip6=fd00::2/64,gw6=fe80::1": {
			Name: "t", Addr6: netip.MustParsePrefix("fd00::2/64"), Gateway6: netip.MustParseAddr("fe80::1"),
		},
		"tap=t,dhcp,ip6=auto":             {Name: "t", DHCP: true, Auto6: true},
		"tap=t,dhcp,netns=/proc/1/ns/net": {Name: "t", DHCP: true, NetNS: "/proc/1/ns/net"},
		"tap=fifteen-bytes-x,ip=10.0.0.2/31,gw=10.0.0.3": {
			Name: "fifteen-bytes-x", Addr: netip.MustParsePrefix("10.0.0.2/31"), Gateway: netip.MustParseAddr("10.0.0.3"),
		},
	} {
		got, err := Parse(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   `"" is not a TAP network: write tap=NAME`,
		"tun=x":                              `"tun=x" is not a TAP network: write tap=NAME`,
		"tap":                                "the device's name is missing: write tap=NAME",
		"tap=":                               "the device's name is missing: write tap=NAME",
		"tap=sixteen-bytes-xy":               `name "sixteen-bytes-xy" is longer than 15 bytes`,
		"tap=a b":                            `name "a b" is no name for a network device`,
		"tap=t%d":                            `name "t%d" is no name for a network device`,
		"tap=t,":                             `unknown option "": want ip, gw, ip6, gw6, mac, mtu, netns or dhcp`,
		"tap=t,vlan=3":                       `unknown option "vlan": want ip, gw, ip6, gw6, mac, mtu, netns or dhcp`,
		"tap=t,tap=u":                        "tap is given twice",
		"tap=t,mtu=1500,mtu=1400":            "mtu is given twice",
		"tap=t,ip":                           "ip needs a value: write ip=...",
		"tap=t,netns=":                       "netns needs a value: write netns=...",
		"tap=t,dhcp=yes":                     `dhcp takes no value, got "yes"`,
		"tap=t,dhcp,ip=10.0.0.2/24":          "ip and dhcp exclude each other",
		"tap=t,gw=10.0.0.1":                  "gw needs ip: write ip=ADDR/PREFIX too",
		"tap=t,ip=10.0.0.2":                  "ip 10.0.0.2 has no prefix length: write ip=10.0.0.2/24",
		"tap=t,ip=10.0.0.300/24":             "ip 10.0.0.300/24 is not an address and prefix length such as 10.0.0.2/24",
		"tap=t,ip=10.0.0.0/24":               "ip 10.0.0.0/24 is not an IPv4 address of a host",
		"tap=t,ip=10.0.0.255/24":             "ip 10.0.0.255/24 is not an IPv4 address of a host",
		"tap=t,ip=127.0.0.1/8":               "ip 127.0.0.1/8 is not an IPv4 address of a host",
		"tap=t,ip=fd00::2/64":                "ip fd00::2/64 is not an IPv4 address of a host",
		"tap=t,ip=10.0.0.2/24,gw=here":       "gw here is not an address such as 10.0.0.1",
		"tap=t,ip=10.0.0.2/24,gw=10.0.0.2":   "gw 10.0.0.2 is the guest's own address",
		"tap=t,ip=10.0.0.2/24,gw=10.0.1.1":   "gw 10.0.1.1 is not in the guest's network 10.0.0.0/24",
		"tap=t,ip=10.0.0.2/24,gw=10.0.0.255": "gw 10.0.0.255 is not an address of a host",
		"tap=t,gw6=fd00::1":                  "gw6 needs ip6: write ip6=ADDR/PREFIX too",
		"tap=t,ip6=fd00::2":                  "ip6 fd00::2 is not auto, nor an address and prefix length such as fd00::2/64",
		"tap=t,ip6=10.0.0.2/24":              "ip6 10.0.0.2/24 is not an IPv6 address of a host",
		"tap=t,ip6=ff02::1/64":               "ip6 ff02::1/64 is not an IPv6 address of a host",
		"tap=t,ip6=::1/128":                  "ip6 ::1/128 is not an IPv6 address of a host",
		"tap=t,ip6=::ffff:10.0.0.1/120":      "ip6 ::ffff:10.0.0.1/120 is not an IPv6 address of a host",
		"tap=t,ip6=fd00::2/64,gw6=here":      "gw6 here is not an address such as fd00::1",
		"tap=t,ip6=fd00::2/64,gw6=fd00::2":   "gw6 fd00::2 is the guest's own address",
		"tap=t,ip6=fd00::2/64,gw6=fd01::1":   "gw6 fd01::1 is neither in the guest's network fd00::/64 nor link-local",
		"tap=t,ip6=fd00::2/64,gw6=10.0.0.1":  "gw6 10.0.0.1 is not an address of a host",
		"tap=t,ip6=auto,mtu=1279":            "mtu 1279 is less than 1280, which IPv6 needs",
		"tap=t,mac=02:00:00:00:00":           "mac 02:00:00:00:00 is not of the form 02:00:00:00:00:01",
		"tap=t,mac=00:00:00:00:00:00":        "mac 00:00:00:00:00:00 is not an address",
		"tap=t,mac=03:00:00:00:00:01":        "mac 03:00:00:00:00:01 is a multicast address",
		"tap=t,mtu=big":                      "mtu big is not a number from 576 to 65521",
		"tap=t,mtu=0":                        "mtu 0 is not a number from 576 to 65521",
		"tap=t,mtu=500":                      "mtu 500 is out of range 576 to 65521",
		"tap=t,mtu=70000":                    "mtu 70000 is out of range 576 to 65521",
	} {
		_, err := Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) succeeded", in)
			continue
		}
		if got := strings.TrimPrefix(err.Error(), "parse network \""+in+"\": "); got != want {
			t.Errorf("Parse(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDefaultGateway(t *testing.T) {
	for in, want := range map[string]string{
		"tap=t":                             "invalid IP",
		"tap=t,ip=10.0.0.2/24":              "10.0.0.1",
		"tap=t,ip=10.0.0.1/24":              "10.0.0.2",
		"tap=t,ip=10.0.0.1/24,gw=10.0.0.99": "10.0.0.99",
		"tap=t,ip=10.0.0.2/31":              "10.0.0.3",
		"tap=t,ip=10.0.0.2/32":              "invalid IP",
	} {
		c, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.side().Router().String(); got != want {
			t.Errorf("gateway of %q is %s, want %s", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tap=t,ip=10.0.0.2/24,gw=10.0.0.1,mac=02:00:00:00:00:0a,mtu=9000,netns=blue")
	f.Add("tap=t,dhcp")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err == nil && (kind.Check(c.Name, c.side()) != nil || c.Name == "") {
			t.Errorf("Parse(%q) let %+v pass", s, c)
		}
		if err == nil && c.Addr.IsValid() && c.Addr.Bits() < 31 && !c.side().Router().IsValid() {
			t.Errorf("Parse(%q) leaves no gateway", s)
		}
	})
}
