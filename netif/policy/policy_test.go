package policy

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	prefix := netip.MustParsePrefix
	for in, want := range map[string]Policy{
		"guard": {},
		"to=10.0.0.0/8:443/tcp,from=*:80,rate=1000": {Rate: 1000, Rules: []Rule{
			{To, prefix("10.0.0.0/8"), TCP, 443, 443}, {Direction: From, Low: 80, High: 80}}},
		"to=[2001:db8::1]:53-54/udp": {Rules: []Rule{{To, prefix("2001:db8::1/128"), UDP, 53, 54}}},
		"to=[2001:db8::/32]:1":       {Rules: []Rule{{To, prefix("2001:db8::/32"), Any, 1, 1}}},
		"to=2001:db8::/32/icmp":      {Rules: []Rule{{Peer: prefix("2001:db8::/32"), Protocol: ICMP}}},
		"from=10.1.2.3/8":            {Rules: []Rule{{Direction: From, Peer: prefix("10.0.0.0/8")}}},
		"to=*/udp,addr=10.0.0.5,addr=fd00::/64": {Addrs: []netip.Prefix{prefix("10.0.0.5/32"), prefix("fd00::/64")},
			Rules: []Rule{{Protocol: UDP}}},
	} {
		got, err := Parse([]string{in})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", in, got, err, want)
		}
		for _, r := range got.Rules {
			again, err := Parse([]string{r.String()})
			if err != nil || again.Rules[0] != r {
				t.Errorf("%v is read as %+v, %v", r, again, err)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "want guard, to=PEER",
		"guard,":             "want guard, to=PEER",
		"guard=1":            "guard takes no value",
		"allow=1":            "want guard, to=PEER",
		"to=":                "want guard, to=PEER",
		"to=example.org":     "example.org is not an address or network such as 10.0.0.0/8",
		"to=10.0.0.1:":       "the port is missing behind the colon",
		"to=[fd00::1]:":      "the port is missing behind the colon",
		"to=[fd00::1":        "[fd00::1 is not of the form [ADDR]:PORT",
		"to=[fd00::1]5":      "is not of the form [ADDR]:PORT",
		"to=10.0.0.1:0":      "port 0 is not a number from 1 to 65535",
		"to=10.0.0.1:65536":  "port 65536 is not a number",
		"to=10.0.0.1:9-8":    "port 9-8 is not a number",
		"to=10.0.0.1/sctp":   "protocol sctp is unknown: want tcp, udp or icmp",
		"to=10.0.0.1:5/icmp": "icmp has no ports",
		"to=::ffff:10.0.0.1": "is not an address",
		"to=fe80::1%eth0":    "is not an address",
		"to=10.0.0.1/33":     "is not an address",
		"addr=here":          "here is not an address",
		"rate=0":             "not a number of packets a second from 1",
		"rate=many":          "not a number of packets a second from 1",
		"rate=5,rate=6":      "given twice",
		strings.Repeat("to=*,", MaxRules) + "to=*":             "there can be 64",
		strings.Repeat("addr=1.2.3.4,", MaxAddrs) + "addr=::1": "there can be 16",
	} {
		if got, err := Parse([]string{in}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", in, got, err, want)
		}
	}
}

func TestParseDrop(t *testing.T) {
	if _, ok := parseDrop(make([]byte, eventSize-1)); ok {
		t.Error("a short event is taken")
	}
	d, ok := parseDrop(make([]byte, eventSize))
	if !ok || !strings.Contains(d.String(), "EtherType 0x0000") {
		t.Errorf("%v", d)
	}
	if got := fmt.Sprint(Reason(200)); got != "reason 200" {
		t.Error(got)
	}
}

// FuzzParse checks that what is parsed is what it is written as.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"to=10.0.0.0/8:443/tcp,from=*:80,rate=1000", "to=[2001:db8::/32]:1-9/udp", "guard", "to=fd00::/8/icmp", "addr=::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse([]string{s})
		if err != nil {
			return
		}
		for _, r := range p.Rules {
			again, err := Parse([]string{r.String()})
			if err != nil || len(again.Rules) != 1 || again.Rules[0] != r {
				t.Errorf("%q has rule %v, which is read as %+v, %v", s, r, again, err)
			}
		}
	})
}
