package filter

import (
	"errors"
	"net/netip"
	"time"

	"ukvm.dev/guest/net/conntrack"
	"ukvm.dev/hypercall"
)

// ErrEncoding is returned by Decode for what is not in the form of hypercall/firewall.go.
var ErrEncoding = errors.New("packet filter: rules are not encoded as they should be")

// The numbers of hypercall are those of this package: if they were not, this would not compile.
const (
	_ = uint(hypercall.FirewallReturn-int(Return)) + uint(int(Return)-hypercall.FirewallReturn)
	_ = uint(hypercall.FirewallAnswerProhibited-int(AnswerProhibited)) + uint(int(AnswerProhibited)-hypercall.FirewallAnswerProhibited)
	_ = uint(hypercall.FirewallUntracked-int(conntrack.Untracked)) + uint(int(conntrack.Untracked)-hypercall.FirewallUntracked)
)

// Decode reads rules in the form in which the monitor hands them over. The result is still to be checked, by Compile.
func Decode(b []byte) (*Config, error) {
	d := decoder{rest: b}
	c := d.config()
	if d.bad || len(d.rest) > 0 {
		return nil, ErrEncoding
	}
	return c, nil
}

// decoder reads, and returns zeros from the first fault on.
type decoder struct {
	rest []byte
	bad  bool
	sets []set
}

type set struct {
	prefixes []netip.Prefix
	ranges   []PortRange
}

func (d *decoder) fail() { d.bad, d.rest = true, nil }

func (d *decoder) take(n int) []byte {
	if n > len(d.rest) {
		d.fail()
		return make([]byte, n) // n is small
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) u8() uint8 { return d.take(1)[0] }

func (d *decoder) u16() uint16 {
	b := d.take(2)
	return uint16(b[0]) | uint16(b[1])<<8
}

func (d *decoder) u32() uint32 { return uint32(d.u16()) | uint32(d.u16())<<16 }

func (d *decoder) text() string { return string(d.take(int(d.u8()))) }

// count reads a number of things that take at least size bytes each.
func (d *decoder) count(size int) int {
	n := int(d.u16())
	if n*size > len(d.rest) {
		d.fail()
		return 0
	}
	return n
}

func (d *decoder) config() *Config {
	if string(d.take(len(hypercall.FirewallMagic))) != hypercall.FirewallMagic || d.u8() != hypercall.FirewallVersion {
		d.fail()
	}
	for range d.count(3) {
		d.sets = append(d.sets, d.set())
	}
	c := &Config{}
	var jumps []*Rule
	var targets []int
	for range d.count(5) {
		ch := Chain{Name: d.text(), Policy: Verdict(d.u8())}
		for range d.count(2) {
			r, target := d.rule()
			ch.Rules = append(ch.Rules, r)
			targets = append(targets, target)
		}
		c.Chains = append(c.Chains, ch)
	}
	for i := range c.Chains {
		for j := range c.Chains[i].Rules {
			jumps = append(jumps, &c.Chains[i].Rules[j])
		}
	}
	for i, r := range jumps {
		switch {
		case r.Verdict != Jump:
		case targets[i] >= len(c.Chains):
			d.fail()
		default:
			r.Chain = c.Chains[targets[i]].Name
		}
	}
	return c
}

func (d *decoder) set() (s set) {
	switch d.u8() {
	case hypercall.FirewallAddrs:
		for range d.count(6) {
			var a netip.Addr
			family, ones := d.u8(), int(d.u8())
			switch family {
			case 4:
				a = netip.AddrFrom4([4]byte(d.take(4)))
			case 6:
				a = netip.AddrFrom16([16]byte(d.take(16)))
			default:
				d.fail()
				return s
			}
			s.prefixes = append(s.prefixes, netip.PrefixFrom(a, ones))
		}
	case hypercall.FirewallPorts:
		for range d.count(4) {
			s.ranges = append(s.ranges, PortRange{d.u16(), d.u16()})
		}
	default:
		d.fail()
	}
	return s
}

// use reads the number of a set.
func (d *decoder) use() (s set, not bool) {
	n := d.u16()
	i := int(n &^ hypercall.FirewallNot)
	if i >= len(d.sets) {
		d.fail()
		return s, false
	}
	return d.sets[i], n&hypercall.FirewallNot != 0
}

func (d *decoder) addrs() Addrs {
	s, not := d.use()
	if s.prefixes == nil {
		d.fail()
	}
	return Addrs{not, s.prefixes}
}

func (d *decoder) ports() Ports {
	s, not := d.use()
	if s.ranges == nil {
		d.fail()
	}
	return Ports{not, s.ranges}
}

// rule reads a rule, and, if it jumps, the number of the chain.
func (d *decoder) rule() (r Rule, target int) {
	for !d.bad {
		switch d.u8() {
		case hypercall.FirewallFieldIn:
			r.In = append(r.In, d.text())
		case hypercall.FirewallFieldOut:
			r.Out = append(r.Out, d.text())
		case hypercall.FirewallFieldProto:
			r.Proto = d.u8()
		case hypercall.FirewallFieldSrc:
			r.Src = d.addrs()
		case hypercall.FirewallFieldDst:
			r.Dst = d.addrs()
		case hypercall.FirewallFieldSrcPort:
			r.SrcPort = d.ports()
		case hypercall.FirewallFieldDstPort:
			r.DstPort = d.ports()
		case hypercall.FirewallFieldType:
			r.Types = append(r.Types, d.u8())
		case hypercall.FirewallFieldFlags:
			r.Set, r.Clear = d.u8(), d.u8()
		case hypercall.FirewallFieldState:
			r.State = State(d.u8())
		case hypercall.FirewallFieldLimit:
			r.Limit = Limit{Events: d.u32(), Per: time.Duration(d.u32()) * time.Second, Burst: d.u32(), Over: d.u8() != 0}
		case hypercall.FirewallFieldLog:
			r.Log, r.Prefix = true, d.text()
		case hypercall.FirewallFieldCount:
			r.Count = d.text()
		case hypercall.FirewallFieldLine:
			r.Line = d.u32()
		case hypercall.FirewallFieldVerdict:
			switch r.Verdict = Verdict(d.u8()); r.Verdict {
			case Reject:
				r.Answer = Answer(d.u8())
			case Jump:
				target = int(d.u16())
			}
			return r, target
		default:
			d.fail()
		}
	}
	return r, 0
}
