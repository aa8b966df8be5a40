//go:build !ukvm

package posix

// On a host this package is only tested, by Systems of the tests' own.

func limitStacks(memory uint64) {}

func addExitHook(f func()) {}

func programArgs() []string { return nil }

func programEnviron() []string { return nil }

func bootArchive() []byte { return nil }

func counterFrequency() uint64 { return 0 }
