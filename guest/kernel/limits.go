package kernel

// Limits of a guest. Tables of this size lie in bss, of which only touched pages take memory.
const (
	maxThreads   = 1024    // threads (Go's Ms) at a time
	maxFiles     = 1 << 17 // descriptor numbers
	maxEpolls    = 64      // epoll instances
	maxInterests = maxFiles + 8192
	maxSignal    = 64

	kernelStack = 64 << 10

	sliceNanos = 10_000_000 // how long a thread may run while others wait

	// How much later than its time a sleeper may wake while another thread runs without entering the kernel. An upcall
	// costs up to 100 µs; Go's sysmon would ask for one every 20 µs, and needs one every 10 ms to preempt goroutines.
	patience = 10_000_000
)
