package hypercall

// GVA is a guest virtual address. The monitor never dereferences one: it asks its page tables where the bytes are.
type GVA uint64

// GPA is a guest physical address, an offset into the guest's RAM. Only the monitor deals in these.
type GPA uint64

// The memory map; doc.go has the picture.
const (
	PageSize = 4096

	SharedBase GVA = 0x200000
	ControlVA      = SharedBase
	ClockVA        = SharedBase + 0x1000
	BootVA         = SharedBase + 0x2000
	RegionsVA      = SharedBase + 0x10000
	RingsVA        = SharedBase + 0x40000
	SharedEnd  GVA = 0x400000

	ImageBase GVA = 0x400000     // lowest address of a program segment
	MmapEnd   GVA = FilesVA      // the guest kernel maps below this
	FilesVA   GVA = 0x7f00 << 32 // where files of shared directories appear (ShareMap)
	FilesEnd  GVA = FilesVA + FilesSpan
	ArchiveVA GVA = 0x7ff0 << 32     // start of the cpio archive, if there is one
	StackTop  GVA = 0x7fff << 32     // end of the initial stack
	UserEnd   GVA = 0x7fff_8000_0000 // end of what a program can have

	FrameRingsVA  = UserEnd // the ring of device i is at + i*FrameRingSpan
	FrameRingSpan = 2 << 20
	FrameRingsEnd = FrameRingsVA + MaxDevices*FrameRingSpan

	MonitorBase GVA = 0xffff_8000_0000_0000

	// StackSize is the size of the initial stack, on which main's thread starts. Go makes its own stacks later.
	StackSize = 256 << 10

	// FilesSpan is how much of files can appear at a time at most, in bytes.
	FilesSpan = 64 << 30
)

// Protection bits of a region or a memory operation. Their values are Linux's PROT_READ, PROT_WRITE and PROT_EXEC.
// Exec implies Read; Write and Exec together are refused.
const (
	ProtNone  = 0
	ProtRead  = 1
	ProtWrite = 2
	ProtExec  = 4
)

// Region is a stretch of address space the guest has mapped: [Start, End), both multiples of PageSize.
type Region struct {
	Start GVA
	End   GVA
	Prot  uint32 // Prot bits
	Used  uint32 // for the guest's own use
}

// MaxRegions is how many regions a guest can have at a time.
const MaxRegions = 8000

// Regions is the region table at RegionsVA. The guest keeps it: the first Count entries, sorted by address, not
// overlapping. The monitor reads it when the guest touches a page that is not present, and commits memory there if a
// region allows that access; else the guest gets a fault. So mapping costs no exit. A wrong table can hurt only the
// guest that wrote it: the monitor takes from it nothing but "this address is meant to be mapped, with these bits".
type Regions struct {
	Count uint64
	_     [2]uint64
	Table [MaxRegions]Region
}

// MemoryOp is one step of a Memory call: what to do with the pages that are present in [Start, End).
type MemoryOp struct {
	Op    uint32 // MemoryDrop, MemoryProtect or MemoryCommit
	Prot  uint32 // Prot bits, for MemoryProtect and MemoryCommit
	Start GVA
	End   GVA
}

// Memory operations.
const (
	// MemoryDrop gives the present pages of a range back to the host: munmap, madvise(MADV_DONTNEED). A later touch
	// finds zeroes, or faults, as the region table says.
	MemoryDrop = 1 + iota
	// MemoryProtect sets the protection of present pages. The table already has the new protection for the others.
	MemoryProtect
	// MemoryCommit commits the absent pages of a range now, so that touching them costs no exits: MAP_POPULATE.
	MemoryCommit
)

// MaxMemoryOps is how many operations one Memory call can carry.
const MaxMemoryOps = 64
