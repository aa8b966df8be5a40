// Package hypercall is the contract between the monitor (package monitor, on the host) and the guest kernel (package
// guest/kernel, inside the virtual machine): call numbers and ports, argument blocks, the memory map, shared pages,
// rings, boot information and the image header. It is the only package both sides import, it imports nothing, and it
// holds layouts and constants only: each side brings its own code to read and write them.
//
// # Rules
//
//   - Every address that crosses the boundary is a [GVA], a guest virtual address: the guest has no page tables of its
//     own and knows no others. The monitor turns it into bytes through its own page tables, never by a cast.
//   - The monitor copies every field it reads from guest memory once, checks the copy and uses the copy.
//   - Fields say who writes them: IN is written by the guest and read by the monitor, OUT the other way round.
//   - Layouts are those of Go on amd64 with explicit padding; layout_test.go pins every size and offset, and the
//     guest's assembly takes its offsets from the compiler (go_asm.h), so that no number is typed twice.
//   - Version changes whenever a program built against the old text would misbehave with the new one.
//
// # Memory map of a guest (virtual addresses)
//
//	0x0000_0000_0000  ┌─────────────────────────────┐
//	                  │ nothing: nil pointers fault │
//	0x0000_0020_0000  ├─────────────────────────────┤ SharedBase
//	                  │ control page          rw-   │ +0x00000 ControlVA: upcalls, argument block
//	                  │ clock page            r--   │ +0x01000 ClockVA
//	                  │ boot information      r--   │ +0x02000 BootVA
//	                  │ firewall rules        r--   │ +0x08000 FirewallVA: if there are any
//	                  │ region table          rw-   │ +0x10000 RegionsVA: what the guest has mapped
//	                  │ rings                 rw-   │ +0x40000 RingsVA: one slot a device
//	0x0000_0040_0000  ├─────────────────────────────┤ ImageBase
//	                  │ the program: text     r-x   │ as its ELF headers say, page by page; nothing is
//	                  │ read-only data        r--   │ both writable and executable
//	                  │ data, bss             rw-   │
//	                  ├─────────────────────────────┤
//	                  │ mmap: Go's heap and all     │ where the region table says so, committed on first
//	                  │ other mappings              │ touch, 64 KiB or more at a time
//	0x7f00_0000_0000  ├─────────────────────────────┤ FilesVA = MmapEnd
//	                  │ mapped files          rw-   │ of shared directories: the host's own pages
//	0x7f10_0000_0000  ├─────────────────────────────┤ FilesEnd
//	                  │                             │
//	0x7ff0_0000_0000  ├─────────────────────────────┤ ArchiveVA
//	                  │ files from --copy     r--   │ a cpio archive (newc)
//	                  │ initial stack         rw-   │ ends at StackTop, with a guard page below
//	0x7fff_8000_0000  ├─────────────────────────────┤ UserEnd = FrameRingsVA
//	                  │ frame rings           rw-   │ of devices that have one
//	0x7fff_8200_0000  └─────────────────────────────┘ FrameRingsEnd
//	                    (non-canonical)
//	0xffff_8000_0000_0000  MonitorBase: descriptor tables, exit stubs, exception stack; supervisor pages that the
//	                       guest, at CPL 3, can neither read nor write nor run
//
// Guest-physical space is exactly as large as the memory the guest was given, but for frame rings and mapped files; the page tables lie in
// it too, in pages that no guest mapping reaches.
package hypercall
