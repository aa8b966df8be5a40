package doctor

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor"
)

// Trial runs the smallest guest there is, an image of two instructions that ends at once, and returns how long it took.
func Trial(ctx context.Context) (time.Duration, error) {
	f, err := os.CreateTemp("", "ukvm-trial-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(trialImage())
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, trialTimeout, fmt.Errorf("it did not end within %v", trialTimeout))
	defer cancel()
	begin := time.Now()
	vm, err := monitor.New(monitor.Config{Image: f.Name()})
	if err != nil {
		return 0, err
	}
	defer vm.Close()
	err = vm.Run(ctx)
	return time.Since(begin), err
}

// trialImage is an ELF file with one segment, of a page: headers, image header, code.
func trialImage() []byte {
	const (
		elfSize, progSize = 64, 56
		header            = elfSize + progSize
		base              = uint64(hypercall.ImageBase)
		halt              = hypercall.PortCall + hypercall.CallHalt
	)
	b := make([]byte, hypercall.PageSize)
	le := binary.LittleEndian
	copy(b, "\x7fELF\x02\x01\x01")    // 64-bit, little-endian, current
	le.PutUint16(b[16:], 2)           // ET_EXEC
	le.PutUint16(b[18:], 62)          // EM_X86_64
	le.PutUint32(b[20:], 1)           // EV_CURRENT
	le.PutUint64(b[24:], base+header) // entry point
	le.PutUint64(b[32:], elfSize)     // program headers
	le.PutUint16(b[52:], elfSize)
	le.PutUint16(b[54:], progSize)
	le.PutUint16(b[56:], 1)

	p := b[elfSize:]
	le.PutUint32(p, 1)     // PT_LOAD
	le.PutUint32(p[4:], 5) // readable, executable
	le.PutUint64(p[16:], base)
	le.PutUint64(p[24:], base)
	le.PutUint64(p[32:], hypercall.PageSize) // in the file
	le.PutUint64(p[40:], hypercall.PageSize) // in memory
	le.PutUint64(p[48:], hypercall.PageSize) // alignment

	h := b[header:]
	le.PutUint64(h[hypercall.HeaderMagicOffset:], hypercall.HeaderMagic)
	le.PutUint32(h[hypercall.HeaderVersionOffset:], hypercall.Version)
	// The argument block of CallHalt is zero from the start: status 0.
	code := append(h[hypercall.HeaderStart:hypercall.HeaderStart], 0x66, 0xba) // mov dx, …
	code = le.AppendUint16(code, uint16(halt))
	_ = append(code, 0xef, 0x0f, 0x0b) // out dx, eax; ud2
	return b
}
