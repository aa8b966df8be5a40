package monitor

import "runtime"

// Go's sysmon takes it that a goroutine which has had its processor (a P of the runtime's) for 10 ms without going through the
// scheduler keeps others from running. The vCPU's never does by itself: it goes from one system call to the next. sysmon
// would then signal it and take its processor away whenever it looks, which after each success it does every 20 µs for
// a while: measured at 2000 requests/s, 15 to 40 µs of a processor a request. So the goroutine goes through the scheduler
// by itself, a little more often.
const (
	yieldEvery = 5_000_000 // ns

	// longSleep is a sleep in ns in which sysmon may have taken the processor in any case. It makes no sense to yield
	// right after it, which is an expensive moment: everything is cold.
	longSleep = 2_000_000
)

// yield lets other goroutines run if it is time for that, CLOCK_MONOTONIC in ns. The thread sleeps meanwhile, since the
// goroutine has it to itself.
func (vm *VM) yield(now int64) {
	if now-vm.yielded >= yieldEvery {
		runtime.Gosched()
		vm.yielded = now
	}
}

// slept notes that the thread has slept.
func (vm *VM) slept(from, to int64) {
	if to-from >= longSleep {
		vm.yielded = to
	}
}
