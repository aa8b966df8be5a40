package monitor

import (
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"strings"
	"unicode"

	"ukvm.dev/hypercall"
)

// where is the guest's position for reports: address, function and line as far as the image tells.
func (vm *VM) where() string { return vm.symbol(vm.vcpu.Regs().RIP) }

// symbol names an address of the image.
func (vm *VM) symbol(pc uint64) (s string) {
	s = fmt.Sprintf("%#x", pc)
	if vm.image == nil || vm.space.image.Find(hypercall.GVA(pc)) == nil {
		return s
	}
	// The tables come from a file that may be hostile, and the packages that read them were made for honest ones.
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%#x", pc)
		}
	}()
	table, err := symbols(vm.image)
	if err != nil {
		return s
	}
	file, line, fn := table.PCToLine(pc)
	if fn == nil {
		return s
	}
	return fmt.Sprintf("%#x (%s at %s:%d)", pc, printable(fn.Name), printable(file), line)
}

// printable makes of what a guest says, which ends up on terminals, a line of text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// maxTable bounds what is read for a report, in bytes.
const maxTable = 256 << 20

// symbols reads Go's own table of functions and lines, which is there in stripped images too.
func symbols(r io.ReaderAt) (*gosym.Table, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	table, text := f.Section(".gopclntab"), f.Section(".text")
	if table == nil || text == nil || table.Size > maxTable {
		return nil, elf.ErrNoSymbols
	}
	data, err := table.Data()
	if err != nil {
		return nil, err
	}
	return gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
}
