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
	s.boxes.Filter.Load(t, s.linkNames())
	s.wireFilter()
	return nil
}

// wireFilter puts the filter where its rules are, and nowhere else.
func (s *Stack) wireFilter() {
	f, ip := &s.boxes.Filter, &s.boxes.IP4
	ip.Prerouting, ip.Input, ip.Forwarding = f.Hook(filter.Prerouting), f.Hook(filter.Input), f.Hook(filter.Forward)
	ip.Output, ip.Postrouting = f.Hook(filter.Output), f.Hook(filter.Postrouting)
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
