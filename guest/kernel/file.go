package kernel

// Descriptor numbers. The core serves the console, eventfds, epolls, devices and the alarm itself; objects of package posix only
// have their number, their readiness and their place in epolls here.

type file struct {
	kind     uint8
	flags    uint8  // fileNonblock, fileCloexec
	level    uint16 // readiness: event bits that hold now; EPOLLRDHUP is levelRdHup
	interest uint32 // first of the epoll interests in it
	value    uint64 // console: the stream; eventfd: the counter; epoll and device: which
	twin     uint32 // duplicates of an eventfd form a ring: number of the next one, plus one; 0: there are none
}

// File kinds; Kind returns them.
const (
	kindNone = iota
	kindConsole
	kindEventfd
	kindEpoll
	kindDevice
	kindObject
	kindAlarm
)

const (
	fileNonblock  = 1 << iota
	fileCloexec   // kept for fcntl; there is no exec
	fileSemaphore // EFD_SEMAPHORE
)

// Open flags as fcntl and the *2 calls have them.
const (
	oNonblock = 0x800
	oCloexec  = 0x80000
	oRdwr     = 2
)

var (
	files     [maxFiles]file
	fileBits  [maxFiles / 64]uint64 // numbers in use
	fileFirst uint64                // no free number is in a word of fileBits below this one
)

// lookup returns an open file, or nil.
func lookup(fd uint64) *file {
	if fd >= maxFiles || files[fd].kind == kindNone {
		return nil
	}
	return &files[fd]
}

// allocate takes the lowest free number from `from` on, below the soft limit of open files.
func allocate(from uint64) (fd uint64, errno uint64) {
	limit := min(rlimits[limitFiles][0], maxFiles)
	w := max(from/64, fileFirst)
	for ; w*64 < limit; w++ {
		free := ^fileBits[w]
		if w == from/64 {
			free &^= 1<<(from%64) - 1
		}
		if free == 0 {
			if w == fileFirst && fileBits[w] == ^uint64(0) {
				fileFirst++
			}
			continue
		}
		fd = w * 64
		for free&1 == 0 {
			free >>= 1
			fd++
		}
		if fd >= limit {
			break
		}
		fileBits[w] |= 1 << (fd % 64)
		return fd, 0
	}
	return 0, eMFILE
}

// openFile makes a new descriptor.
func openFile(from uint64, kind uint8, flags, value uint64) (fd uint64, errno uint64) {
	fd, errno = allocate(from)
	if errno != 0 {
		return 0, errno
	}
	files[fd] = file{kind: kind, flags: fileFlags(flags), value: value}
	return fd, 0
}

func fileFlags(flags uint64) (f uint8) {
	if flags&oNonblock != 0 {
		f |= fileNonblock
	}
	if flags&oCloexec != 0 {
		f |= fileCloexec
	}
	return f
}

// closeFile frees a number and forgets its epoll interests.
func closeFile(fd uint64) {
	f := &files[fd]
	for f.interest != 0 {
		interestRemove(f.interest)
	}
	if f.kind == kindEpoll && !shared(fd) {
		epollFree(uint32(f.value))
	}
	if f.twin != 0 {
		eventfdForget(fd)
	}
	*f = file{}
	fileBits[fd/64] &^= 1 << (fd % 64)
	fileFirst = min(fileFirst, fd/64)
}

// shared reports whether another descriptor is a duplicate of an epoll's.
func shared(fd uint64) bool {
	for i := range uint64(maxFiles / 64) {
		if fileBits[i] == 0 {
			continue
		}
		for j := i * 64; j < i*64+64; j++ {
			if j != fd && files[j].kind == kindEpoll && files[j].value == files[fd].value {
				return true
			}
		}
	}
	return false
}

func sysClose(fd uint64) uint64 {
	if lookup(fd) == nil {
		return fail(eBADF)
	}
	closeFile(fd)
	return 0
}

func sysRead(t *thread) bool {
	f := &t.frame
	file := lookup(f.RDI)
	if file == nil {
		f.RAX = fail(eBADF)
		return true
	}
	if !userRange(f.RSI, f.RDX, protWrite) {
		f.RAX = fail(eFAULT)
		return true
	}
	switch file.kind {
	case kindConsole:
		f.RAX = consoleInput(file, f.RSI, f.RDX)
	case kindEventfd:
		f.RAX = eventfdRead(file, f.RDI, f.RSI, f.RDX)
	default:
		f.RAX = fail(eINVAL)
	}
	if f.RAX != fail(eAGAIN) || file.flags&fileNonblock != 0 {
		return true
	}
	t.key = f.RDI
	readers++
	wait(waitRead, 0)
	return false
}

func sysWrite(t *thread) bool {
	f := &t.frame
	done := t.done
	t.done = 0
	file := lookup(f.RDI)
	if file == nil {
		f.RAX = fail(eBADF)
		return true
	}
	if !userRange(f.RSI, f.RDX, protRead) {
		f.RAX = fail(eFAULT)
		return true
	}
	switch file.kind {
	case kindConsole:
		return consoleOutput(t, file.value, done, file.flags&fileNonblock != 0)
	case kindEventfd:
		f.RAX = eventfdWrite(file, f.RDI, f.RSI, f.RDX)
	case kindObject:
		// The runtime itself writes to what is a file or socket of package posix: a crash report with
		// debug.SetCrashOutput, or after dup2 onto 2. The objects cannot be reached from here, so the bytes go to the
		// guest's standard error rather than nowhere.
		return consoleOutput(t, 2, done, false)
	default:
		f.RAX = fail(eINVAL)
	}
	return true
}

// setReady changes what a descriptor is ready for and tells its epolls: about what was set, even if it was before
// (another datagram), and about readiness that level-triggered waiters may poll.
func setReady(fd uint64, set, clear uint32) {
	f := &files[fd]
	f.level = f.level&^levelOf(clear) | levelOf(set)
	if set != 0 {
		raiseEvents(fd, set)
	}
}

// raiseEvents tells those who are interested in a descriptor that something has happened to it.
func raiseEvents(fd uint64, events uint32) {
	for i := files[fd].interest; i != 0; i = interests[i].nextOfFile {
		interestRaise(i, events)
	}
	wakeReaders(fd, events)
}

// wakeReaders lets threads that wait to read a descriptor try again.
func wakeReaders(fd uint64, set uint32) {
	if set&epollIn == 0 || readers == 0 {
		return
	}
	for i := uint32(1); i < threadTop; i++ {
		if waitsFor(i, waitRead, fd) {
			again(i)
		}
	}
}

// readers is the number of threads that wait to read a descriptor.
var readers uint32

const levelRdHup = 0x400

func levelOf(events uint32) uint16 {
	l := uint16(events & 0x3ff)
	if events&epollRdHup != 0 {
		l |= levelRdHup
	}
	return l
}

func eventsOf(level uint16) uint32 {
	e := uint32(level & 0x3ff)
	if level&levelRdHup != 0 {
		e |= epollRdHup
	}
	return e
}

func sysDup(fd, from, flags uint64) uint64 {
	f := lookup(fd)
	if f == nil {
		return fail(eBADF)
	}
	if f.kind == kindObject {
		return fail(eINVAL) // package posix duplicates its own
	}
	n, errno := openFile(from, f.kind, flags, f.value)
	if errno != 0 {
		return fail(errno)
	}
	files[n].level = f.level
	files[n].flags |= f.flags &^ fileCloexec
	if f.kind == kindEventfd {
		eventfdJoin(fd, n)
	}
	return n
}

func sysDup3(fd, to, flags uint64) uint64 {
	if fd == to || flags&^oCloexec != 0 {
		return fail(eINVAL)
	}
	return sysDup2(fd, to, flags)
}

func sysDup2(fd, to, flags uint64) uint64 {
	f := lookup(fd)
	if f == nil || to >= maxFiles {
		return fail(eBADF)
	}
	if fd == to {
		return to
	}
	if f.kind == kindObject {
		return fail(eINVAL)
	}
	if lookup(to) != nil {
		closeFile(to)
	}
	fileBits[to/64] |= 1 << (to % 64)
	files[to] = file{kind: f.kind, flags: f.flags&^fileCloexec | fileFlags(flags), level: f.level, value: f.value}
	if f.kind == kindEventfd {
		eventfdJoin(fd, to)
	}
	return to
}

func sysFcntl(fd, cmd, arg uint64) uint64 {
	const (
		dupfd        = 0
		getfd        = 1
		setfd        = 2
		getfl        = 3
		setfl        = 4
		dupfdCloexec = 1030
	)
	f := lookup(fd)
	if f == nil {
		return fail(eBADF)
	}
	if (cmd == dupfd || cmd == dupfdCloexec) && arg >= min(rlimits[limitFiles][0], maxFiles) {
		return fail(eINVAL)
	}
	switch cmd {
	case dupfd:
		return sysDup(fd, arg, 0)
	case dupfdCloexec:
		return sysDup(fd, arg, oCloexec)
	case getfd:
		if f.flags&fileCloexec != 0 {
			return 1
		}
		return 0
	case setfd:
		f.flags &^= fileCloexec
		if arg&1 != 0 {
			f.flags |= fileCloexec
		}
		return 0
	case getfl:
		if f.flags&fileNonblock != 0 {
			return oRdwr | oNonblock
		}
		return oRdwr
	case setfl:
		f.flags = f.flags&^fileNonblock | fileFlags(arg)&fileNonblock
		return 0
	}
	return fail(eINVAL)
}
