package kernel

import (
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

// Machine code of the tests' own, to call what is not in Go's calling convention and to look at what Linux does to
// registers.

// code is memory for it.
type code struct {
	mem []byte
	n   int
}

func newCode(t testing.TB) *code {
	t.Helper()
	b, err := unix.Mmap(-1, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Skip("no memory that is writable and executable:", err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return &code{mem: b}
}

// here is the address of the next byte.
func (c *code) here() uint64 { return uint64(uintptr(unsafe.Pointer(&c.mem[c.n]))) }

func (c *code) emit(b ...byte) { c.n += copy(c.mem[c.n:], b) }

// movabs loads a constant into a register.
func (c *code) movabs(reg byte, value uint64) {
	c.emit(0x48|reg>>3, 0xb8|reg&7)
	c.emit(binary.LittleEndian.AppendUint64(nil, value)...)
}

// Registers in the order of hypercall.Frame, as instructions number them.
var frameRegisters = [16]byte{0, 3, 1, 2, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15}

const (
	rax, rcx, rsp = 0, 1, 4
)

// move loads registers from a Frame that RAX points at, or stores them there, but RAX and RSP.
func (c *code) move(opcode byte) {
	for i, reg := range frameRegisters {
		if reg != rax && reg != rsp {
			c.emit(0x48|reg>>3<<2, opcode, 0x40|reg&7<<3, byte(8*i))
		}
	}
}

// withRegisters makes a function that loads all registers from a frame, runs body, and stores them back. RSP is only
// stored: what it is in body. The flags are 0x202 before body and stored after it.
func (c *code) withRegisters(body func()) func(*hypercall.Frame) {
	at := c.here()
	c.emit(0x55, 0x41, 0x56, 0x50) // PUSH RBP, R14, RAX
	c.emit(0x48, 0x89, 0x60, 6*8)  // MOV [RAX+RSP], RSP
	c.emit(0x68, 2, 2, 0, 0, 0x9d) // PUSH 0x202; POPF
	c.move(0x8b)                   //
	c.emit(0x48, 0x8b, 0x00)       // MOV RAX, [RAX]
	body()                         //
	c.emit(0x48, 0x87, 0x04, 0x24) // XCHG RAX, [RSP]
	c.move(0x89)                   //
	c.emit(0x9c, 0x8f, 0x80)       // PUSHF; POP [RAX+RFLAGS]
	c.emit(17*8, 0, 0, 0)          //
	c.emit(0x59, 0x48, 0x89, 0x08) // POP RCX; MOV [RAX], RCX
	c.emit(0xfc)                   // CLD
	c.emit(0x45, 0x0f, 0x57, 0xff) // XORPS X15, X15
	c.emit(0x41, 0x5e, 0x5d, 0xc3) // POP R14, RBP; RET
	return *(*func(*hypercall.Frame))(funcAt(at))
}

// funcAt is a pointer to a function value for code at an address, which follows the compiler's calling convention.
func funcAt(at uint64) unsafe.Pointer {
	f := &at
	return unsafe.Pointer(&f)
}

// assembly finds a function of this package that is written in assembly: f is the compiler's wrapper for it.
func assembly(t testing.TB, f func(), name string) uint64 {
	t.Helper()
	const far = 1 << 16
	entry := reflect.ValueOf(f).Pointer()
	for pc := entry - far; pc < entry+far; pc++ {
		if fn := runtime.FuncForPC(pc); fn != nil && fn.Entry() != entry {
			if n := fn.Name(); strings.TrimSuffix(n, ".abi0") == "ukvm.dev/guest/kernel."+name {
				return uint64(fn.Entry())
			}
		}
	}
	t.Fatalf("no function %s near its wrapper", name)
	return 0
}

// Declared for assembly; they cannot be called like that.
func monotonic()
func vclock()
func swap()
func Gate()
func tail()

// sharePages maps the pages that assembly reaches by their fixed addresses.
func sharePages(t testing.TB) {
	t.Helper()
	const size = 0x3000
	at, _, errno := unix.Syscall6(unix.SYS_MMAP, uintptr(hypercall.SharedBase), size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE, ^uintptr(0), 0)
	if errno != 0 || at != uintptr(hypercall.SharedBase) {
		t.Fatalf("map the shared pages: %#x, %v", at, errno)
	}
	t.Cleanup(func() { unix.Syscall(unix.SYS_MUNMAP, at, size, 0) })
}
