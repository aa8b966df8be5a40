package kernel

import "ukvm.dev/hypercall"

// The console: standard input, output and error, which are descriptors 0 to 2 at the start.

func initConsole() {
	for fd := range uint64(3) {
		fileBits[0] |= 1 << fd
		files[fd] = file{kind: kindConsole, value: fd}
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
	case got == 0 && !end:
		consoleLevel(0)
		return fail(eAGAIN)
	}
	return got
}

// consoleReady is called when the monitor has input, or its end.
func consoleReady() { consoleLevel(epollIn) }

func consoleLevel(set uint32) {
	for fd := range uint64(3) {
		if files[fd].kind == kindConsole && files[fd].value == 0 {
			setReady(fd, set, epollIn&^set)
		}
	}
}

func consoleOutput(stream, addr, n uint64) uint64 {
	if stream == 0 {
		return fail(eBADF)
	}
	done := uint64(0)
	for done < n {
		want := min(n-done, hypercall.MaxConsole)
		got, errno := consoleWrite(stream, addr+done, want)
		done += got
		if got < want {
			if done > 0 {
				break
			}
			if errno == ePIPE {
				post(running, sigPIPE, siKernel)
			}
			return fail(errno)
		}
	}
	return done
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
