package kernel

// The alarm is one more sleeper, the network stack's, and no thread: a descriptor that becomes readable when its time has come
// (as with timerfd_create(2)). A timer of Go's does the same, but one that was stopped or moved back still wakes an idle
// guest at its first time, since the runtime looks at it only then; and TCP moves most of its timers back.

var (
	alarmTime uint64 // monotonic ns; 0: off
	alarmFile uint32 // its descriptor number plus one; 0: none
)

// sysOpenAlarm makes the descriptor. There is one.
func sysOpenAlarm() uint64 {
	if alarmFile != 0 && files[alarmFile-1].kind == kindAlarm {
		return fail(eEXIST)
	}
	fd, errno := openFile(3, kindAlarm, oNonblock|oCloexec, 0)
	if errno != 0 {
		return fail(errno)
	}
	alarmFile, alarmTime = uint32(fd)+1, 0
	return fd
}

// sysSetAlarm sets the time to d ns from now.
func sysSetAlarm(d uint64) uint64 {
	if alarmFile == 0 || files[alarmFile-1].kind != kindAlarm {
		alarmTime = 0
		return fail(eBADF) // it was closed
	}
	setReady(uint64(alarmFile-1), 0, epollIn)
	n := now()
	alarmTime = n + min(d, alarmFar)
	expireAlarm(n)
	return 0
}

// alarmFar is the longest time an alarm can be away, in ns.
const alarmFar = 1 << 62

// expireAlarm goes off if it is time.
func expireAlarm(n uint64) {
	if alarmTime == 0 || alarmTime > n {
		return
	}
	alarmTime = 0
	if files[alarmFile-1].kind == kindAlarm {
		setReady(uint64(alarmFile-1), epollIn, 0)
	}
}

// firstDue is when the first sleeper or the alarm is due, 0 for never.
func firstDue() uint64 {
	d := alarmTime
	if sleepers > 0 {
		if first := threads[sleepHeap[0]].until; d == 0 || first < d {
			d = first
		}
	}
	return d
}
