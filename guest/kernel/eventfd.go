package kernel

// eventfd(2): a counter one can wait for. The runtime wakes its poller with one.

const eventfdMax = ^uint64(0) - 1

func sysEventfd(initial, flags uint64) uint64 {
	const semaphore = 1
	if flags&^(semaphore|oNonblock|oCloexec) != 0 {
		return fail(eINVAL)
	}
	fd, errno := openFile(0, kindEventfd, flags, initial&0xffffffff)
	if errno != 0 {
		return fail(errno)
	}
	f := &files[fd]
	if flags&semaphore != 0 {
		f.flags |= fileSemaphore
	}
	eventfdReady(f, fd, 0)
	return fd
}

// eventfdReady brings the readiness of an eventfd up to date, and raises the event that a read or a write is: as in
// Linux even if that changes nothing, such as adding 0.
func eventfdReady(f *file, fd uint64, event uint32) {
	holds := uint32(0)
	if f.value != 0 {
		holds |= epollIn
	}
	if f.value != eventfdMax {
		holds |= epollOut
	}
	f.level = levelOf(holds)
	raiseEvents(fd, event)
}

func eventfdRead(f *file, fd, addr, n uint64) uint64 {
	if n < 8 {
		return fail(eINVAL)
	}
	if f.value == 0 {
		return fail(eAGAIN)
	}
	v := f.value
	if f.flags&fileSemaphore != 0 {
		v = 1
	}
	*word(addr) = v
	eventfdSet(fd, f.value-v, epollOut)
	return 8
}

// eventfdWrite adds to the counter. A sum that does not fit is EAGAIN even on a blocking descriptor.
func eventfdWrite(f *file, fd, addr, n uint64) uint64 {
	if n < 8 {
		return fail(eINVAL)
	}
	v := *word(addr)
	if v == ^uint64(0) {
		return fail(eINVAL)
	}
	if f.value+v < v || f.value+v > eventfdMax {
		return fail(eAGAIN)
	}
	eventfdSet(fd, f.value+v, epollIn)
	return 8
}

// eventfdSet changes the counter, which an eventfd and its duplicates share.
func eventfdSet(fd, value uint64, event uint32) {
	for i := fd; ; {
		f := &files[i]
		f.value = value
		eventfdReady(f, i, event)
		if f.twin == 0 || uint64(f.twin-1) == fd {
			return
		}
		i = uint64(f.twin - 1)
	}
}

// eventfdJoin puts a new duplicate into the ring of an eventfd.
func eventfdJoin(fd, dup uint64) {
	f := &files[fd]
	if f.twin == 0 {
		f.twin = uint32(fd) + 1
	}
	files[dup].twin = f.twin
	f.twin = uint32(dup) + 1
}

// eventfdForget takes an eventfd out of its ring.
func eventfdForget(fd uint64) {
	before := fd
	for uint64(files[before].twin-1) != fd {
		before = uint64(files[before].twin - 1)
	}
	files[before].twin = files[fd].twin
	if uint64(files[before].twin-1) == before {
		files[before].twin = 0 // alone again
	}
}
