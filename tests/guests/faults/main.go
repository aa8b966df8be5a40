// Command faults does one access that its argument names and that must not succeed. The test expects a report with the
// address and the name of the function that did it.
package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Defined in access_amd64.s.
func load(addr uintptr) byte
func store(addr uintptr)
func jump(addr uintptr)
func textAddress() uintptr

// A RET in each kind of memory that is no code.
var (
	data   = [16]byte{0xc3}
	rodata = "\xc3 read-only data"
)

const (
	stackTop  = 0x7fff << 32
	stackSize = 256 << 10
	monitor   = 0xffff_8000_0000_0000
	clockPage = 0x201000
	control   = 0x200000
)

func address[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

var accesses = map[string]func(){
	"write text":            func() { store(textAddress()) },
	"write rodata":          func() { store(uintptr(unsafe.Pointer(unsafe.StringData(rodata)))) },
	"execute data":          func() { jump(address(&data)) },
	"execute rodata":        func() { jump(uintptr(unsafe.Pointer(unsafe.StringData(rodata)))) },
	"execute heap":          func() { b := heap(); jump(address(&b[0])) },
	"execute stack":         func() { b := [16]byte{0xc3}; jump(address(&b)) },
	"execute first stack":   func() { jump(stackTop - 64) },
	"execute control page":  func() { jump(control) },
	"read page 0":           func() { load(8) },
	"write page 0":          func() { store(0) },
	"execute page 0":        func() { jump(16) },
	"read below stack":      func() { load(stackTop - stackSize - 1) },
	"write below stack":     func() { store(stackTop - stackSize - 8) },
	"read above stack":      func() { load(stackTop) },
	"read monitor":          func() { load(monitor) },
	"write monitor":         func() { store(monitor + 0x1000) },
	"execute monitor":       func() { jump(monitor) },
	"read end of memory":    func() { load(^uintptr(0)) },
	"read non-canonical":    func() { load(0x8000_0000_0000) },
	"write clock page":      func() { store(clockPage) },
	"read below the shared": func() { load(control - 1) },
	"read unmapped":         func() { load(unmapped()) },
	"write protected":       func() { store(protected()) },
	"read no access":        func() { load(noAccess()) },
}

func heap() []byte {
	b := make([]byte, 1<<16)
	b[0] = 0xc3
	return b
}

func mapping() []byte {
	b, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	b[0] = 1 // the page is there now
	return b
}

func unmapped() uintptr {
	b := mapping()
	p := address(&b[0])
	if err := syscall.Munmap(b); err != nil {
		panic(err)
	}
	return p
}

func protected() uintptr {
	b := mapping()
	if err := syscall.Mprotect(b, syscall.PROT_READ); err != nil {
		panic(err)
	}
	load(address(&b[0]))
	return address(&b[0])
}

func noAccess() uintptr {
	b := mapping()
	if err := syscall.Mprotect(b, syscall.PROT_NONE); err != nil {
		panic(err)
	}
	return address(&b[0])
}

func main() {
	if len(os.Args) < 2 {
		for name := range accesses {
			fmt.Println(name)
		}
		writeAndExecute()
		return
	}
	accesses[os.Args[1]]()
	fmt.Println("the access succeeded")
}

// writeAndExecute asks for memory that is both, and prints what the answers are.
func writeAndExecute() {
	const all = syscall.PROT_READ | syscall.PROT_WRITE | syscall.PROT_EXEC
	_, err := syscall.Mmap(-1, 0, 4096, all, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	fmt.Fprintln(os.Stderr, "mmap:", err)
	fmt.Fprintln(os.Stderr, "mprotect:", syscall.Mprotect(mapping(), all))
}
