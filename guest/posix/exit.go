package posix

import (
	"sync/atomic"

	"ukvm.dev/guest/kernel"
)

// AtExit has f called when the program ends, by main's return, os.Exit or a panic, to finish what a kernel would finish
// after a process has gone. It may be called once. The program's other goroutines may run meanwhile, as the network's must,
// but system calls that package posix serves do not return to them: to the outside nothing happens any more.
func AtExit(f func()) {
	finish = f
	addExitHook(end)
	kernel.AtPanic = end
}

var (
	finish func()      // AtExit's
	ending atomic.Bool // the program has ended
)

func end() {
	ending.Store(true)
	finish()
	ending.Store(false) // hooks of others follow, on this goroutine, and may write files
}
