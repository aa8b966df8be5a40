package build

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"ukvm.dev/hypercall"
)

// checkImage checks that an executable has the image header at its entry point. It can be missing only if flags moved the
// entry point elsewhere.
func checkImage(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || f.Entry < p.Vaddr || f.Entry >= p.Vaddr+p.Filesz {
			continue
		}
		var header [hypercall.HeaderSize]byte
		if _, err := p.ReadAt(header[:], int64(f.Entry-p.Vaddr)); err != nil {
			return fmt.Errorf("read image header: %w", err)
		}
		magic := binary.LittleEndian.Uint64(header[hypercall.HeaderMagicOffset:])
		version := binary.LittleEndian.Uint32(header[hypercall.HeaderVersionOffset:])
		if magic == hypercall.HeaderMagic && version == hypercall.Version {
			return nil
		}
	}
	return errors.New("the program's entry point is not the image header: drop -E and similar from -ldflags")
}
