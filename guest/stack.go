package guest

import "errors"

// ErrNative is returned by what there is in guests only.
var ErrNative = errors.New("not in a guest of ukvm")

// SetFilter makes rules decide about packets from now on, instead of those that do, whether a program or `ukvm run
// --firewall` has set them; nil lets everything pass. If the rules are not right nothing changes. SetFilter keeps f, which
// must not be changed any more. Natively the error is ErrNative.
func SetFilter(f *Filter) error {
	s := stack()
	if s == nil {
		return ErrNative
	}
	return s.SetFilter(f)
}

// Counters calls f with each counter of the network stack: tcp.packets_rx, eth0.stat_rx_total_bytes, and those rules name.
// f must not use the network. Natively there are none.
func Counters(f func(name string, value uint64)) {
	if s := stack(); s != nil {
		s.Stats(f)
	}
}

// FilterRules calls f with each rule in force and what it has matched, in packets and bytes, in order; and, with a nil
// rule, with what the policy of a chain has decided about. f must not use the network. Natively there are none.
func FilterRules(f func(chain string, r *FilterRule, packets, bytes uint64)) {
	if s := stack(); s != nil {
		s.FilterRules(f)
	}
}

// Rewire calls f between two packets with the boxes of the stack and the network cards, to look at them or to join them
// otherwise: what a box hands packets to is a function value, which may be replaced or wrapped. f and what it puts there
// must not wait and must not use the network; who gets a packet hands it on or calls its Release, exactly once. Natively
// the error is ErrNative. The examples of package ukvm.dev/guest/net show what can be done.
func Rewire(f func(b *Boxes, interfaces []*Interface)) error {
	s := stack()
	if s == nil {
		return ErrNative
	}
	s.Do(f)
	return nil
}
