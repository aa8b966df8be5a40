package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// entries are the addresses Start finds for CallStart: assembly has no other way to name them to Go.
var entries entryPoints

type entryPoints struct{ upcall, stack, gate, tail uintptr }

// boot is the first Go code of a guest. Start has switched to the kernel's stack; upcalls are masked. When it returns,
// Go's runtime starts on the first thread as on any Linux.
func boot() {
	b := boot_()
	if b.Magic != hypercall.BootMagic || b.Version != hypercall.Version {
		halt(255, 0) // the monitor has checked the image's version, so this is no monitor
	}
	start()
	initThreads()
	initFiles()
	initRandom(b)
	initXsave()
}

// start tells the monitor where upcalls go.
func start() {
	// The tail of the return path: MOVQ $0, Control.Mask (12 bytes), then the jump through Control.Resume.
	const store = 12
	tail := uint64(entries.tail)
	if *word32(tail)&0xffffff != 0x04c748 || *word32(tail + store)&0xffffff != 0x2524ff {
		abort("the guest kernel's return path is not encoded as expected")
	}
	a := (*hypercall.StartArgs)(args())
	a.Upcall = hypercall.GVA(entries.upcall)
	a.UpcallStack = hypercall.GVA(entries.stack)
	a.Gate = hypercall.GVA(entries.gate)
	a.Return = hypercall.GVA(tail + store)
	call(hypercall.CallStart)
}

func initThreads() {
	for i := range actions {
		actions[i] = action{}
	}
	setRunning(newThread())
	initLimits()
}

func initFiles() { initConsole() }

func initRandom(b *hypercall.Boot) {
	var key [32]byte
	copy(key[:], b.Seed[:32])
	mixKey(addressOf(&key[0]))
}

// initXsave reserves the memory for vector states. Its size depends on what the processor has, which CPUID leaf 0xD
// tells for the state components that are enabled (Intel SDM vol. 1 §13.2); the areas are aligned to 64 bytes.
func initXsave() {
	has := cpuidFunc(leafXsave, 0)
	size := has >> 32
	xsaveMask = componentsOf(uint32(has), size)
	xsaveStride = (size + 63) &^ 63
	n := roundUp(2 * maxThreads * xsaveStride)
	xsaveBase = chooseAddress(0, n)
	if xsaveBase == 0 || !insert(xsaveBase, xsaveBase+n, protRead|protWrite, false) {
		abort("no address space for vector states")
	}
	xsaveArea = xsaveOf(running, 0)
}

// leafXsave is the leaf of CPUID about state components. Of sub-leaf 0 EAX has a bit for each that a user can have, EBX is the
// size of an area; of sub-leaf i EAX is component i's size and EBX its place in the area, all in bytes.
const leafXsave = 0xd

// componentsOf are those of has that lie within an area of size bytes, as bits of a mask for XSAVE. XCR0 does not
// tell: where KVM lets a guest see the host's, there are components in it that CPUID keeps quiet about, such as the 8 KiB of
// AMX's tiles. XSAVE of "all that is enabled" would write them behind the area, over the states of other threads.
func componentsOf(has uint32, size uint64) uint32 {
	const (
		legacy   = 1<<0 | 1<<1 // x87 and SSE, in the first 512 bytes
		extended = 512 + 64    // where the others begin, behind the header; what is for supervisors has no place at all
	)
	mask := uint32(legacy)
	for i := uint64(2); i < 32; i++ {
		if has>>i&1 == 0 {
			continue // each CPUID leaves the guest, for microseconds
		}
		c := cpuidFunc(leafXsave, i)
		if at, n := c>>32, c&(1<<32-1); n != 0 && at >= extended && at+n <= size {
			mask |= 1 << i
		}
	}
	return mask
}

func bootInfo(addr uint64) *hypercall.Boot {
	return *(**hypercall.Boot)(unsafe.Pointer(&addr))
}

// Boot returns what the monitor has told the guest. It is read-only memory.
func Boot() *hypercall.Boot { return boot_() }

// Firewall returns the rules of the packet filter, nil if there are none. They are read-only memory.
func Firewall() []byte {
	n := boot_().Firewall
	if n == 0 || n > uint32(hypercall.FirewallMax) {
		return nil
	}
	addr := uint64(hypercall.FirewallVA)
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n)
}

// PublishCounters tells the monitor of an array of n hypercall.Counter at an address, and of none if n is 0. The array and
// the counters stay where they are as long as they are published.
func PublishCounters(array uint64, n int) {
	l := &control().Log
	l.CounterCount = 0
	l.Counters = hypercall.GVA(array)
	l.CounterCount = uint64(min(n, hypercall.CountersMax))
}

// Queue returns the memory of queue n, 0 or 1, of a device.
func Queue(device, n int) *hypercall.Queue { return queueOf(device, n) }

// FrameRing returns where the frame ring of a device is, once Queue says that there is one.
func FrameRing(device int) hypercall.GVA { return hypercall.GVA(frameRingOf(device)) }

// Resident returns how many bytes of guest RAM are in use, page tables included.
func Resident() uint64 { return control().Resident }

// Regions returns the region table: what is mapped. It changes at any time.
func Regions() *hypercall.Regions { return regions() }
