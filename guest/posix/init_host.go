//go:build !ukvm

package posix

import "syscall"

// On a host this package is only tested, by Systems of the tests' own.

func limitStacks(memory uint64) {}

func addExitHook(f func()) {}

func programArgs() []string { return nil }

func programEnviron() []string { return nil }

func rawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno syscall.Errno) {
	return syscall.RawSyscall6(trap, a1, a2, a3, a4, a5, a6)
}

func bootArchive() []byte { return nil }

func counterFrequency() uint64 { return 0 }
