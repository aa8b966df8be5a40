// Command mappings maps, protects, touches, drops and unmaps memory at random, and keeps a model of what each page must
// hold. The test expects that they agree, and that the memory does not run out.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"syscall"
)

const (
	page  = 4096
	pages = 64
)

// area is a mapping and what its pages hold: one byte at the beginning of each.
type area struct {
	mem    []byte
	holds  [pages]byte
	access [pages]int // PROT bits
}

func main() {
	debug.SetPanicOnFault(true)
	r := rand.New(rand.NewPCG(1, 2))
	areas := make([]*area, 200)
	faults := 0
	for range 200_000 {
		i := r.IntN(len(areas))
		a := areas[i]
		if a == nil {
			areas[i] = newArea()
			continue
		}
		from := r.IntN(pages)
		to := from + 1 + r.IntN(pages-from)
		part := a.mem[from*page : to*page]
		switch op := r.IntN(20); {
		case op == 0:
			check(syscall.Munmap(a.mem))
			areas[i] = nil
		case op <= 4:
			prot := []int{syscall.PROT_NONE, syscall.PROT_READ, syscall.PROT_READ | syscall.PROT_WRITE}[r.IntN(3)]
			check(syscall.Mprotect(part, prot))
			for p := from; p < to; p++ {
				a.access[p] = prot
			}
		case op <= 6:
			check(syscall.Madvise(part, syscall.MADV_DONTNEED))
			clear(a.holds[from:to])
		default:
			if touch(a, from, byte(r.IntN(256))) {
				faults++
			}
		}
	}
	for _, a := range areas {
		if a != nil {
			check(syscall.Munmap(a.mem))
		}
	}
	fmt.Println("agreed; faults:", faults > 1000)

	// Many small ones, with holes between, up to the limit of the table; and all of them back.
	var small [][]byte
	for {
		b, err := syscall.Mmap(-1, 0, 2*page, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err == nil {
			err = syscall.Mprotect(b[page:], syscall.PROT_READ)
		}
		if err != nil {
			fmt.Println("limit:", errors.Is(err, syscall.ENOMEM), len(small) > 1000)
			break
		}
		if small = append(small, b); len(small) == 10_000 {
			break
		}
	}
	for _, b := range small {
		check(syscall.Munmap(b))
	}
	fmt.Println("unmapped all")
}

func newArea() *area {
	mem, err := syscall.Mmap(-1, 0, pages*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	check(err)
	a := &area{mem: mem}
	for p := range a.access {
		a.access[p] = syscall.PROT_READ | syscall.PROT_WRITE
	}
	return a
}

// touch reads a page and, if it may, writes it. It reports whether one of the two was a fault.
func touch(a *area, p int, v byte) (fault bool) {
	got, ok := read(&a.mem[p*page])
	if ok != (a.access[p]&syscall.PROT_READ != 0) || ok && got != a.holds[p] {
		panic(fmt.Sprintf("read %#x, %t from a page with %#x, access %#x", got, ok, a.holds[p], a.access[p]))
	}
	stored := write(&a.mem[p*page], v)
	if stored != (a.access[p]&syscall.PROT_WRITE != 0) {
		panic(fmt.Sprintf("write %t to a page with access %#x", stored, a.access[p]))
	}
	if stored {
		a.holds[p] = v
	}
	return !ok || !stored
}

//go:noinline
func read(p *byte) (v byte, ok bool) {
	defer func() { recover() }()
	return *p, true
}

//go:noinline
func write(p *byte, v byte) (ok bool) {
	defer func() { recover() }()
	*p = v
	return true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
