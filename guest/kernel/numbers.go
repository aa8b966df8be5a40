package kernel

// System call numbers of Linux on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl): those the core serves.
const (
	nrRead             = 0
	nrWrite            = 1
	nrOpen             = 2
	nrClose            = 3
	nrMmap             = 9
	nrMprotect         = 10
	nrMunmap           = 11
	nrBrk              = 12
	nrRtSigaction      = 13
	nrRtSigprocmask    = 14
	nrRtSigreturn      = 15
	nrIoctl            = 16
	nrSchedYield       = 24
	nrMadvise          = 28
	nrDup              = 32
	nrDup2             = 33
	nrNanosleep        = 35
	nrGetitimer        = 36
	nrSetitimer        = 38
	nrGetpid           = 39
	nrClone            = 56
	nrFork             = 57
	nrVfork            = 58
	nrExecve           = 59
	nrExit             = 60
	nrKill             = 62
	nrFcntl            = 72
	nrUmask            = 95
	nrGettimeofday     = 96
	nrGetrlimit        = 97
	nrGetrusage        = 98
	nrSysinfo          = 99
	nrTimes            = 100
	nrGetuid           = 102
	nrGetgid           = 104
	nrGeteuid          = 107
	nrGetegid          = 108
	nrGetppid          = 110
	nrGetpgrp          = 111
	nrGetresuid        = 118
	nrGetresgid        = 120
	nrRtSigpending     = 127
	nrSigaltstack      = 131
	nrPrctl            = 157
	nrArchPrctl        = 158
	nrSetrlimit        = 160
	nrSync             = 162
	nrGettid           = 186
	nrTkill            = 200
	nrFutex            = 202
	nrSchedSetaffinity = 203
	nrSchedGetaffinity = 204
	nrEpollCreate      = 213
	nrClockGettime     = 228
	nrClockGetres      = 229
	nrClockNanosleep   = 230
	nrExitGroup        = 231
	nrEpollWait        = 232
	nrEpollCtl         = 233
	nrTgkill           = 234
	nrOpenat           = 257
	nrFaccessat        = 269
	nrEpollPwait       = 281
	nrEventfd2         = 290
	nrEpollCreate1     = 291
	nrDup3             = 292
	nrPrlimit64        = 302
	nrGetrandom        = 318
	nrEpollPwait2      = 441
)

// The kernel's own calls, which package posix and the drivers make through upper.go.
const (
	nrAttach = 0x1000 + iota
	nrAttachAt
	nrDetach
	nrSetReady
	nrKind
	nrOpenDevice
	nrSetFlags
	nrKick
	nrOpenAlarm
	nrSetAlarm

	nrUpperEnd
)
