package hypercall

// An image is an ordinary static Linux executable (ELF64, x86-64) with this header at its entry point. Linux executes
// the jump in its first bytes and starts the program natively; the monitor checks the header and enters at
// entry + HeaderStart. `ukvm build` puts it there; neither -s nor -w nor any -ldflags remove it.
//
//	+0   JMP native start, padding
//	+16  HeaderMagic
//	+24  Version, as uint32
//	+28  reserved, 0
//	+32  reserved, 0
//	+40  reserved, 0
//	+48  JMP guest kernel's start
const (
	HeaderMagicOffset   = 16
	HeaderVersionOffset = 24
	HeaderStart         = 48
	HeaderSize          = 64
)

// HeaderMagic identifies an image: "UKVM\x7fIMG", little-endian.
const HeaderMagic = 0x474d497f4d564b55

// Register state at entry + HeaderStart: RSP points at argc, as the System V ABI (AMD64 supplement, §3.4.1) lays out a
// process stack; RFLAGS is 2, FS and GS bases are 0, Control.Mask is 1, and the other registers are 0.
