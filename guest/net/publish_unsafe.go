package net

import (
	"unsafe"

	"ukvm.dev/guest/kernel"
	"ukvm.dev/hypercall"
)

// publish tells the monitor where the counters of the guest's stack are, and the copies of its gauges. Other stacks, those of
// tests, have none to tell. The caller holds the lock, or is the only one who knows of the stack.
func (s *Stack) publish() {
	if !s.public {
		return
	}
	names := s.gaugeNames()
	gauged := make([]uint64, len(names))
	n := len(names)
	s.counters(func(string, *uint64) { n++ })
	list := make([]hypercall.Counter, 0, min(n, hypercall.CountersMax))
	add := func(name string, at *uint64) {
		if len(list) < cap(list) {
			// Safety: only the number of the address is kept, and only the monitor uses it, while it lies. The boxes, the
			// interfaces, the table of the filter and the copies, in which counters are, belong to the stack, which is never given
			// up; a table that is replaced is followed by another list, before it can be given up. Go's heap does not
			// move what is in it.
			c := hypercall.Counter{Value: hypercall.GVA(uintptr(unsafe.Pointer(at)))}
			copy(c.Name[:len(c.Name)-1], name)
			list = append(list, c)
		}
	}
	s.counters(add)
	for i, name := range names {
		add(name, &gauged[i])
	}
	// Safety: as above; the list is kept by s.published.
	kernel.PublishCounters(uint64(uintptr(unsafe.Pointer(unsafe.SliceData(list)))), len(list))
	s.published, s.gauged = list, gauged
}
