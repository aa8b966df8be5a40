package kernel

import (
	"unsafe"

	"ukvm.dev/hypercall"
)

// The region table (hypercall.Regions) says what is mapped; the monitor reads it when a page is touched first. It is
// sorted; neighbours with equal protection are one region.
//
// Region.Used is private to this file's side of the contract: whether the region has ever been accessible, so that
// pages may be present in it. A reservation (PROT_NONE from the start) is given up without an exit.

const (
	protNone  = hypercall.ProtNone
	protRead  = hypercall.ProtRead
	protWrite = hypercall.ProtWrite
	protExec  = hypercall.ProtExec

	pageSize = hypercall.PageSize
	pageMask = pageSize - 1
)

func regions() *hypercall.Regions {
	addr := regionsAddr
	return *(**hypercall.Regions)(unsafe.Pointer(&addr))
}

// regionAfter returns the index of the first region that ends after addr.
func regionAfter(addr uint64) int {
	r := regions()
	lo, hi := 0, int(r.Count)
	for lo < hi {
		mid := (lo + hi) / 2
		if uint64(r.Table[mid].End) > addr {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// unmapped reports whether nothing is mapped in [start, end).
func unmapped(start, end uint64) bool {
	r := regions()
	i := regionAfter(start)
	return i == int(r.Count) || uint64(r.Table[i].Start) >= end
}

// room reports whether [start, end) can be replaced by one region. The table grows by one for each of the two that lies
// inside a region, and where nothing is mapped.
func room(start, end uint64) bool {
	r := regions()
	c, need := int(r.Count), 0
	if i := regionAfter(start); i < c && uint64(r.Table[i].Start) < start {
		need++
	}
	if i := regionAfter(end); i < c && uint64(r.Table[i].Start) < end {
		need++
	}
	if unmapped(start, end) {
		need = 1
	}
	return c+need <= len(r.Table)
}

// openGap makes room for n table entries at index i. It reports whether there was room.
func openGap(i, n int) bool {
	r := regions()
	c := int(r.Count)
	if c+n > len(r.Table) {
		return false
	}
	for j := c - 1; j >= i; j-- {
		r.Table[j+n] = r.Table[j]
	}
	r.Count = uint64(c + n)
	return true
}

func closeGap(i, n int) {
	r := regions()
	c := int(r.Count)
	for j := i; j+n < c; j++ {
		r.Table[j] = r.Table[j+n]
	}
	r.Count = uint64(c - n)
}

// cut takes [start, end) out of the table and reports whether pages may have been present there. ok is false, and
// nothing has changed, if the table is too full to split a region.
func cut(start, end uint64) (used, ok bool) {
	r := regions()
	i := regionAfter(start)
	if i == int(r.Count) {
		return false, true
	}
	if e := &r.Table[i]; uint64(e.Start) < start {
		used = e.Used != 0
		if uint64(e.End) > end { // a hole in the middle
			if !openGap(i+1, 1) {
				return false, false
			}
			e, rest := &r.Table[i], &r.Table[i+1]
			*rest = *e
			rest.Start = hypercall.GVA(end)
			e.End = hypercall.GVA(start)
			return used, true
		}
		e.End = hypercall.GVA(start)
		i++
	}
	first := i
	for i < int(r.Count) && uint64(r.Table[i].End) <= end {
		used = used || r.Table[i].Used != 0
		i++
	}
	if i < int(r.Count) && uint64(r.Table[i].Start) < end {
		used = used || r.Table[i].Used != 0
		r.Table[i].Start = hypercall.GVA(end)
	}
	if i > first {
		closeGap(first, i-first)
	}
	return used, true
}

// insert enters [start, end), where nothing is mapped, and joins it with equal neighbours.
func insert(start, end uint64, prot uint32, used bool) bool {
	u := uint32(0)
	if used || prot != protNone {
		u = 1
	}
	r := regions()
	i := regionAfter(start)
	left := i > 0 && uint64(r.Table[i-1].End) == start && r.Table[i-1].Prot == prot && r.Table[i-1].Used == u
	right := i < int(r.Count) && uint64(r.Table[i].Start) == end && r.Table[i].Prot == prot && r.Table[i].Used == u
	switch {
	case left && right:
		r.Table[i-1].End = r.Table[i].End
		closeGap(i, 1)
	case left:
		r.Table[i-1].End = hypercall.GVA(end)
	case right:
		r.Table[i].Start = hypercall.GVA(start)
	default:
		if !openGap(i, 1) {
			return false
		}
		r.Table[i] = hypercall.Region{Start: hypercall.GVA(start), End: hypercall.GVA(end), Prot: prot, Used: u}
	}
	return true
}

// userRange reports whether [addr, addr+n) is mapped with the access wanted: in the regions, which include the image and the stack.
func userRange(addr, n uint64, access uint32) bool {
	end := addr + n
	if end < addr || end > uint64(hypercall.UserEnd) {
		return false
	}
	r := regions()
	for i := regionAfter(addr); addr < end; i++ {
		if i == int(r.Count) || uint64(r.Table[i].Start) > addr || r.Table[i].Prot&access != access {
			return false
		}
		addr = uint64(r.Table[i].End)
	}
	return true
}

// findGap returns the lowest address from `from` on with n free bytes below limit, or 0.
func findGap(from, n, limit uint64) uint64 {
	r := regions()
	at := from
	for i := regionAfter(at); i < int(r.Count); i++ {
		if uint64(r.Table[i].Start) >= at+n {
			break
		}
		at = uint64(r.Table[i].End)
	}
	if at+n > limit || at+n < at {
		return 0
	}
	return at
}
