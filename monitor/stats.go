package monitor

import "sync/atomic"

// counters are what Stats reports; the vCPU's thread counts, anyone reads.
type counters struct {
	exits, calls, faults, upcalls, polls, interrupts atomic.Uint64
	resident                                         atomic.Uint64
}

// Stats are a VM's counters since it started.
type Stats struct {
	Exits    uint64 // exits to the monitor
	Calls    uint64 // of those, hypercalls
	Faults   uint64 // page faults that committed memory
	Polls    uint64 // times the guest went to sleep
	Upcalls  uint64 // upcalls made
	Resident uint64 // bytes of guest RAM in use

	Interrupts uint64 // times the monitor has stopped the busy guest: for an upcall, for the rings, to no avail
}

// Stats returns the counters.
func (vm *VM) Stats() Stats {
	c := &vm.stats
	return Stats{
		Exits: c.exits.Load(), Calls: c.calls.Load(), Faults: c.faults.Load(), Polls: c.polls.Load(),
		Upcalls: c.upcalls.Load(), Resident: c.resident.Load(), Interrupts: c.interrupts.Load(),
	}
}
