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
)
