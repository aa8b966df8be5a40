package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ukvm.dev/guest/net/filter"
)

// decode takes rules to the guest and lets it check them.
func decode(t testing.TB, r *Rules) *filter.Config {
	t.Helper()
	c, err := filter.Decode(r.Code())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := filter.Compile(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMeaning has what each part of the language means in the guest.
func TestMeaning(t *testing.T) {
	r, err := Parse("test.fw", `
		set friends { 10.0.0.0/8, fd00::/8,
			192.0.2.7 }
		set web { 80, 443 }
		chain input {
			policy drop; state established, related accept
			iif eth0, eth1 tcp sport 1024-65535 dport @web saddr @friends flags syn,!ack limit 3/minute burst 2 count web log "web" accept
			udp dport != 53 daddr != 198.51.100.1 drop
			icmp type { echo-request, 9 } limit over 10/second reject with prohibited
			icmp6 type echo-request accept
			proto 47 jump more
			tcp reject with rst
			saddr @friends reject
			log
		}
		chain more { return }
		chain output { oif eth0 \
			accept }`)
	if err != nil {
		t.Fatal(err)
	}
	pre := func(l ...string) filter.Addrs {
		var a filter.Addrs
		for _, s := range l {
			a.Prefixes = append(a.Prefixes, netip.MustParsePrefix(s))
		}
		return a
	}
	friends := pre("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")
	port := func(l ...filter.PortRange) filter.Ports { return filter.Ports{Ranges: l} }
	want := &filter.Config{Chains: []filter.Chain{
		{Name: "input", Policy: filter.Drop, Rules: []filter.Rule{
			{Line: 6, State: 2 | 4, Verdict: filter.Accept},
			{Line: 7, In: []string{"eth0", "eth1"}, Proto: 6, SrcPort: port(filter.PortRange{First: 1024, Last: 65535}),
				DstPort: port(filter.PortRange{First: 80, Last: 80}, filter.PortRange{First: 443, Last: 443}), Src: friends, Set: 2, Clear: 16,
				Limit: filter.Limit{Events: 3, Per: time.Minute, Burst: 2}, Count: "web", Log: true, Prefix: "web", Verdict: filter.Accept},
			{Line: 8, Proto: 17, DstPort: filter.Ports{Not: true, Ranges: []filter.PortRange{{First: 53, Last: 53}}},
				Dst: filter.Addrs{Not: true, Prefixes: pre("198.51.100.1/32").Prefixes}, Verdict: filter.Drop},
			{Line: 9, Proto: 1, Types: []uint8{8, 9}, Limit: filter.Limit{Over: true, Events: 10, Per: time.Second}, Verdict: filter.Reject, Answer: filter.AnswerProhibited},
			{Line: 10, Proto: 58, Types: []uint8{128}, Verdict: filter.Accept},
			{Line: 11, Proto: 47, Verdict: filter.Jump, Chain: "more"},
			{Line: 12, Proto: 6, Verdict: filter.Reject, Answer: filter.AnswerReset},
			{Line: 13, Src: friends, Verdict: filter.Reject},
			{Line: 14, Log: true},
		}},
		{Name: "more", Rules: []filter.Rule{{Line: 16, Verdict: filter.Return}}},
		{Name: "output", Policy: filter.Accept, Rules: []filter.Rule{{Line: 17, Out: []string{"eth0"}, Verdict: filter.Accept}}},
	}}
	got := decode(t, r)
	for i := range want.Chains {
		for j := range want.Chains[i].Rules {
			if i < len(got.Chains) && j < len(got.Chains[i].Rules) && !reflect.DeepEqual(got.Chains[i].Rules[j], want.Chains[i].Rules[j]) {
				t.Errorf("%s, rule %d:\n got %+v\nwant %+v", want.Chains[i].Name, j+1, got.Chains[i].Rules[j], want.Chains[i].Rules[j])
			}
		}
	}
	if !t.Failed() && !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if c := r.Cards(); !reflect.DeepEqual(c, []Card{{"eth0", "test.fw:7"}, {"eth1", "test.fw:7"}}) {
		t.Errorf("cards: %v", c)
	}
}

// TestErrors has what is refused, with line and reason.
func TestErrors(t *testing.T) {
	in := func(rule string) string { return "chain input {\n" + rule + "\n}\n" }
	for _, c := range []struct{ text, want string }{
		{"", "x:1: there are no chains"},
		{"# only\n", "x:2: there are no chains"},
		{"table inet filter {\n}", `x:1: there is "table" where a set or a chain begins: there are no tables: begin with chain`},
		{"chain input", `x:1: the name of a chain is followed by {, not by the end of the file`},
		{"chain in/put {}", `x:1: "in/put" is no name for a chain: letters, digits, '_', '-' and '.', at most 31`},
		{"chain input {\naccept", "x:1: the chain input is not closed: there is no }"},
		{"chain input { accept }\nchain input { }", "x:2: there is a chain input in line 1 already"},
		{"set a { 1 }\nset a { 2 }\n" + in("accept"), "x:2: there is a set a in line 1 already"},
		{"set a { }\n" + in("accept"), "x:1: there is nothing between { and }"},
		{"set a { 1 2 }\n" + in("accept"), `x:1: elements are separated by commas; there is "2"`},
		{"set a { 1,\n10.0.0.1 }\n" + in("accept"), "x:2: addresses and ports can not be in one set"},
		{"set a { \"1\" }\n" + in("accept"), `x:1: there is "1" within { and }`},
		{in("policy reject"), `x:2: a policy is accept or drop, not "reject"`},
		{in("policy drop\npolicy drop"), "x:3: the chain has a policy in line 2 already"},
		{"chain x { policy drop }\n" + in("jump x"), "x:1: a chain that is jumped to has no policy: it returns"},
		{in("accept drop"), `x:2: a rule ends with its verdict; there is "drop" behind it`},
		{in("tcp dport 80 allow"), `x:2: "allow" is no condition, action or verdict: write accept`},
		{in("ct state new accept"), `x:2: "ct" is no condition, action or verdict: write state alone`},
		{in("frobnicate"), `x:2: "frobnicate" is no condition, action or verdict`},
		{in("tcp udp accept"), `x:2: "udp" stands twice in a rule`},
		{in("proto 6 tcp accept"), `x:2: "tcp" stands twice in a rule`},
		{in("saddr 10.0.0.1 saddr 10.0.0.2 accept"), `x:2: "saddr" stands twice in a rule`},
		{in("{ accept }"), `x:2: there is "{" where a condition, an action or a verdict stands`},
		{in("\"text\" accept"), `x:2: there is "text" where a condition, an action or a verdict stands`},
		{in("saddr 10.0.0 accept"), `x:2: "10.0.0" is no address or prefix`},
		{in("saddr 10.0.0.1/33 accept"), `x:2: "10.0.0.1/33" is no address or prefix`},
		{in("saddr 10.0.0.1/8 accept"), `x:2: "10.0.0.1/8" has bits set behind its prefix: do you mean 10.0.0.0/8?`},
		{in("saddr fe80::1%eth0 accept"), `x:2: "fe80::1%eth0" is no address or prefix`},
		{in("saddr ::ffff:10.0.0.1 accept"), `x:2: "::ffff:10.0.0.1" is no address or prefix`},
		{in("saddr @nobody accept"), `x:2: there is no set "nobody" above`},
		{"set p { 80 }\n" + in("saddr @p accept"), "x:3: the set p is not of what saddr is about"},
		{"set p { 10.0.0.1 }\n" + in("tcp dport @p accept"), "x:3: the set p is not of what dport is about"},
		{in("tcp dport 65536 accept"), `x:2: "65536" is no port or range of ports`},
		{in("tcp dport 20-10 accept"), `x:2: "20-10" is no port or range of ports`},
		{in("tcp dport accept"), `x:2: "accept" is no port or range of ports`},
		{in("tcp dport"), "x:2: dport is followed by the end of the line"},
		{in("tcp dport 80, , accept"), `x:2: dport is followed by ","`},
		{in("dport 80 accept"), "x:2: ports are of tcp or udp: write one of them"},
		{in("icmp dport 80 accept"), "x:2: ports are of tcp or udp: write one of them"},
		{in("icmp type ping accept"), `x:2: "ping" is no ICMP type: write icmp or icmp6 before type, and a name or number behind`},
		{in("type echo-request icmp accept"), `x:2: "echo-request" is no ICMP type: write icmp or icmp6 before type, and a name or number behind`},
		{in("tcp type 8 accept"), "x:2: types are of icmp or icmp6: write one of them"},
		{in("udp flags syn accept"), "x:2: flags are of tcp: write it"},
		{in("tcp flags sin accept"), `x:2: "sin" is no TCP flag: they are fin, syn, rst, psh, ack, urg, ece, cwr`},
		{in("tcp flags syn,!syn accept"), "x:2: a flag can not be set and not set"},
		{in("state fresh accept"), `x:2: "fresh" is no state: they are new, established, related, invalid, untracked`},
		{in("iif lo accept"), "x:2: loopback is not filtered: leave it out"},
		{in("iif eth/0 accept"), `x:2: "eth/0" is no name of a network card`},
		{in("proto esp accept"), `x:2: proto is followed by a number from 1 to 255, not by "esp"`},
		{in("proto 0 accept"), `x:2: proto is followed by a number from 1 to 255, not by "0"`},
		{in("limit 10 accept"), `x:2: a limit is N/second, N/minute, N/hour or N/day, not "10"`},
		{in("limit rate 10/second accept"), `x:2: a limit is N/second, N/minute, N/hour or N/day, not "rate": the rate follows limit directly`},
		{in("limit 0/second accept"), `x:2: a limit is N/second, N/minute, N/hour or N/day, not "0/second"`},
		{in("limit 1/second burst 0 accept"), `x:2: a burst is 1 to 32768 packets, not "0"`},
		{in("limit 1/second burst 99999 accept"), `x:2: a burst is 1 to 32768 packets, not "99999"`},
		{in("count accept"), "x:0"}, // a counter called accept: no error
		{in("count a/b accept"), `x:2: count is followed by a name, not by "a/b"`},
		{in("log \"" + strings.Repeat("x", 64) + "\" accept"), "x:2: what is logged begins with at most 63 ordinary characters"},
		{in("log \"open"), `x:2: "?open" is no condition, action or verdict`},
		{in("udp reject with rst"), "x:2: rst is an answer to tcp: write it"},
		{in("reject with regret"), `x:2: reject with rst, port, host or prohibited, not "regret"`},
		{in("jump nowhere"), `x:2: there is no chain "nowhere"`},
		{in("jump"), "x:2: jump is followed by the name of a chain, not by the end of the line"},
		{in("jump input"), "x:2: packets begin in input by themselves; nothing can jump there"},
		{in("jump a") + "chain a { jump b }\nchain b { jump a }", "x:5: the chain a jumps to itself"},
		{in("oif eth0 accept"), "x:2: in input it is not known where a packet goes out: write iif"},
		{"chain output {\niif eth0 accept\n}", "x:2: in output it is not known where a packet came in: write oif"},
		{"chain prerouting {\njump x\n}\nchain x {\nstate new accept\n}", "x:5: in prerouting the state of a connection is not known: ask in input, forward or output"},
		{in("accept") + "chain inputs { drop }", "x:4: nothing jumps to the chain inputs; packets begin in prerouting, input, forward, output and postrouting"},
		{in("jump c0") + jumps(14, 2), "x:1: a packet in input may have to be compared with more than 4096 rules"},
		{in("jump c0") + jumps(17, 1), "x:1: from input more than 16 jumps follow one another"},
		{in("jump c0") + jumps(64, 1), "x:67: there are 65 chains, and 64 at most can be"},
		{in(strings.Repeat("accept\n", 1025)), "x:1026: there are more than 1024 rules"},
		{in(strings.Repeat("saddr 2001:db8::1, 2001:db8::2, 2001:db8::3 accept\n", 600)), "x:1: the rules take "},
		{in("zig\nzag"), "x:2: \"zig\" is no condition, action or verdict\nx:3: \"zag\" is no condition, action or verdict"},
	} {
		_, err := Parse("x", c.text)
		if c.want == "x:0" {
			if err != nil {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		var list Errors
		if !errors.As(err, &list) || !strings.HasPrefix(err.Error(), c.want) || !strings.HasSuffix(c.want, " ") && err.Error() != c.want {
			t.Errorf("%.100q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
	if _, err := Parse("x", strings.Repeat("!\n", 1000)); len(strings.Split(err.Error(), "\n")) != maxErrors {
		t.Errorf("%v", err)
	}
	if _, err := Parse("x", strings.Repeat("#", MaxSize+1)); err == nil {
		t.Error("a file of any size is read")
	}
}

// jumps are chains c0 to c(n-1), each of which jumps to the next so many times.
func jumps(n, times int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "chain c%d {%s }\n", i, strings.Repeat(fmt.Sprintf(" jump c%d;", i+1), times*min(1, n-1-i)))
	}
	return b.String()
}

// TestExamples reads the files of testdata, which are what the documentation shows.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.fw")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		r, err := ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		decode(t, r)
	}
	if _, err := ReadFile("testdata/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// FuzzParse: whatever the host lets pass, the guest takes.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.fw")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("fuzz", text)
		if err != nil {
			if list := (Errors)(nil); !errors.As(err, &list) || len(list) == 0 || len(list) > maxErrors {
				t.Fatalf("%v", err)
			}
			for _, line := range strings.Split(err.Error(), "\n") {
				if !strings.HasPrefix(line, "fuzz:") {
					t.Fatalf("%q", err)
				}
			}
			return
		}
		decode(t, r)
	})
}
