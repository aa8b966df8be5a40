package kernel

import "unsafe"

// Hook is package posix's entry: package syscall offers it the calls that Hooked names, on the calling goroutine and
// before the runtime enters "in a system call", so that it may allocate and wait. a1 to a6 are the arguments; those
// that are pointers for this call (see Hooked) also come as p1 to p6, which follow the goroutine's stack when it moves;
// their uintptr twins do not and must not be used. If ok is false the call goes to the gate. errno is positive; r1 is
// then not used.
var Hook func(trap, a1, a2, a3, a4, a5, a6 uintptr, p1, p2, p3, p4, p5, p6 unsafe.Pointer) (r1, errno uintptr, ok bool)

// FileMask is umask(2)'s mask. It is package posix's, and lies here because SYSCALL instructions outside the standard
// library, which the hook does not see, may set it too.
var FileMask uint32 = 0o022

// Hooked says which system calls are offered to Hook, by number, and which of their arguments are pointers: bit 7 for
// "offered", bit i-1 for argument i. Package posix fills it.
var Hooked [512]uint8

// Prepare sets Hooked and Hook. Package posix, if it is linked in, gives it its value in data, so that it is here before
// any package is initialised: those that do not import os, such as time, may come before package posix, and use files too.
var Prepare func()

// AtPanic is called when a panic is about to end the program, on the goroutine that panics and while others still run; once,
// whatever becomes of it.
var AtPanic func()

// Package runtime imports this package, so this runs before all other packages are initialised.
func init() {
	if InGuest() && Prepare != nil {
		Prepare()
	}
}
