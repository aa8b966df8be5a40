package kernel

import "ukvm.dev/hypercall"

// What package posix and the drivers call. Each function is a call through the gate, so it is safe on any goroutine;
// none waits. Failures are negative Linux error numbers.

// Attach gives an object of package posix the lowest free descriptor number from min on. flags are O_NONBLOCK and
// O_CLOEXEC, and Plain.
func Attach(min int, flags uint) int {
	return int(enter(nrAttach, uint64(min), uint64(flags), 0))
}

// AttachAt gives an object of package posix the descriptor number fd, which is closed first if it is open (dup2). The
// caller has forgotten its own object of that number.
func AttachAt(fd int, flags uint) int {
	return int(enter(nrAttachAt, uint64(fd), uint64(flags), 0))
}

// Detach frees the descriptor number of an object of package posix and ends its epoll interests.
func Detach(fd int) int { return int(enter(nrDetach, uint64(fd), 0, 0)) }

// Plain is a flag of Attach for objects that epoll refuses because they are always ready: files and directories.
const Plain = 1 << 30

// SetReady raises and clears event bits (poll(2)) of a descriptor. What is raised is reported to epolls even if it held
// before. The descriptor is an object's.
func SetReady(fd int, set, clear uint32) { enter(nrSetReady, uint64(fd), uint64(set), uint64(clear)) }

// SetFlags sets O_NONBLOCK and O_CLOEXEC of an object's descriptor.
func SetFlags(fd int, flags uint) int { return int(enter(nrSetFlags, uint64(fd), uint64(flags), 0)) }

// Kinds of descriptors, as KindOf returns them.
const (
	KindNone    = kindNone
	KindConsole = kindConsole
	KindEventfd = kindEventfd
	KindEpoll   = kindEpoll
	KindDevice  = kindDevice
	KindObject  = kindObject
)

// KindOf returns what a descriptor is and, for KindConsole, which stream (0 to 2).
func KindOf(fd int) (kind, value int) {
	r := enter(nrKind, uint64(fd), 0, 0)
	return int(r & 0xff), int(r >> 8)
}

// OpenDevice makes a non-blocking descriptor for device index of Boot, which polls readable while one of the device's
// queues has a Used.Index other than its Avail.Event.
func OpenDevice(index int) int { return int(enter(nrOpenDevice, uint64(index), 0, 0)) }

// OpenAlarm makes a non-blocking descriptor, of which there can be one, that polls readable when the time that SetAlarm has set
// has come.
func OpenAlarm() int { return int(enter(nrOpenAlarm, 0, 0, 0)) }

// SetAlarm sets that time, to ns from now. It replaces an earlier one, and the descriptor is no longer readable. If another thread
// is busy for long it is up to 10 ms late. It fails when the descriptor was closed.
func SetAlarm(ns uint64) int { return int(enter(nrSetAlarm, ns, 0, 0)) }

// Kick has the monitor serve all rings now: for a driver whose queue is full.
func Kick() { enter(nrKick, 0, 0, 0) }

const objectPlain = 1

// upper serves those calls.
func upper(f *hypercall.Frame) uint64 {
	fd := f.RDI
	if f.RAX == nrAttach {
		fd, errno := openFile(fd, kindObject, f.RSI, plainValue(f.RSI))
		if errno != 0 {
			return fail(errno)
		}
		return fd
	}
	if f.RAX == nrOpenDevice {
		return sysOpenDevice(fd)
	}
	if f.RAX == nrOpenAlarm {
		return sysOpenAlarm()
	}
	if f.RAX == nrSetAlarm {
		return sysSetAlarm(fd)
	}
	if f.RAX == nrKick {
		call(hypercall.CallKick)
		return 0
	}
	if f.RAX == nrAttachAt {
		if fd >= min(maxFiles, rlimits[limitFiles][0]) {
			return fail(eBADF)
		}
		if lookup(fd) != nil {
			closeFile(fd)
		}
		fileBits[fd/64] |= 1 << (fd % 64)
		files[fd] = file{kind: kindObject, flags: fileFlags(f.RSI), value: plainValue(f.RSI)}
		return fd
	}
	file := lookup(fd)
	if f.RAX == nrKind {
		switch {
		case file == nil:
			return kindNone
		case file.kind == kindConsole:
			return kindConsole | file.value<<8
		}
		return uint64(file.kind)
	}
	if file == nil || file.kind != kindObject {
		return fail(eBADF)
	}
	switch f.RAX {
	case nrDetach:
		closeFile(fd)
	case nrSetReady:
		setReady(fd, uint32(f.RSI), uint32(f.RDX))
	case nrSetFlags:
		file.flags = fileFlags(f.RSI)
	}
	return 0
}

func plainValue(flags uint64) uint64 {
	if flags&Plain != 0 {
		return objectPlain
	}
	return 0
}
