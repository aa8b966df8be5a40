package kernel

import "ukvm.dev/hypercall"

// dispatch is where the gate enters Go: the running thread has made a system call. It returns the thread to resume.
func dispatch(t *thread) *thread {
	control().Log.Gates++
	t.how = resumeCall
	t.call = t.frame.RAX
	if !serve(t) {
		schedule()
	}
	return leave()
}

// serve does a thread's system call. It reports whether the call is done; if not, the thread no longer runs.
func serve(t *thread) bool {
	f := &t.frame
	switch f.RAX {
	case nrFutex:
		return sysFutex(t)
	case nrEpollPwait, nrEpollWait, nrEpollPwait2:
		return sysEpollWait(t)
	case nrRead:
		return sysRead(t)
	case nrWrite:
		return sysWrite(t)
	case nrNanosleep:
		return sysNanosleep(t, clockMonotonic_, 0, f.RDI)
	case nrClockNanosleep:
		return sysNanosleep(t, f.RDI, f.RSI, f.RDX)
	case nrSchedYield:
		f.RAX = 0
		if queueHead == 0 {
			return true
		}
		ready(running)
		return false
	case nrExit:
		return sysExit(t)
	case nrExitGroup:
		halt(f.RDI&0xff, 0)
	case nrRtSigreturn:
		sysRtSigreturn(t)
		return true
	}
	f.RAX = simple(t, f)
	return true
}

// simple does the system calls that never wait and returns their result.
func simple(t *thread, f *hypercall.Frame) uint64 {
	switch f.RAX {
	case nrClose:
		return sysClose(f.RDI)
	case nrMmap:
		return sysMmap(t)
	case nrMprotect:
		return sysMprotect(f.RDI, f.RSI, f.RDX)
	case nrMunmap:
		return sysMunmap(f.RDI, f.RSI)
	case nrMadvise:
		return sysMadvise(f.RDI, f.RSI, f.RDX)
	case nrBrk:
		return 0 // there is no heap below the break: brk never moves
	case nrRtSigaction:
		return sysRtSigaction(f.RDI, f.RSI, f.RDX, f.R10)
	case nrRtSigprocmask:
		return sysRtSigprocmask(t, f.RDI, f.RSI, f.RDX, f.R10)
	case nrRtSigpending:
		return sysRtSigpending(t, f.RDI, f.RSI)
	case nrSigaltstack:
		return sysSigaltstack(t, f.RDI, f.RSI)
	case nrTgkill:
		if f.RDI != processID {
			return fail(eSRCH)
		}
		return sysTgkill(f.RSI, f.RDX)
	case nrTkill:
		return sysTgkill(f.RDI, f.RSI)
	case nrKill:
		return sysKill(f.RDI, f.RSI)
	case nrSetitimer:
		return sysSetitimer(f.RDI, f.RSI, f.RDX)
	case nrGetitimer:
		return sysGetitimer(f.RDI, f.RSI)
	case nrClone:
		return sysClone(t)
	case nrArchPrctl:
		return sysArchPrctl(t)
	case nrGettid:
		return uint64(t.tid)
	case nrGetpid, nrGetpgrp:
		return processID
	case nrGetppid, nrGetuid, nrGeteuid, nrGetgid, nrGetegid, nrSync:
		return 0
	case nrGetresuid, nrGetresgid:
		return sysGetres(f.RDI, f.RSI, f.RDX)
	case nrUmask:
		was := FileMask
		FileMask = uint32(f.RDI & 0o777)
		return uint64(was)
	case nrClockGettime:
		return sysClockGettime(f.RDI, f.RSI)
	case nrClockGetres:
		return sysClockGetres(f.RDI, f.RSI)
	case nrGettimeofday:
		return sysGettimeofday(f.RDI)
	case nrGetrandom:
		return sysGetrandom(f.RDI, f.RSI, f.RDX)
	case nrSchedGetaffinity:
		return sysSchedGetaffinity(f.RDI, f.RSI, f.RDX)
	case nrSchedSetaffinity:
		return 0
	case nrPrlimit64:
		return sysPrlimit(f.RDI, f.RSI, f.RDX, f.R10)
	case nrGetrlimit:
		return sysPrlimit(0, f.RDI, 0, f.RSI)
	case nrSetrlimit:
		return sysPrlimit(0, f.RDI, f.RSI, 0)
	case nrGetrusage:
		return sysGetrusage(f.RDI, f.RSI)
	case nrSysinfo:
		return sysSysinfo(f.RDI)
	case nrTimes:
		return sysTimes(f.RDI)
	case nrPrctl:
		return fail(eINVAL)
	case nrOpen, nrOpenat, nrFaccessat:
		return fail(eNOENT) // from the runtime; a program's own come to package posix
	case nrFork, nrVfork, nrExecve:
		return fail(eNOSYS)
	case nrEpollCreate:
		if int32(f.RDI) <= 0 {
			return fail(eINVAL)
		}
		return sysEpollCreate(0)
	case nrEpollCreate1:
		return sysEpollCreate(f.RDI)
	case nrEpollCtl:
		return sysEpollCtl(f.RDI, f.RSI, f.RDX, f.R10)
	case nrEventfd2:
		return sysEventfd(f.RDI, f.RSI)
	case nrDup:
		return sysDup(f.RDI, 0, 0)
	case nrDup2:
		return sysDup2(f.RDI, f.RSI, 0)
	case nrDup3:
		return sysDup3(f.RDI, f.RSI, f.RDX)
	case nrFcntl:
		return sysFcntl(f.RDI, f.RSI, f.RDX)
	case nrIoctl:
		return sysIoctl(f.RDI, f.RSI, f.RDX)
	}
	if f.RAX >= nrAttach && f.RAX < nrUpperEnd {
		return upper(f)
	}
	if n := f.RAX; n < hypercall.UnservedMax {
		control().Log.Unserved[n]++
	}
	return fail(eNOSYS)
}
