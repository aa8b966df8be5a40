package kernel

import "ukvm.dev/hypercall"

// processID is the program's process id: it is the first and only process.
const processID = 1

// mainThread is the index of the thread that main starts on.
const mainThread = 1

// sysGetres is getresuid and getresgid: all three are root.
func sysGetres(real, effective, saved uint64) uint64 {
	for _, addr := range [...]uint64{real, effective, saved} {
		if !userRange(addr, 4, protWrite) {
			return fail(eFAULT)
		}
		*word32(addr) = 0
	}
	return 0
}

// sysSchedGetaffinity stores the mask of processors to run on: one.
func sysSchedGetaffinity(tid, n, addr uint64) uint64 {
	if n < 8 || n&7 != 0 {
		return fail(eINVAL)
	}
	if tid != 0 && findThread(tid) == 0 {
		return fail(eSRCH)
	}
	if !userRange(addr, 8, protWrite) {
		return fail(eFAULT)
	}
	*word(addr) = 1
	return 8
}

// Resource limits that are kept as they are set; only RLIMIT_NOFILE has an effect.
const (
	limitCPU    = 0
	limitStack  = 3
	limitFiles  = 7
	limitMax    = 16
	unlimited   = ^uint64(0)
	defaultSoft = 1024
)

var rlimits [limitMax][2]uint64

func initLimits() {
	for i := range rlimits {
		rlimits[i][0], rlimits[i][1] = unlimited, unlimited
	}
	rlimits[limitStack][0] = 8 << 20
	rlimits[limitFiles][0], rlimits[limitFiles][1] = defaultSoft, maxFiles
}

func sysPrlimit(pid, resource, new, old uint64) uint64 {
	if pid != 0 && pid != processID {
		return fail(eSRCH)
	}
	if resource >= limitMax {
		return fail(eINVAL)
	}
	if new != 0 && !userRange(new, 16, protRead) || old != 0 && !userRange(old, 16, protWrite) {
		return fail(eFAULT)
	}
	l := &rlimits[resource]
	was := *l
	if new != 0 {
		soft, hard := *word(new), *word(new + 8)
		if soft > hard {
			return fail(eINVAL)
		}
		if resource == limitFiles && hard > maxFiles {
			return fail(ePERM)
		}
		l[0], l[1] = soft, hard
	}
	if old != 0 {
		*word(old), *word(old + 8) = was[0], was[1]
	}
	return 0
}

// sysGetrusage stores processor time and resident size; the other fields of struct rusage (144 bytes) are zero. There
// are no children, and one thread's share is not known.
func sysGetrusage(who, addr uint64) uint64 {
	const children, thread = -1, 1
	if int32(who) < children || int32(who) > thread {
		return fail(eINVAL)
	}
	if !userRange(addr, 144, protWrite) {
		return fail(eFAULT)
	}
	for i := uint64(0); i < 144; i += 8 {
		*word(addr + i) = 0
	}
	if int32(who) == children {
		return 0
	}
	putTimeval(addr, busyTime(now()))
	*word(addr + 32) = control().Resident / 1024
	*word(addr + 128) = control().Log.Switches
	return 0
}

// sysTimes stores struct tms in ticks of 10 ms and returns the time since the start in such ticks.
func sysTimes(addr uint64) uint64 {
	n := now()
	if addr != 0 {
		if !userRange(addr, 32, protWrite) {
			return fail(eFAULT)
		}
		*word(addr) = busyTime(n) / 10e6
		*word(addr + 8), *word(addr + 16), *word(addr + 24) = 0, 0, 0
	}
	return n / 10e6
}

// sysSysinfo fills struct sysinfo (112 bytes): uptime, total and free memory, one process.
func sysSysinfo(addr uint64) uint64 {
	if !userRange(addr, 112, protWrite) {
		return fail(eFAULT)
	}
	for i := uint64(0); i < 112; i += 8 {
		*word(addr + i) = 0
	}
	total := boot_().Memory
	*word(addr) = now() / 1e9
	*word(addr + 32) = total
	*word(addr + 40) = total - min(total, control().Resident)
	*word32(addr + 80) = 1
	*word32(addr + 104) = 1
	return 0
}

func boot_() *hypercall.Boot { return bootInfo(bootAddr) }
