package kernel

import "ukvm.dev/hypercall"

// Exception vectors (AMD APM vol. 2 §8.2, Intel SDM vol. 3 §7.15).
const (
	vectorDivide     = 0
	vectorDebug      = 1
	vectorBreakpoint = 3
	vectorOverflow   = 4
	vectorBound      = 5
	vectorInvalid    = 6
	vectorProtection = 13
	vectorPage       = 14
	vectorFloat      = 16
	vectorAlignment  = 17
	vectorSIMD       = 19
)

// si_code values of synchronous signals.
const (
	fpeIntDiv  = 1
	fpeFltInv  = 7
	illIllOpn  = 2
	segvMapErr = 1
	segvAccErr = 2
	busAdrAln  = 1
	trapTrace  = 2
)

// upcall is where the monitor enters Go: the running thread was interrupted, its vector registers are saved, and
// Control has the rest. It returns the thread to resume.
func upcall() *thread {
	c := control()
	c.Log.Upcalls++
	t := &threads[running]
	t.frame = c.Frame
	t.how = resumeVector
	t.xsave = xsaveArea

	if c.Vector != hypercall.NoException {
		if !exception(t, c) {
			schedule()
		}
		return leave() // where what is pending beside it is done
	}
	c.Pending = 0
	takeSignals()
	takeReady(0)
	n := now()
	profile(n)
	realTime(n)
	expire(n)
	collectDevices()
	if queueHead != 0 {
		ready(running)
		schedule()
	}
	return leave()
}

// xsaveArea is where Upcall saves vector state: that of the running thread at its present depth.
var xsaveArea uint64

// exception turns a fault of the running thread into a signal, or into the system call it was meant to be. It reports
// whether the thread still runs.
func exception(t *thread, c *hypercall.Control) bool {
	f := &t.frame
	switch c.Vector {
	case vectorDivide:
		raise(sigFPE, fpeIntDiv, f.RIP)
	case vectorDebug:
		raise(sigTRAP, trapTrace, f.RIP)
	case vectorBreakpoint:
		raise(sigTRAP, siKernel, 0)
	case vectorInvalid, vectorProtection:
		if userRange(f.RIP, 2, protExec) {
			switch op := uint16(*byteAt(f.RIP)) | uint16(*byteAt(f.RIP + 1))<<8; op {
			case 0x050f: // SYSCALL, in assembly that was not built for the gate
				f.RIP += 2
				f.RCX, f.R11 = f.RIP, f.RFLAGS
				t.call = f.RAX
				return serve(t)
			case 0x03cd: // INT $3 as Go's assembler encodes it
				f.RIP += 2
				c.Vector, c.Error = vectorBreakpoint, 0
				raise(sigTRAP, siKernel, 0)
				return true
			}
		}
		if c.Vector == vectorInvalid {
			raise(sigILL, illIllOpn, f.RIP)
		} else {
			raise(sigSEGV, siKernel, 0)
		}
	case vectorPage:
		code := uint32(segvMapErr)
		if userRange(c.Address, 1, protNone) {
			code = segvAccErr
		}
		raise(sigSEGV, code, c.Address)
	case vectorFloat, vectorSIMD:
		raise(sigFPE, fpeFltInv, f.RIP)
	case vectorAlignment:
		raise(sigBUS, busAdrAln, 0)
	default:
		raise(sigSEGV, siKernel, 0)
	}
	return true
}
