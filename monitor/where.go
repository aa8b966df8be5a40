package monitor

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode"

	"ukvm.dev/hypercall"
)

// where is the guest's position for reports: address, function and line as far as the image tells.
func (vm *VM) where() string { return vm.symbol(vm.vcpu.Regs().RIP) }

// symbol names an address of the image.
func (vm *VM) symbol(pc uint64) string {
	s := fmt.Sprintf("%#x", pc)
	if vm.image == nil || vm.space.image.Find(hypercall.GVA(pc)) == nil {
		return s
	}
	table, err := symbols(vm.image)
	if err != nil {
		return s
	}
	function, file, line := table.find(pc)
	if function == "" {
		return s
	}
	return fmt.Sprintf("%#x (%s at %s:%d)", pc, printable(function), printable(file), line)
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

// Bounds of what is read for a report.
const (
	maxSections = 256
	maxTable    = 64 << 20 // bytes
)

// symbols reads Go's own table of functions and lines, which is there in stripped images too.
func symbols(r io.ReaderAt) (t *pclntab, err error) {
	defer func() {
		if recover() != nil { // package elf was made for honest files
			err = elf.ErrNoSymbols
		}
	}()
	var count [2]byte
	if _, err := r.ReadAt(count[:], atSections); err != nil {
		return nil, err
	}
	if n := binary.LittleEndian.Uint16(count[:]); n == 0 || n > maxSections {
		return nil, elf.ErrNoSymbols
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	table, text := f.Section(".gopclntab"), f.Section(".text")
	if table == nil || text == nil || table.Flags&elf.SHF_COMPRESSED != 0 || table.Size > maxTable {
		return nil, elf.ErrNoSymbols
	}
	data, err := table.Data()
	if err != nil {
		return nil, err
	}
	return &pclntab{data: data, text: text.Addr}, nil
}

// atSections is where an ELF header has the number of sections.
const atSections = 60
