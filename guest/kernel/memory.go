package kernel

import "ukvm.dev/hypercall"

// Memory calls: mmap(2) of anonymous memory and its relatives. Addresses are chosen upwards from mmapStart, far from
// where Go asks for its heap, and the lowest free range that is large enough is taken, because page tables are never
// freed. Most changes are changes of the region table only; the monitor is called when pages may be present.

const (
	mmapStart = 1 << 44
	mmapEnd   = uint64(hypercall.MmapEnd)
	userStart = uint64(hypercall.ImageBase)
)

// Flags of mmap(2) and madvise(2).
const (
	mapShared         = 0x1
	mapPrivate        = 0x2
	mapFixed          = 0x10
	mapAnonymous      = 0x20
	mapPopulate       = 0x8000
	mapFixedNoReplace = 0x100000

	madvDontNeed      = 4
	madvFree          = 8
	madvPopulateRead  = 22
	madvPopulateWrite = 23
	madvCollapse      = 25 // the highest; 5 to 7 are none
)

func roundUp(n uint64) uint64 { return (n + pageMask) &^ pageMask }

// pageRange checks a start, which must be page-aligned, and a length, and returns the end of the range.
func pageRange(start, n uint64) (end, errno uint64) {
	end = start + roundUp(n)
	switch {
	case start&pageMask != 0:
		return 0, eINVAL
	case n > mmapEnd, start < userStart, end < start, end > uint64(hypercall.UserEnd):
		return 0, eNOMEM
	}
	return end, 0
}

func sysMmap(t *thread) uint64 {
	f := &t.frame
	addr, n, flags := f.RDI, f.RSI, f.R10
	if n == 0 || flags&(mapShared|mapPrivate) == 0 {
		return fail(eINVAL)
	}
	if n > mmapEnd {
		return fail(eNOMEM)
	}
	if flags&mapAnonymous == 0 {
		return fail(eNOSYS) // files are package posix's
	}
	prot, ok := protOf(f.RDX)
	if !ok {
		return fail(eACCES)
	}
	n = roundUp(n)
	if flags&(mapFixed|mapFixedNoReplace) != 0 {
		end, errno := pageRange(addr, n)
		if errno != 0 {
			return fail(errno)
		}
		if flags&mapFixedNoReplace != 0 && !unmapped(addr, end) {
			return fail(eEXIST)
		}
		if !room(addr, end) {
			return fail(eNOMEM)
		}
		if e := unmap(addr, end); e != 0 {
			return fail(e)
		}
	} else if addr = chooseAddress(addr&^uint64(pageMask), n); addr == 0 {
		return fail(eNOMEM)
	}
	if !insert(addr, addr+n, prot, false) {
		return fail(eNOMEM)
	}
	if flags&mapPopulate != 0 && prot != protNone {
		memory(hypercall.MemoryCommit, prot, addr, addr+n)
	}
	return addr
}

// protOf turns PROT bits of a system call into those of a region. Write and exec together are refused.
func protOf(bits uint64) (uint32, bool) {
	p := uint32(bits & (protRead | protWrite | protExec))
	if p&(protWrite|protExec) != 0 {
		p |= protRead
	}
	return p, p&(protWrite|protExec) != protWrite|protExec
}

// chooseAddress returns the hint if the range there is free, else an address of the kernel's choice, or 0.
func chooseAddress(hint, n uint64) uint64 {
	if hint >= userStart && hint+n > hint && hint+n <= mmapEnd && unmapped(hint, hint+n) {
		return hint
	}
	return findGap(mmapStart, n, mmapEnd)
}

// unmap takes a range out of the table and gives its pages back.
func unmap(start, end uint64) (errno uint64) {
	used, ok := cut(start, end)
	if !ok {
		return eNOMEM
	}
	if used {
		memory(hypercall.MemoryDrop, 0, start, end)
	}
	return 0
}

func sysMunmap(start, n uint64) uint64 {
	end, errno := pageRange(start, n)
	if errno != 0 || n == 0 {
		return fail(eINVAL)
	}
	if e := unmap(start, end); e != 0 {
		return fail(e)
	}
	return 0
}

func sysMprotect(start, n, bits uint64) uint64 {
	end, errno := pageRange(start, n)
	if errno != 0 {
		return fail(errno)
	}
	prot, ok := protOf(bits)
	switch {
	case bits&^(protRead|protWrite|protExec) != 0:
		return fail(eINVAL)
	case !ok:
		return fail(eACCES)
	}
	if !userRange(start, end-start, protNone) {
		return fail(eNOMEM)
	}
	if start == end {
		return 0
	}
	if !room(start, end) {
		return fail(eNOMEM)
	}
	used, _ := cut(start, end)
	insert(start, end, prot, used)
	if used {
		memory(hypercall.MemoryProtect, prot, start, end)
	}
	return 0
}

func sysMadvise(start, n, advice uint64) uint64 {
	end, errno := pageRange(start, n)
	if errno != 0 {
		return fail(errno)
	}
	if advice > madvCollapse || advice > madvDontNeed && advice < madvFree {
		return fail(eINVAL)
	}
	if !userRange(start, end-start, protNone) {
		return fail(eNOMEM)
	}
	if start == end {
		return 0
	}
	switch advice {
	case madvDontNeed:
		memory(hypercall.MemoryDrop, 0, start, end)
	case madvPopulateRead, madvPopulateWrite:
		if !userRange(start, end-start, protRead) {
			return fail(eNOMEM)
		}
		for at := start; at < end; {
			e := &regions().Table[regionAfter(at)]
			stop := min(uint64(e.End), end)
			if !memory(hypercall.MemoryCommit, e.Prot, at, stop) {
				return fail(eNOMEM)
			}
			at = stop
		}
	case madvFree:
		// The pages may be kept, which is what happens.
	}
	return 0 // the rest is advice
}
