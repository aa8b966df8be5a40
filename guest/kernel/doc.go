// Package kernel is the core of the guest operating system. It lies below Go's runtime, which imports it: every system
// call instruction of the runtime and of package syscall jumps to [Gate] instead, and the monitor's upcalls arrive here.
// It provides what the runtime needs of Linux before and below goroutines: threads, futexes, clocks, memory calls,
// signals, descriptor numbers, readiness (epoll, eventfd), the console, randomness and idling. Files and sockets are
// package posix's business, on goroutines above.
//
// # How it runs
//
//	user code ── Gate ──► gate: save registers in the running thread ──► dispatch ─┐
//	user code ◄─ monitor's upcall: registers already saved ──► Upcall ──► upcall ──┤ on the kernel's stack and g,
//	     ▲                                                                         │ with upcalls masked
//	     └───────────── resume: load the registers of the thread to run ◄──────────┘
//
// The kernel is not re-entered: Control.Mask is 1 while it runs. It is ordinary compiled Go, entered through a function
// value with the registers the compiler's internal ABI wants (argument in AX, g in R14, zero in X15), on a stack and
// with a g of its own, of which only the stack bounds are set. FS, through which the runtime finds *its* g, is left
// alone: so kernel code must not call functions in assembly other than through the function values of asm.go, since the
// compiler reloads R14 from FS after such calls.
//
// # Rules
//
// Fixed tables of integers; no allocation; no Go pointers stored (so no write barriers); no interfaces, maps, defer,
// channels, panics, goroutines or closures; no imports but unsafe and package hypercall. rules_test.go looks for that in
// the source, tests/arch for what the linked kernel takes from the runtime. Limits are in limits.go. Addresses that come
// from the program are used directly where a wrong one can hurt only the program itself; the calls that take
// rarely-trusted ones check them against the region table (userRange).
//
// A call number it does not know is answered with ENOSYS and counted in Control.Log.
package kernel
