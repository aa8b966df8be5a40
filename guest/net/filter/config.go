package filter

import (
	"net/netip"
	"time"

	"ukvm.dev/guest/net/conntrack"
)

// Hook is one of the five places.
type Hook uint8

// The places, and the names of the chains there.
const (
	Prerouting Hook = iota
	Input
	Forward
	Output
	Postrouting
	Hooks // how many there are
)

var hookNames = [Hooks]string{"prerouting", "input", "forward", "output", "postrouting"}

func (h Hook) String() string { return hookNames[h] }

// Verdict is what becomes of a packet.
type Verdict uint8

// Verdicts. As a policy there is Accept and Drop; Continue, the zero Verdict, stands for Accept there.
const (
	Continue Verdict = iota // the next rule decides
	Accept
	Drop
	Reject // drop, and tell the sender
	Jump   // go on in another chain
	Return // go on in the chain that jumped here; in one of the five, the policy decides
	verdicts
)

var verdictNames = [verdicts]string{"continue", "accept", "drop", "reject", "jump", "return"}

func (v Verdict) String() string { return verdictNames[v] }

// Answer is how Reject tells the sender.
type Answer uint8

// Answers. The zero Answer is AnswerReset for TCP and AnswerPort for everything else.
const (
	AnswerDefault    Answer = iota
	AnswerReset             // a TCP segment with RST
	AnswerPort              // ICMP: port unreachable
	AnswerHost              // ICMP: host unreachable
	AnswerProhibited        // ICMP: administratively prohibited
	answers
)

// Config is a set of rules.
type Config struct {
	// Chains has any of the five, named prerouting, input, forward, output and postrouting, and others that rules jump
	// to. What is not there lets everything pass.
	Chains []Chain
}

// Chain is a list of rules that are tried one after the other.
type Chain struct {
	Name   string
	Policy Verdict // of the five: Accept or Drop
	Rules  []Rule
}

// Rule is a rule. Conditions that have their zero value match everything.
type Rule struct {
	In, Out []string // names of interfaces: In only up to Forward, Out only from Output on

	Proto            uint8 // IP protocol; 0: any
	Src, Dst         Addrs
	SrcPort, DstPort Ports   // with Proto TCP or UDP
	Types            []uint8 // ICMP types, with Proto ICMP or ICMPv6
	Set, Clear       uint8   // TCP flags that must be set, and those that must not be
	State            State   // of the connection; not in prerouting and postrouting
	Limit            Limit   // a token bucket
	Log              bool    // report the packet, a few times a second
	Prefix           string  // of what is reported
	Count            string  // the name of a counter among Stack.Stats; rules may share one
	Verdict          Verdict // and its details:
	Chain            string  //   Jump
	Answer           Answer  //   Reject
	Line             uint32  // where the rule was written, for those who list rules
}

// State is a set of conntrack's states.
type State = conntrack.State

// Addrs is a set of addresses, IPv4 and IPv6. The zero Addrs is all there are.
type Addrs struct {
	Not      bool // all but these
	Prefixes []netip.Prefix
}

// Ports is a set of ports. The zero Ports is all there are.
type Ports struct {
	Not    bool
	Ranges []PortRange
}

// PortRange is the ports from First to Last.
type PortRange struct{ First, Last uint16 }

// Limit matches as long as packets come no faster: Events in the time Per, after Burst at once. The zero Limit always
// matches.
type Limit struct {
	Over   bool // match what is too fast instead
	Events uint32
	Per    time.Duration
	Burst  uint32 // 0: DefaultBurst
}
