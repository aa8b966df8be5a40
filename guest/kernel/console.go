package kernel

import "ukvm.dev/hypercall"

// The console: standard input, output and error, which are descriptors 0 to 2 at the start.

func initConsole() {
	for fd := range uint64(3) {
		fileBits[0] |= 1 << fd
		files[fd] = file{kind: kindConsole, value: fd}
	}
}

// consoleFull has bit n set while there is no room in output stream n.
var consoleFull uint64

// writers is the number of threads that wait for room.
var writers uint32

// takeReady acts on Ready bits: those given and those in the control page.
func takeReady(bits uint64) {
	if control().Ready != 0 {
		bits |= swapFunc(controlAddr+uint64(controlReady), 0)
	}
	if bits&readyConsole != 0 {
		consoleLevel(0, epollIn, 0)
	}
	if bits&readyOutput != 0 {
		consoleRoom()
	}
}

// consoleInput reads what has arrived. EAGAIN: nothing yet.
func consoleInput(f *file, addr, n uint64) uint64 {
	if f.value != 0 {
		return fail(eBADF)
	}
	if n == 0 {
		return 0
	}
	got, end, errno := consoleRead(addr, min(n, hypercall.MaxConsole))
	switch {
	case errno != 0:
		return fail(errno)
	case end:
		return 0
	}
	consoleLevel(0, 0, epollIn) // as far as is known
	if got == 0 {
		return fail(eAGAIN)
	}
	if f.interest != 0 {
		consoleAsk()
	}
	return got
}

// consoleAsk makes the monitor say when there is input, or its end.
func consoleAsk() { consoleRead(0, 0) }

// consoleLevel sets and clears readiness of the descriptors of a stream.
func consoleLevel(stream uint64, set, clear uint32) {
	for w, used := range fileBits {
		for i := uint64(w) * 64; used != 0; i, used = i+1, used>>1 {
			if f := &files[i]; used&1 != 0 && f.kind == kindConsole && f.value == stream {
				setReady(i, set, clear)
			}
		}
	}
}

// consoleRoom lets writers that wait for room try again.
func consoleRoom() {
	full := consoleFull
	consoleFull = 0
	for stream := uint64(1); stream <= 2; stream++ {
		if full&(1<<stream) != 0 {
			consoleLevel(stream, epollOut, 0)
		}
	}
	for i := uint32(1); i < threadTop && writers > 0; i++ {
		if t := &threads[i]; t.state == stateWaiting && t.wait == waitWrite {
			again(i)
		}
	}
}

// consoleOutput does a thread's write to an output stream, of which done bytes are written already. It reports whether
// the call is done; if not, the thread waits for room.
func consoleOutput(t *thread, stream, done uint64, nonblock bool) bool {
	f := &t.frame
	errno := uint64(0)
	if stream == 0 {
		errno = eBADF
	}
	for want, got := uint64(0), uint64(0); got == want && errno == 0 && done < f.RDX; done += got {
		want = min(f.RDX-done, hypercall.MaxConsole)
		got, errno = consoleWrite(stream, f.RSI+done, want)
	}
	if errno == eAGAIN {
		consoleFull |= 1 << stream
		if !nonblock {
			t.done = done
			writers++
			wait(waitWrite, 0)
			return false
		}
	}
	f.RAX = done
	if done == 0 && errno != 0 {
		if errno == ePIPE {
			post(running, sigPIPE, siKernel)
		}
		f.RAX = fail(errno)
	}
	return true
}

const (
	tcgets     = 0x5401
	tiocgwinsz = 0x5413
	fionread   = 0x541b
	fionbio    = 0x5421
)

// sysIoctl answers what programs ask to find out whether a stream is a terminal.
func sysIoctl(fd, request, addr uint64) uint64 {
	f := lookup(fd)
	if f == nil {
		return fail(eBADF)
	}
	if request == fionbio {
		if !userRange(addr, 4, protRead) {
			return fail(eFAULT)
		}
		f.flags &^= fileNonblock
		if *word32(addr) != 0 {
			f.flags |= fileNonblock
		}
		return 0
	}
	if f.kind != kindConsole || boot_().Console[f.value]&hypercall.ConsoleTTY == 0 {
		return fail(eNOTTY)
	}
	switch request {
	case tcgets: // struct termios, 36 bytes: echo, canonical mode, signals
		if !userRange(addr, 36, protWrite) {
			return fail(eFAULT)
		}
		for i := range uint64(9) {
			*word32(addr + 4*i) = 0
		}
		*word32(addr), *word32(addr + 4), *word32(addr + 8), *word32(addr + 12) = 0x500, 0x5, 0xbf, 0x8a3b
		return 0
	case tiocgwinsz: // struct winsize: rows, columns, then pixels
		if !userRange(addr, 8, protWrite) {
			return fail(eFAULT)
		}
		*word32(addr), *word32(addr + 4) = 24|80<<16, 0
		return 0
	}
	return fail(eINVAL)
}
