package filter

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestErrors has what Compile refuses, each with its reason.
func TestErrors(t *testing.T) {
	in := func(r ...Rule) Config { return Config{Chains: []Chain{{Name: "input", Rules: r}}} }
	at := func(hook string, r Rule) Config { return Config{Chains: []Chain{{Name: hook, Rules: []Rule{r}}}} }
	many := func(n int, f func(i int) Rule) (l []Rule) {
		for i := range n {
			l = append(l, f(i))
		}
		return l
	}
	chains := func(n int, jumps int) Config {
		c := Config{Chains: []Chain{{Name: "input", Rules: many(jumps, func(int) Rule { return Rule{Verdict: Jump, Chain: "c0"} })}}}
		for i := range n {
			k := Chain{Name: fmt.Sprint("c", i)}
			if i < n-1 {
				k.Rules = many(jumps, func(int) Rule { return Rule{Verdict: Jump, Chain: fmt.Sprint("c", i+1)} })
			}
			c.Chains = append(c.Chains, k)
		}
		return c
	}
	bigSet := func(n int) Addrs {
		var a Addrs
		for i := range n {
			a.Prefixes = append(a.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32))
		}
		return a
	}
	for _, c := range []struct {
		config Config
		text   string
	}{
		{Config{Chains: []Chain{{Name: "in put"}}}, `packet filter: a chain is named "in put"`},
		{Config{Chains: []Chain{{Name: strings.Repeat("x", MaxName+1)}}}, "a chain is named"},
		{Config{Chains: []Chain{{Name: "input"}, {Name: "input"}}}, "chain input: there are two chains"},
		{Config{Chains: []Chain{{Name: "input", Policy: Reject}}}, "its policy can not be reject"},
		{Config{Chains: []Chain{{Name: "other", Policy: Drop}}}, "its policy can not be drop"},
		{Config{Chains: []Chain{{Name: "other", Policy: 77}}}, "its policy can not be verdict 77"},
		{in(Rule{}, Rule{DstPort: ports(1, 1)}), "chain input, rule 2: there are ports but"},
		{in(Rule{Proto: icmp, SrcPort: ports(1, 1)}), "there are ports but"},
		{in(Rule{Proto: tcp, SrcPort: ports(2, 1)}), "ends before it begins"},
		{in(Rule{Proto: tcp, SrcPort: Ports{Not: true}}), "a set of ports is empty"},
		{in(Rule{Src: Addrs{Not: true}}), "a set of addresses is empty"},
		{in(Rule{Src: Addrs{Prefixes: []netip.Prefix{{}}}}), "invalid address"},
		{in(Rule{Src: prefixes("::ffff:10.0.0.0/120")}), "invalid address"},
		{in(Rule{Types: []uint8{8}}), "the protocol is not ICMP"},
		{in(Rule{Proto: udp, Set: 2}), "the protocol is not TCP"},
		{in(Rule{Proto: tcp, Set: 2, Clear: 2}), "set and clear"},
		{in(Rule{State: 1 << 5}), "unknown state"},
		{in(Rule{Limit: Limit{Events: 1}}), "the limit makes no sense"},
		{in(Rule{Limit: Limit{Per: time.Second}}), "the limit makes no sense"},
		{in(Rule{Limit: Limit{Events: 1, Per: time.Second, Burst: MaxBurst + 1}}), "the limit makes no sense"},
		{in(Rule{Prefix: strings.Repeat("x", MaxPrefix+1)}), "the log prefix"},
		{in(Rule{Count: "a b"}), `a counter is named "a b"`},
		{in(Rule{In: []string{""}}), "an interface is named"},
		{in(Rule{Verdict: verdicts}), "unknown verdict"},
		{in(Rule{Verdict: Drop, Answer: AnswerPort}), "an answer is for Reject"},
		{in(Rule{Verdict: Reject, Answer: answers}), "an answer is for Reject"},
		{in(Rule{Verdict: Reject, Answer: AnswerReset}), "AnswerReset is for TCP"},
		{in(Rule{Verdict: Jump}), "a chain is for Jump"},
		{in(Rule{Verdict: Accept, Chain: "input"}), "a chain is for Jump"},
		{in(Rule{Verdict: Jump, Chain: "no"}), "there is no chain no"},
		{in(Rule{Verdict: Jump, Chain: "input"}), "where packets begin"},
		{Config{Chains: []Chain{{Name: "a", Rules: []Rule{{Verdict: Jump, Chain: "b"}}}, {Name: "b", Rules: []Rule{{Verdict: Jump, Chain: "a"}}}}}, "it jumps to itself"},
		{at("output", Rule{In: []string{"eth0"}}), "where a packet came in"},
		{at("input", Rule{Out: []string{"eth0"}}), "where a packet goes out"},
		{at("prerouting", Rule{State: 1}), "the state of a connection"},
		{Config{Chains: []Chain{{Name: "postrouting", Rules: []Rule{{Verdict: Jump, Chain: "x"}}}, {Name: "x", Rules: []Rule{{State: 1}}}}}, "chain postrouting: a rule asks for the state"},
		{in(many(MaxRules+1, func(int) Rule { return Rule{} })...), "more than 1024 rules"},
		{in(many(MaxCounters+1, func(i int) Rule { return Rule{Count: fmt.Sprint("c", i)} })...), "more than 256 counters"},
		{in(many(MaxNames+1, func(i int) Rule { return Rule{In: []string{fmt.Sprint("c", i)}} })...), "more than 63 interfaces"},
		{in(Rule{Src: bigSet(MaxElements + 1)}), "too many elements"},
		{chains(MaxDepth+1, 1), "more than 16 jumps"},
		{chains(13, 2), "more than 4096 rules"},
		{chains(MaxChains, 1), "more than 64 chains"},
	} {
		_, err := Compile(&c.config)
		if err == nil || !strings.Contains(err.Error(), c.text) || !errors.Is(err, ErrConfig) {
			t.Errorf("%v, want %q", err, c.text)
		}
	}
	for name, c := range map[string]Config{
		"nothing": {},
		"deep":    chains(MaxDepth, 1),
		"long":    chains(11, 2),
		"rules": in(many(MaxRules, func(i int) Rule {
			return Rule{Count: fmt.Sprint("c", i%MaxCounters), In: []string{fmt.Sprint("c", i%MaxNames)}}
		})...),
		"a set":     in(Rule{Src: bigSet(MaxElements)}),
		"one again": in(many(100, func(int) Rule { return Rule{Src: shared} })...),
	} {
		if _, err := Compile(&c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var shared = func() (a Addrs) {
	for i := range 1000 {
		a.Prefixes = append(a.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32))
	}
	return a
}()
