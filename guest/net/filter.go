package net

import (
	"ukvm.dev/guest/net/filter"
)

// SetFilter makes rules decide about packets from now on, instead of those that did; nil lets everything pass. Nothing
// changes if they are not right: then the error is a *filter.Error. What the rules count begins at 0. Connections that
// are known stay known if the new rules ask for states too.
//
// SetFilter keeps c; it must not be changed any more.
func (s *Stack) SetFilter(c *filter.Config) error {
	var t *filter.Table
	if c != nil {
		var err error
		if t, err = filter.Compile(c); err != nil {
			return err
		}
	}
	s.enter()
	defer s.leave()
	old := s.boxes.Filter.Load(t, s.linkNames())
	switch k := &s.boxes.Conntrack; {
	case t == nil || !t.Tracking():
		k.Reset()
	case (old == nil || !old.Tracking()) && len(s.interfaces) > 0:
		k.PickUp = s.now + pickUpTime
	}
	s.wireFilter()
	s.publish()
	return nil
}

// firewall loads the rules the monitor has given, before there are network cards. Rules that are not right, which the
// monitor has checked, end the guest: it must not run without them.
func (s *Stack) firewall(code []byte) {
	if code == nil {
		return
	}
	c, err := filter.Decode(code)
	if err == nil {
		err = s.SetFilter(c)
	}
	if err != nil {
		panic("BUG: net: " + err.Error())
	}
}

// pickUpTime is how long, in nanoseconds, after rules have begun to ask for the state of connections, those may go on
// that nobody has seen begin.
const pickUpTime = 300e9

// FilterRules calls f with each rule of the packet filter and what it has matched, in packets and bytes, in order; and,
// with a nil rule, with what the policy of a chain has decided about. f is called with the stack's lock held and must
// not call the stack.
func (s *Stack) FilterRules(f func(chain string, r *filter.Rule, packets, bytes uint64)) {
	s.enter()
	defer s.leave()
	if t := s.boxes.Filter.Table(); t != nil {
		t.Rules(f)
	}
}

// wireFilter puts the filter where its rules are, and nowhere else.
func (s *Stack) wireFilter() {
	f, ip, ip6 := &s.boxes.Filter, &s.boxes.IP4, &s.boxes.IP6
	pre, in, forward, out, post := f.Hook(filter.Prerouting), f.Hook(filter.Input), f.Hook(filter.Forward), f.Hook(filter.Output), f.Hook(filter.Postrouting)
	ip.Prerouting, ip.Input, ip.Forwarding, ip.Output, ip.Postrouting = pre, in, forward, out, post
	ip6.Prerouting, ip6.Input, ip6.Forwarding, ip6.Output, ip6.Postrouting = pre, in, forward, out, post
}

// linkNames are the names of all interfaces by index.
func (s *Stack) linkNames() []string {
	names := []string{"", "lo"}
	for _, i := range s.interfaces {
		names = append(names, i.Name)
	}
	return names
}

// configuring is filter.Box.Configuring.
func (s *Stack) configuring(link int) bool {
	n := link - firstCard
	return n >= 0 && n < len(s.interfaces) && s.interfaces[n].DHCP.Active()
}

// logFiltered is filter.Box.Log.
func (s *Stack) logFiltered(text string) {
	if f := s.config.Log; f != nil {
		s.after = append(s.after, func() { f(text) })
	}
}

// filterCounters calls f with where the counters of the filter are: of each place, of connections, and those that rules
// name.
func (s *Stack) filterCounters(f func(name string, at *uint64)) {
	b, k := &s.boxes.Filter, &s.boxes.Conntrack.Stats
	t := b.Table()
	if t == nil {
		return
	}
	for h := range filter.Hooks {
		if n := &b.Stats[h]; *n != (filter.Stats{}) || b.Hook(h) != nil {
			f("filter."+h.String()+"_accepted", &n.Accepted)
			f("filter."+h.String()+"_dropped", &n.Dropped)
			f("filter."+h.String()+"_rejected", &n.Rejected)
		}
	}
	t.Counters(func(name string, packets, bytes *uint64) {
		f("filter."+name+".packets", packets)
		f("filter."+name+".bytes", bytes)
	})
	if t.Tracking() {
		for _, c := range [...]counter{
			{"conntrack.new", &k.New}, {"conntrack.expired", &k.Expired}, {"conntrack.evicted", &k.Evicted},
			{"conntrack.full", &k.Full}, {"conntrack.invalid", &k.Invalid}, {"conntrack.related", &k.Related},
		} {
			f(c.name, c.at)
		}
	}
}
