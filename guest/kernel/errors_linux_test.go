package kernel

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestErrorsAgainstLinux makes wrong and harmless calls here and in Linux, and compares what they return.
func TestErrorsAgainstLinux(t *testing.T) {
	boots(t)
	const (
		nowhere = 0x1000 // an address where nothing is mapped
		bad     = 0x7fff_0000
	)
	sides := [2]*side{ours(), linux(t)}
	const ev, ep, ep2 = 0, 1, 2
	for _, s := range sides {
		s.fd = append(s.fd, s.call(nrEventfd2, 0, oNonblock), s.call(nrEpollCreate1, 0), s.call(nrEpollCreate1, 0))
	}
	free := func() uint64 { return arena + 0x800 } // writable memory
	event := func() uint64 { return put(0, 0, 0) }
	word := func(w ...uint64) func() uint64 { return func() uint64 { return put(0, w...) } }
	type fd int
	arg := func(s *side, a any) uint64 {
		switch a := a.(type) {
		case fd:
			return s.fd[a]
		case int:
			return uint64(int64(a))
		case uint64:
			return a
		case func() uint64:
			return a()
		}
		panic("argument")
	}
	all := ^uint64(0)
	for _, c := range []struct {
		name string
		nr   uint64
		args []any
	}{
		{"close(-1)", nrClose, []any{-1}},
		{"close(far)", nrClose, []any{bad}},
		{"read(-1)", nrRead, []any{-1, free, 8}},
		{"read(eventfd, too short)", nrRead, []any{fd(ev), free, 7}},
		{"read(eventfd, empty)", nrRead, []any{fd(ev), free, 8}},
		{"read(epoll)", nrRead, []any{fd(ep), free, 8}},
		{"write(-1)", nrWrite, []any{-1, free, 8}},
		{"write(eventfd, nowhere)", nrWrite, []any{fd(ev), nowhere, 8}},
		{"write(eventfd, too short)", nrWrite, []any{fd(ev), free, 7}},
		{"write(eventfd, all ones)", nrWrite, []any{fd(ev), word(all), 8}},
		{"write(eventfd, too much)", nrWrite, []any{fd(ev), word(all - 1), 8}},
		{"write(eventfd, once more)", nrWrite, []any{fd(ev), word(1), 8}},
		{"write(eventfd, nothing)", nrWrite, []any{fd(ev), word(0), 8}},
		{"read(eventfd)", nrRead, []any{fd(ev), free, 4096}},
		{"write(epoll)", nrWrite, []any{fd(ep), free, 8}},
		{"eventfd2(flags)", nrEventfd2, []any{0, 0x10}},
		{"epoll_create(0)", nrEpollCreate, []any{0}},
		{"epoll_create1(flags)", nrEpollCreate1, []any{1}},
		{"dup(-1)", nrDup, []any{-1}},
		{"dup2(-1, 300)", nrDup2, []any{-1, 300}},
		{"dup2(fd, -1)", nrDup2, []any{fd(ev), -1}},
		{"dup3(same)", nrDup3, []any{fd(ev), fd(ev), 0}},
		{"dup3(flags)", nrDup3, []any{fd(ev), 300, 1}},
		{"dup3(-1, 300)", nrDup3, []any{-1, 300, 0}},
		{"fcntl(-1)", nrFcntl, []any{-1, 1, 0}},
		{"fcntl(command)", nrFcntl, []any{fd(ev), 77, 0}},
		{"fcntl(F_DUPFD, far)", nrFcntl, []any{fd(ev), 0, 1 << 30}},
		{"fcntl(F_GETFL)", nrFcntl, []any{fd(ev), 3, 0}},
		{"fcntl(F_GETFL) of an epoll", nrFcntl, []any{fd(ep), 3, 0}},
		{"fcntl(F_GETFD)", nrFcntl, []any{fd(ev), 1, 0}},
		{"fcntl(F_SETFD)", nrFcntl, []any{fd(ev), 2, 1}},
		{"fcntl(F_GETFD) again", nrFcntl, []any{fd(ev), 1, 0}},
		{"ioctl(-1)", nrIoctl, []any{-1, tcgets, free}},
		{"ioctl(eventfd, TCGETS)", nrIoctl, []any{fd(ev), tcgets, free}},
		{"ioctl(eventfd, FIONBIO, nowhere)", nrIoctl, []any{fd(ev), fionbio, nowhere}},

		{"epoll_ctl(nowhere)", nrEpollCtl, []any{fd(ep), 1, fd(ev), nowhere}},
		{"epoll_ctl(-1)", nrEpollCtl, []any{-1, 1, fd(ev), event}},
		{"epoll_ctl of no epoll", nrEpollCtl, []any{fd(ev), 1, fd(ep), event}},
		{"epoll_ctl of itself", nrEpollCtl, []any{fd(ep), 1, fd(ep), event}},
		{"epoll_ctl(what)", nrEpollCtl, []any{fd(ep), 9, fd(ev), event}},
		{"epoll_ctl(add -1)", nrEpollCtl, []any{fd(ep), 1, -1, event}},
		{"epoll_ctl(del absent)", nrEpollCtl, []any{fd(ep), 2, fd(ev), 0}},
		{"epoll_ctl(mod absent)", nrEpollCtl, []any{fd(ep), 3, fd(ev), event}},
		{"epoll_ctl(add)", nrEpollCtl, []any{fd(ep), 1, fd(ev), event}},
		{"epoll_ctl(add twice)", nrEpollCtl, []any{fd(ep), 1, fd(ev), event}},
		{"epoll_ctl(nest)", nrEpollCtl, []any{fd(ep), 1, fd(ep2), event}},
		{"epoll_ctl(loop)", nrEpollCtl, []any{fd(ep2), 1, fd(ep), event}},
		{"epoll_wait(-1)", nrEpollWait, []any{-1, free, 1, 0}},
		{"epoll_wait of no epoll", nrEpollWait, []any{fd(ev), free, 1, 0}},
		{"epoll_wait(0 events)", nrEpollWait, []any{fd(ep), free, 0, 0}},
		{"epoll_wait(-1 events)", nrEpollWait, []any{fd(ep), free, -1, 0}},
		{"epoll_wait(too many)", nrEpollWait, []any{fd(ep), free, 1 << 30, 0}},
		{"epoll_pwait2(bad time)", nrEpollPwait2, []any{fd(ep), free, 1, word(0, 1_000_000_000), 0, 8}},

		{"rt_sigaction(0)", nrRtSigaction, []any{0, 0, 0, 8}},
		{"rt_sigaction(65)", nrRtSigaction, []any{65, 0, 0, 8}},
		{"rt_sigaction(SIGKILL)", nrRtSigaction, []any{9, word(0, 0, 0, 0), 0, 8}},
		{"rt_sigaction(query SIGKILL)", nrRtSigaction, []any{9, 0, free, 8}},
		{"rt_sigaction(size)", nrRtSigaction, []any{10, 0, 0, 4}},
		{"rt_sigaction(nowhere)", nrRtSigaction, []any{10, nowhere, 0, 8}},
		{"rt_sigaction(to nowhere)", nrRtSigaction, []any{10, 0, nowhere, 8}},
		{"rt_sigprocmask(how)", nrRtSigprocmask, []any{3, word(0), 0, 8}},
		{"rt_sigprocmask(size)", nrRtSigprocmask, []any{0, word(0), 0, 4}},
		{"rt_sigprocmask(nowhere)", nrRtSigprocmask, []any{0, nowhere, 0, 8}},
		{"rt_sigprocmask(to nowhere)", nrRtSigprocmask, []any{0, 0, nowhere, 8}},
		{"rt_sigpending(nowhere)", nrRtSigpending, []any{nowhere, 8}},
		{"rt_sigpending(size)", nrRtSigpending, []any{free, 16}},
		{"sigaltstack(nowhere)", nrSigaltstack, []any{nowhere, 0}},
		{"sigaltstack(to nowhere)", nrSigaltstack, []any{0, nowhere}},
		{"tgkill(absent)", nrTgkill, []any{unix.Getpid(), 1 << 30, 0}},
		{"tgkill(-1)", nrTgkill, []any{1, -1, 0}},
		{"tkill(absent)", nrTkill, []any{1 << 30, 0}},
		{"tkill(0)", nrTkill, []any{0, 0}},
		{"kill(absent)", nrKill, []any{1 << 30, 0}},

		{"clock_gettime(clock)", nrClockGettime, []any{50, free}},
		{"clock_gettime(nowhere)", nrClockGettime, []any{1, nowhere}},
		{"clock_getres(clock)", nrClockGetres, []any{50, 0}},
		{"clock_getres(none)", nrClockGetres, []any{1, 0}},
		{"clock_getres(nowhere)", nrClockGetres, []any{1, nowhere}},
		{"gettimeofday(nowhere)", nrGettimeofday, []any{nowhere, 0}},
		{"gettimeofday(none)", nrGettimeofday, []any{0, 0}},
		{"nanosleep(nowhere)", nrNanosleep, []any{nowhere, 0}},
		{"nanosleep(negative)", nrNanosleep, []any{word(all, 0), 0}},
		{"nanosleep(too many ns)", nrNanosleep, []any{word(0, 1_000_000_000), 0}},
		{"nanosleep(negative ns)", nrNanosleep, []any{word(0, all), 0}},
		{"clock_nanosleep(clock)", nrClockNanosleep, []any{50, 0, word(0, 0), 0}},
		{"clock_nanosleep(thread's clock)", nrClockNanosleep, []any{3, 0, word(0, 0), 0}},
		{"clock_nanosleep(negative)", nrClockNanosleep, []any{1, 1, word(all, 0), 0}},
		{"setitimer(which)", nrSetitimer, []any{3, word(0, 0, 0, 0), 0}},
		{"setitimer(nowhere)", nrSetitimer, []any{1, nowhere, 0}},
		{"setitimer(to nowhere)", nrSetitimer, []any{1, word(0, 0, 0, 0), nowhere}},
		{"setitimer(µs)", nrSetitimer, []any{1, word(0, 0, 0, 1_000_000), 0}},
		{"setitimer(negative)", nrSetitimer, []any{1, word(0, 0, all, 0), 0}},
		{"getitimer(which)", nrGetitimer, []any{3, free}},
		{"getitimer(nowhere)", nrGetitimer, []any{1, nowhere}},
		{"times(nowhere)", nrTimes, []any{nowhere}},
		{"getrusage(nowhere)", nrGetrusage, []any{0, nowhere}},
		{"getrusage(who)", nrGetrusage, []any{7, free}},
		{"sysinfo(nowhere)", nrSysinfo, []any{nowhere}},
		{"prlimit64(absent)", nrPrlimit64, []any{1 << 30, 7, 0, 0}},
		{"prlimit64(what)", nrPrlimit64, []any{0, 16, 0, 0}},
		{"prlimit64(nowhere)", nrPrlimit64, []any{0, 7, nowhere, 0}},
		{"prlimit64(to nowhere)", nrPrlimit64, []any{0, 7, 0, nowhere}},
		{"prlimit64(soft above hard)", nrPrlimit64, []any{0, 7, word(2, 1), 0}},
		{"getrlimit(what)", nrGetrlimit, []any{16, free}},
		{"getrlimit(nowhere)", nrGetrlimit, []any{7, nowhere}},
		{"setrlimit(nowhere)", nrSetrlimit, []any{7, nowhere}},
		{"sched_getaffinity(7)", nrSchedGetaffinity, []any{0, 7, free}},
		{"sched_getaffinity(nowhere)", nrSchedGetaffinity, []any{0, 8, nowhere}},
		{"sched_getaffinity(absent)", nrSchedGetaffinity, []any{1 << 30, 8, free}},
		{"sched_yield", nrSchedYield, nil},
		{"getrandom(nowhere)", nrGetrandom, []any{nowhere, 8, 0}},
		{"getrandom(nothing)", nrGetrandom, []any{free, 0, 0}},
		{"getrandom(flags)", nrGetrandom, []any{free, 8, 0x80}},
		{"getrandom(short)", nrGetrandom, []any{free, 33, 0}},
		{"arch_prctl(what)", nrArchPrctl, []any{0x9999, 0}},
		{"arch_prctl(ARCH_GET_FS, nowhere)", nrArchPrctl, []any{0x1003, nowhere}},
		{"arch_prctl(ARCH_SET_FS, kernel)", nrArchPrctl, []any{0x1002, uint64(1 << 63)}},
		{"prctl(what)", nrPrctl, []any{9999}},

		{"futex(operation)", nrFutex, []any{free, 99, 0}},
		{"futex(wait, odd)", nrFutex, []any{func() uint64 { return arena + 1 }, 128, 0, 0}},
		{"futex(wait, nowhere)", nrFutex, []any{nowhere, 128, 0, 0}},
		{"futex(wait, other value)", nrFutex, []any{word(1), 128, 0, 0}},
		{"futex(wait, negative time)", nrFutex, []any{word(0), 128, 0, func() uint64 { return put(64, all, 0) }}},
		{"futex(wait, bad time)", nrFutex, []any{word(0), 128, 0, func() uint64 { return put(64, 0, 1_000_000_000) }}},
		{"futex(wait, bad time and value)", nrFutex, []any{word(5), 128, 0, func() uint64 { return put(64, 0, 1_000_000_000) }}},
		{"futex(wait, time nowhere)", nrFutex, []any{word(0), 128, 0, nowhere}},
		{"futex(wait, no time)", nrFutex, []any{word(0), 128, 0, func() uint64 { return put(64, 0, 0) }}},
		{"futex(wait, past)", nrFutex, []any{word(0), 128 | 9, 0, func() uint64 { return put(64, 0, 1) }, 0, 0xffffffff}},
		{"futex(wait, no bits)", nrFutex, []any{word(0), 128 | 9, 0, 0, 0, 0}},
		{"futex(wake)", nrFutex, []any{free, 129, 1}},
		{"futex(wake, odd)", nrFutex, []any{func() uint64 { return arena + 1 }, 129, 1}},
		{"futex(wake, no bits)", nrFutex, []any{free, 128 | 10, 1, 0, 0, 0}},

		{"mmap(0 bytes)", nrMmap, []any{0, 0, 3, 0x22, -1, 0}},
		{"mmap(fixed, odd)", nrMmap, []any{func() uint64 { return arena + 1 }, 4096, 3, 0x32, -1, 0}},
		{"mmap(neither shared nor private)", nrMmap, []any{0, 4096, 3, 0x20, -1, 0}},
		{"mmap(too long)", nrMmap, []any{0, uint64(1 << 62), 3, 0x22, -1, 0}},
		{"mmap(overflow)", nrMmap, []any{0, all, 3, 0x22, -1, 0}},
		{"mmap(no replace)", nrMmap, []any{func() uint64 { return arena }, 4096, 3, 0x100022, -1, 0}},
		{"mmap(fixed at the end)", nrMmap, []any{uint64(1<<63 - 4096), 4096, 3, 0x32, -1, 0}},
		{"munmap(odd)", nrMunmap, []any{func() uint64 { return arena + 1 }, 4096}},
		{"munmap(0 bytes)", nrMunmap, []any{func() uint64 { return arena }, 0}},
		{"munmap(overflow)", nrMunmap, []any{func() uint64 { return arena }, all}},
		{"mprotect(odd)", nrMprotect, []any{func() uint64 { return arena + 1 }, 4096, 3}},
		{"mprotect(0 bytes)", nrMprotect, []any{func() uint64 { return arena }, 0, 3}},
		{"mprotect(nowhere)", nrMprotect, []any{nowhere, 4096, 3}},
		{"mprotect(overflow)", nrMprotect, []any{func() uint64 { return arena }, all - 4095, 3}},
		{"mprotect(bits)", nrMprotect, []any{func() uint64 { return arena }, 4096, 0x70}},
		{"madvise(odd)", nrMadvise, []any{func() uint64 { return arena + 1 }, 4096, madvDontNeed}},
		{"madvise(nowhere)", nrMadvise, []any{nowhere, 4096, madvDontNeed}},
		{"madvise(0 bytes)", nrMadvise, []any{func() uint64 { return arena }, 0, madvDontNeed}},
		{"madvise(advice)", nrMadvise, []any{func() uint64 { return arena }, 4096, 999}},
		{"madvise(free)", nrMadvise, []any{func() uint64 { return arena + 0x8000 }, 4096, madvFree}},
		{"madvise(random)", nrMadvise, []any{func() uint64 { return arena + 0x8000 }, 4096, 1}},
		{"madvise(random, nowhere)", nrMadvise, []any{nowhere, 4096, 1}},
		{"madvise(free, nowhere)", nrMadvise, []any{nowhere, 4096, madvFree}},
		{"madvise(populate, nowhere)", nrMadvise, []any{nowhere, 4096, madvPopulateRead}},
		{"no such call", 1000, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var results [2]string
			for i, s := range sides {
				var a []uint64
				for _, x := range c.args {
					a = append(a, arg(s, x))
				}
				r := s.call(c.nr, a...)
				results[i] = fmt.Sprint(int64(r))
				if e := errno(r); e != 0 {
					results[i] = unix.ErrnoName(unix.Errno(e))
				} else if c.nr == nrEventfd2 || c.nr == nrEpollCreate || c.nr == nrEpollCreate1 {
					results[i] = "a descriptor"
					s.call(nrClose, r)
				}
			}
			if results[0] != results[1] {
				t.Errorf("%s, Linux has %s", results[0], results[1])
			}
		})
	}
}
