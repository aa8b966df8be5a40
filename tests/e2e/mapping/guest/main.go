// Command guest maps files of a directory, natively and in a guest, and says what it found.
//
//	guest cases DIR      a table of cases
//	guest random DIR N   N random steps on one file, checked against a model
//	guest peer DIR       changes what the test reads, and waits for what the test writes
package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	debug.SetPanicOnFault(true)
	switch dir := os.Args[2]; os.Args[1] {
	case "cases":
		cases(dir)
	case "random":
		n, _ := strconv.Atoi(os.Args[3])
		random(dir, n)
	case "peer":
		peer(dir)
	}
}

const page = 4096

// check ends the program if something did not work that has to.
func check(err error) {
	if err != nil {
		fmt.Println("unexpected:", err)
		os.Exit(1)
	}
}

func create(dir, name string, size int) *os.File {
	f, err := os.Create(filepath.Join(dir, name))
	check(err)
	b := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	_, err = f.Write(b)
	check(err)
	return f
}

func mmap(f *os.File, off int64, n, prot int) []byte {
	m, err := syscall.Mmap(int(f.Fd()), off, n, prot, syscall.MAP_SHARED)
	check(err)
	return m
}

// touch reads a byte, or says how that failed.
func touch(m []byte, i int) (result string) {
	defer func() {
		if r := recover(); r != nil {
			result = "fault"
		}
	}()
	return fmt.Sprint(m[i])
}

// poke writes a byte, or says how that failed.
func poke(m []byte, i int, b byte) (result string) {
	defer func() {
		if r := recover(); r != nil {
			result = "fault"
		}
	}()
	m[i] = b
	return "done"
}

const (
	rw = syscall.PROT_READ | syscall.PROT_WRITE
	ro = syscall.PROT_READ
)

func msync(m []byte, flags int) error {
	_, _, e := syscall.Syscall(syscall.SYS_MSYNC, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(flags))
	if e != 0 {
		return e
	}
	return nil
}

func cases(dir string) {
	read := func(f *os.File, off int64, n int) string {
		b := make([]byte, n)
		k, err := f.ReadAt(b, off)
		return fmt.Sprintf("%q %v", b[:k], err)
	}

	f := create(dir, "a", 3*page)
	m := mmap(f, 0, 3*page, rw)
	copy(m[100:], "written to memory")
	fmt.Println("read sees memory:", read(f, 100, 17))
	_, err := f.WriteAt([]byte("written to the file"), page-5)
	check(err)
	fmt.Printf("memory sees write: %q\n", m[page-5:page+14])
	two := mmap(f, page, page, ro)
	fmt.Printf("a second mapping: %q\n", two[:10])
	fmt.Println("write to a read-only mapping:", poke(two, 0, 1))
	fmt.Println("msync:", msync(m, syscall.MS_SYNC), msync(m, syscall.MS_ASYNC), msync(m, syscall.MS_SYNC|syscall.MS_ASYNC))
	check(f.Close())
	copy(m[2*page:], "after close")
	check(syscall.Munmap(m))
	fmt.Printf("the other one goes on: %q\n", two[:10])
	check(syscall.Munmap(two))
	b, err := os.ReadFile(filepath.Join(dir, "a"))
	check(err)
	fmt.Printf("file: %q %q\n", b[100:120], b[2*page:2*page+12])

	f, err = os.Open(filepath.Join(dir, "a"))
	check(err)
	_, err = syscall.Mmap(int(f.Fd()), 0, page, rw, syscall.MAP_SHARED)
	fmt.Println("to write, of a file opened to read:", err)
	m = mmap(f, 0, page, ro)
	fmt.Println("mprotect to write:", syscall.Mprotect(m, rw))
	check(syscall.Munmap(m))
	_, err = syscall.Mmap(int(f.Fd()), 100, page, ro, syscall.MAP_SHARED)
	fmt.Println("offset of no page:", err)
	f.Close()
	f, err = os.OpenFile(filepath.Join(dir, "a"), os.O_WRONLY, 0)
	check(err)
	_, err = syscall.Mmap(int(f.Fd()), 0, page, ro, syscall.MAP_SHARED)
	fmt.Println("of a file opened to write:", err)
	f.Close()

	// Growth: what is mapped behind the end comes with it.
	f = create(dir, "grow", 10)
	m = mmap(f, 0, 8*page, rw)
	fmt.Printf("behind the end, in its page: %q\n", m[8:12])
	check(f.Truncate(5*page + 7))
	m[5*page] = 'x'
	m[page] = 'y'
	fmt.Println("grown:", read(f, 5*page-1, 8), read(f, page, 1), touch(m, 3*page))
	check(f.Truncate(page))
	fmt.Println("cut:", read(f, page-1, 8), touch(m, 9))
	check(f.Truncate(2 * page))
	fmt.Println("and grown:", touch(m, page), touch(m, page+5))
	check(syscall.Munmap(m))
	f.Close()

	// An unlinked file stays.
	f = create(dir, "gone", page)
	m = mmap(f, 0, page, rw)
	check(os.Remove(filepath.Join(dir, "gone")))
	copy(m, "still there")
	fmt.Println("unlinked:", read(f, 0, 11))
	f.Close()
	fmt.Printf("and closed: %q\n", m[:11])
	check(syscall.Munmap(m))

	// In part.
	f = create(dir, "part", 8*page)
	m = mmap(f, 0, 8*page, rw)
	copy(m[3*page:], "three")
	_, _, e := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(unsafe.Pointer(&m[2*page])), 2*page, 0)
	fmt.Println("hole:", e, touch(m, page), touch(m, 2*page), touch(m, 4*page), read(f, 3*page, 5))
	check(syscall.Mprotect(m[5*page:6*page], ro))
	fmt.Println("protected:", poke(m, 5*page, 1), poke(m, 6*page, 'Z'), read(f, 6*page, 1))
	check(syscall.Mprotect(m[5*page:6*page], rw))
	fmt.Println("again:", poke(m, 5*page, 'W'), read(f, 5*page, 1))
	check(syscall.Madvise(m[6*page:], syscall.MADV_DONTNEED))
	fmt.Println("not needed:", touch(m, 6*page), touch(m, 7*page))
	_, _, e = syscall.Syscall(syscall.SYS_MUNMAP, uintptr(unsafe.Pointer(&m[0])), 8*page, 0)
	fmt.Println("all of it:", e)

	// From an offset, and private.
	m = mmap(f, 4*page, 2*page, ro)
	_, err = f.WriteAt([]byte("at four"), 4*page)
	check(err)
	fmt.Printf("from an offset: %q\n", m[:8])
	p, err := syscall.Mmap(int(f.Fd()), 4*page, page, rw, syscall.MAP_PRIVATE)
	check(err)
	p[0] = '!'
	fmt.Printf("private: %q %s\n", p[:8], read(f, 4*page, 2))
	check(syscall.Munmap(m))
	check(syscall.Munmap(p))
	f.Close()

	// A mapping as a buffer of system calls.
	f = create(dir, "buffer", 4*page)
	g := create(dir, "other", 100)
	m = mmap(f, 0, 4*page, rw)
	n, err := g.ReadAt(m[page:page+50], 10)
	fmt.Println("read into it:", n, err, read(f, page, 10))
	n, err = g.WriteAt(m[page:3*page], 50)
	fmt.Println("written from it:", n, err, read(g, 48, 10))
	check(syscall.Munmap(m))
	f.Close()
	g.Close()

	// Many, one after the other.
	f = create(dir, "many", 16*page)
	sum := 0
	for i := range 300 {
		m := mmap(f, int64(i%8)*page, (i%8+1)*page, rw)
		m[0]++
		sum += int(m[0])
		check(syscall.Munmap(m))
	}
	fmt.Println("many:", sum)
	var all [][]byte
	for i := range 20 {
		all = append(all, mmap(f, int64(i%16)*page, page, rw))
		all[i][7] = byte(i)
	}
	for _, m := range all {
		check(syscall.Munmap(m))
	}
	fmt.Println("at once:", read(f, 7, 1), read(f, 5*page+7, 1))
	f.Close()
}

// random does steps on one file and a model of it.
func random(dir string, steps int) {
	f, err := os.Create(filepath.Join(dir, "random"))
	check(err)
	defer f.Close()
	z := rand.New(rand.NewPCG(7, uint64(steps)))
	const most = 64 * page
	model := make([]byte, 0, most)
	type mapped struct {
		mem []byte
		off int
		rw  bool
	}
	var maps []mapped
	fail := func(step int, what string) {
		fmt.Printf("step %d: %s is not what the model has\n", step, what)
		os.Exit(1)
	}
	grow := func(n int) {
		for len(model) < n {
			model = append(model, 0)
		}
	}
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(z.Uint32())
		}
	}
	for step := range steps {
		switch op := z.IntN(12); {
		case op < 2: // write(2)
			off := z.IntN(most - 1)
			b := make([]byte, 1+z.IntN(min(3*page, most-off)))
			fill(b)
			_, err := f.WriteAt(b, int64(off))
			check(err)
			grow(off + len(b))
			copy(model[off:], b)
		case op < 4: // read(2)
			off := z.IntN(most)
			b := make([]byte, 1+z.IntN(3*page))
			n, err := f.ReadAt(b, int64(off))
			if n < len(b) && (err == nil || err.Error() != "EOF") {
				check(err)
			}
			if !bytes.Equal(b[:n], model[min(off, len(model)):min(off+len(b), len(model))]) {
				fail(step, "what was read")
			}
		case op == 4 && z.IntN(4) == 0: // truncate
			n := z.IntN(most)
			check(f.Truncate(int64(n)))
			if n < len(model) {
				clear(model[n:])
				model = model[:n]
			}
			grow(n)
		case op == 5 && len(maps) < 4: // one that writes, at most: mirrors do not see each other
			write := true
			for _, m := range maps {
				write = write && !m.rw
			}
			off, prot := z.IntN(48)*page, ro
			if write {
				prot = rw
			}
			maps = append(maps, mapped{mmap(f, int64(off), (1+z.IntN(16))*page, prot), off, write})
		case op == 6 && len(maps) > 0 && z.IntN(3) == 0:
			i := z.IntN(len(maps))
			check(syscall.Munmap(maps[i].mem))
			maps = append(maps[:i], maps[i+1:]...)
		case op == 7 && len(maps) > 0:
			check(msync(maps[z.IntN(len(maps))].mem, syscall.MS_SYNC))
		case len(maps) > 0: // look at memory, or write there
			m := maps[z.IntN(len(maps))]
			end := min(len(model)-m.off, len(m.mem))
			if end <= 0 {
				continue
			}
			at := z.IntN(end)
			n := 1 + z.IntN(end-at)
			if op < 10 || !m.rw {
				if !m.rw { // a mirror that writes has told the file by then
					_, err := f.ReadAt(make([]byte, n), int64(m.off+at))
					check(err)
				}
				if !bytes.Equal(m.mem[at:at+n], model[m.off+at:m.off+at+n]) {
					fail(step, "memory")
				}
				continue
			}
			fill(m.mem[at : at+n])
			copy(model[m.off+at:], m.mem[at:at+n])
			if _, err := f.ReadAt(make([]byte, n), int64(m.off+at)); err != nil { // for the other mirrors
				check(err)
			}
		}
	}
	for _, m := range maps {
		check(syscall.Munmap(m.mem))
	}
	b, err := os.ReadFile(f.Name())
	check(err)
	if !bytes.Equal(b, model) {
		fail(steps, "the file")
	}
	fmt.Println("agreed")
}

// peer shares memory with another process.
func peer(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, "peer"), os.O_RDWR, 0)
	check(err)
	m := mmap(f, 0, 4*page, rw)
	copy(m[page:], "from the guest")
	fmt.Println("written")
	for !strings.HasPrefix(string(m[2*page:2*page+20]), "from the host") {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("seen")
	// The host cuts the file: touching what is gone is a fault, and the program goes on.
	for touch(m, 3*page) != "fault" {
		time.Sleep(time.Millisecond)
	}
	fmt.Println("cut")
	copy(m, "end")
	if err := msync(m[:page], syscall.MS_SYNC); err != nil && !errors.Is(err, syscall.ENOMEM) {
		check(err)
	}
	check(syscall.Munmap(m))
	fmt.Println("done")
}
