package posix

import "sync/atomic"

// AtExit has f called when the program ends, by main's return or os.Exit, to finish what a kernel would finish after a
// process has gone. The program's other goroutines may run meanwhile, as the network's must, but system calls that
// package posix serves do not return to them: to the outside nothing happens any more.
func AtExit(f func()) {
	addExitHook(func() {
		ending.Store(true)
		f()
		ending.Store(false) // hooks of others follow, on this goroutine, and may write files
	})
}

// ending says that the program has ended.
var ending atomic.Bool
