package kvm

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kickSignal interrupts KVM_RUN. Go's runtime uses SIGURG to preempt goroutines and takes stray ones in its stride, and
// programs that use Go have to tolerate them anyway.
const kickSignal = unix.SIGURG

// Bind prepares the calling thread to run the vCPU. The caller has locked its goroutine to the thread, and Kick reaches
// it from now on, until Unbind.
func (v *VCPU) Bind() error {
	tid := unix.Gettid()
	v.tid.Store(int32(tid))
	return v.kick.open(tid)
}

// Unbind has the thread do other things again: nothing interrupts it on its own any more. The vCPU does not run again.
func (v *VCPU) Unbind() { v.kick.close() }

// Kick makes the current or the next Run return ErrInterrupted. It may be called by any goroutine at any time before
// Close.
func (v *VCPU) Kick() {
	v.requestExit()
	// An error means that the thread is not there yet, and will find the request, or is gone, and with it what was to be
	// interrupted.
	_ = unix.Tgkill(unix.Getpid(), int(v.tid.Load()), kickSignal)
}

// KickAt makes Run return ErrInterrupted at or soon after a time of CLOCK_MONOTONIC in ns; 0 means never. An earlier time that was
// asked for before may still interrupt it. Only the vCPU's thread may call it.
func (v *VCPU) KickAt(ns int64) { v.kick.at(ns) }

// KickNext is KickAt, and takes back what was arranged for an earlier time: for who puts off what most kicks are for. Others have
// to ask again.
func (v *VCPU) KickNext(ns int64) { v.kick.next(ns) }

// CancelKick takes back what KickAt has arranged: the thread does something else for a while. A kick that is on its way may still
// come. Only the vCPU's thread may call it.
func (v *VCPU) CancelKick() {
	if v.kick.armed != 0 {
		v.kick.set(0, 0)
	}
}

// KicksAt is the time of the next interruption that KickAt has arranged, 0 if there is none. It may have passed already.
func (v *VCPU) KicksAt() int64 { return v.kick.armed }

// kickTimer is a POSIX timer that signals the vCPU's thread: no other thread has to wake up for it. A signal that comes
// just before KVM_RUN begins does nothing, so the timer goes on to fire every kickAgain.
type kickTimer struct {
	id    int32
	open_ bool
	armed int64 // when it fires, CLOCK_MONOTONIC ns; 0: not armed
}

const kickAgain = int64(time.Millisecond)

type sigevent struct {
	value  uintptr
	signo  int32
	notify int32
	tid    int32
	_      [44]byte
}

func (k *kickTimer) open(tid int) error {
	const threadID = 4 // SIGEV_THREAD_ID
	e := sigevent{signo: int32(kickSignal), notify: threadID, tid: int32(tid)}
	// Safety: e and k.id are laid out as the kernel's struct sigevent (64 bytes) and timer_t, and live across the call.
	if _, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&e)), uintptr(unsafe.Pointer(&k.id))); errno != 0 {
		return fmt.Errorf("create timer: %w", errno)
	}
	runtime.KeepAlive(&e)
	k.open_ = true
	return nil
}

// at arms the timer for ns, unless it fires earlier already. Without a thread there is nothing to interrupt.
func (k *kickTimer) at(ns int64) {
	if ns == 0 || !k.open_ {
		return
	}
	ns = max(ns, 1) // guests say when: a time before the clock's beginning is as good as any in the past
	if k.armed == 0 || ns < k.armed {
		k.set(ns, kickAgain)
	}
}

// next arms the timer for ns, and not earlier.
func (k *kickTimer) next(ns int64) {
	if k.armed != 0 && k.armed < ns {
		k.armed = 0
	}
	k.at(ns)
}

// fired notes that Run was interrupted: if it was by the timer, it is stopped.
func (k *kickTimer) fired(now int64) {
	if k.armed != 0 && k.armed <= now {
		k.set(0, 0)
	}
}

func (k *kickTimer) set(ns, again int64) {
	const absolute = 1 // TIMER_ABSTIME
	spec := struct{ interval, value unix.Timespec }{unix.NsecToTimespec(again), unix.NsecToTimespec(ns)}
	// Safety: spec is laid out as struct itimerspec and lives across the call.
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(k.id), absolute, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		panic("BUG: timer_settime: " + errno.Error())
	}
	k.armed = ns
}

func (k *kickTimer) close() {
	if k.open_ {
		_, _, _ = unix.RawSyscall(unix.SYS_TIMER_DELETE, uintptr(k.id), 0, 0)
		k.open_ = false
	}
}

// Kicked notes, after Run was interrupted, what time of CLOCK_MONOTONIC it is in ns: a timer that has fired stops.
func (v *VCPU) Kicked(now int64) { v.kick.fired(now) }
