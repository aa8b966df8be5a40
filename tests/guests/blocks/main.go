// Command blocks does what command mappings does with pieces so large that they are mapped with large page-table entries, in whole and
// in part: a piece that is taken apart must not be seen through an entry that is gone.
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	page  = 4096
	block = 512 // pages of a large entry
	pages = 4*block + 128
	rw    = syscall.PROT_READ | syscall.PROT_WRITE
)

// area is a mapping and what its pages hold: a number at the beginning of each.
type area struct {
	mem    []byte
	holds  [pages]uint64
	access [pages]int // PROT bits
}

func main() {
	debug.SetPanicOnFault(true)
	count, _ := strconv.Atoi(os.Args[1])
	r := rand.New(rand.NewPCG(3, 4))
	areas := make([]*area, count)
	number := uint64(0)
	for range 4000 {
		i := r.IntN(len(areas))
		a := areas[i]
		if a == nil {
			areas[i] = newArea(r.IntN(4) > 0)
			continue
		}
		from := r.IntN(pages)
		to := from + 1 + r.IntN(min(pages-from, 800))
		if r.IntN(2) == 0 { // from the beginning of a large entry to the end of one
			at := int(-uintptr(unsafe.Pointer(&a.mem[0]))/page) & (block - 1)
			from = at + block*r.IntN(3)
			to = from + block
		}
		part := a.mem[from*page : to*page]
		switch op := r.IntN(200); {
		case op == 0:
			check(syscall.Munmap(a.mem))
			areas[i] = nil
		case op <= 2:
			prot := []int{syscall.PROT_NONE, syscall.PROT_READ, rw}[r.IntN(3)]
			check(syscall.Mprotect(part, prot))
			for p := from; p < to; p++ {
				a.access[p] = prot
			}
		case op <= 20:
			check(syscall.Madvise(part, syscall.MADV_DONTNEED))
			clear(a.holds[from:to])
		default:
			for range 40 {
				number++
				touch(a, r.IntN(pages), number)
			}
		}
	}
	for _, a := range areas {
		if a != nil {
			for p := range pages {
				touch(a, p, 1)
			}
			check(syscall.Munmap(a.mem))
		}
	}
	fmt.Println("agreed")
}

func newArea(populate bool) *area {
	flags := syscall.MAP_ANON | syscall.MAP_PRIVATE
	if populate {
		flags |= syscall.MAP_POPULATE
	}
	mem, err := syscall.Mmap(-1, 0, pages*page, rw, flags)
	check(err)
	a := &area{mem: mem}
	for p := range a.access {
		a.access[p] = rw
	}
	return a
}

// touch reads a page and, if it may, writes it.
func touch(a *area, p int, v uint64) {
	at := (*uint64)(unsafe.Pointer(&a.mem[p*page]))
	got, ok := a.holds[p], true
	if a.access[p] == rw {
		got = *at // without the price of a deferred call
	} else {
		got, ok = read(at)
	}
	if ok != (a.access[p]&syscall.PROT_READ != 0) || ok && got != a.holds[p] {
		panic(fmt.Sprintf("read %#x, %t from page %d at %p with %#x, access %#x", got, ok, p, at, a.holds[p], a.access[p]))
	}
	if a.access[p] != rw {
		if write(at, v) {
			panic(fmt.Sprintf("written to page %d at %p with access %#x", p, at, a.access[p]))
		}
		return
	}
	*at = v
	a.holds[p] = v
}

//go:noinline
func read(p *uint64) (v uint64, ok bool) {
	defer func() { recover() }()
	return *p, true
}

//go:noinline
func write(p *uint64, v uint64) (ok bool) {
	defer func() { recover() }()
	*p = v
	return true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
