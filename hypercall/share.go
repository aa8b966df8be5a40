package hypercall

// Shared directories. A device of kind DeviceShare gives the guest a directory of the host's. Queue 0 carries requests; queue 1
// is not used. A request is one chain:
//
//	read by the monitor    ShareRequest, at once followed by Name and then Name2
//	read by the monitor    what is to be written (ShareWrite), or a list of ShareForgotten; any number of descriptors
//	DescWrite              ShareReply
//	DescWrite              what is read (ShareRead, ShareReadlink, ShareEntries, ShareStatfs); any number of descriptors
//
// The monitor answers many requests within the Kick or Poll that finds them, and those that wait for a disk later: chains come back
// in any order. The memory of a chain is the monitor's until then. Used.Len says nothing. An error of the host's is in the
// reply; a chain that is no request ends the guest.
//
// Files are known by handles. ShareRoot is the directory itself; others come from ShareLookup and ShareMake, each of which counts
// one use of the handle that ShareForget takes back. Handles are not used again.

// ShareOp is what a request asks for. N, Node and Attr are fields of the reply; those not named are 0.
type ShareOp uint32

// Operations.
const (
	ShareLookup   ShareOp = 1 + iota // Name in directory Node: Node, Attr
	ShareForget                      // a list of ShareForgotten
	ShareAttr                        // of Node: Attr
	ShareSetAttr                     // Set, Mode, UID, GID, Size, Atime, Mtime: Attr
	ShareMake                        // Name in directory Node, of type and permissions Mode; Name2 is a symbolic link's target. No Name: a file without one. Node, Attr
	ShareLink                        // Name in directory Node for Other
	ShareRemove                      // Name in directory Node, a directory if Flags is 1
	ShareRename                      // Name in directory Node to Name2 in directory Other; Flags as renameat2(2)
	ShareReadlink                    // of Node: N bytes
	ShareEntries                     // of directory Node behind cookie Other: N bytes of ShareEntry; 0: no more
	ShareOpen                        // regular file Node, for writing too if Flags is 1: Attr. Further operations on contents need it
	ShareClose                       // takes an open back
	ShareRead                        // of Node at Offset: N bytes
	ShareWrite                       // to Node at Offset, or at the end if Flags is 1: N bytes; Node is where they end, Attr
	ShareAllocate                    // fallocate(2) with Flags as mode, Offset, Size: Attr
	ShareNext                        // first offset of Node from Offset on with data, or in a hole if Flags is 1: N
	ShareSync                        // Node is on the disk; Flags 1: its contents suffice
	ShareStatfs                      // a ShareStat
	ShareLock                        // flock(2) of Node with Flags, which does not wait
	ShareMap                         // Size bytes of Node from Offset on appear in memory, to be written if Flags is 1: N is where
	ShareUnmap                       // what appears at the address Offset goes

	ShareMax
)

// ShareMap has the pages of a file appear among the guest's addresses, between FilesVA and FilesEnd, at a multiple of 2 MiB. They are the
// host's own: what is written there is in the file for every reader, and on its disk after ShareSync. The region table
// says which of them the program may use, and how, as everywhere; a page behind the end of the file raises exception 18 (machine
// check) when it is touched, which Linux calls SIGBUS. A mapping outlives ShareClose and ShareForget.
//
// ShareRoot is the handle of the directory itself.
const ShareRoot = 1

// Limits of requests, in bytes.
const (
	MaxShareName = 256 + 4096 // Name and Name2
	MaxShareData = 1 << 20    // what is read or written
	MaxShareMaps = 64         // mappings of a guest at a time
)

// ShareRequest is what a request begins with. Times are ns since 1970.
type ShareRequest struct {
	Op           uint32 // IN: ShareOp
	Flags        uint32 // IN
	Node         uint64 // IN
	Other        uint64 // IN
	Offset       int64  // IN
	Size         int64  // IN
	Atime, Mtime int64  // IN
	Set          uint32 // IN: what ShareSetAttr changes, ShareSet bits
	Mode         uint32 // IN
	UID, GID     uint32 // IN
	Name, Name2  uint16 // IN: their lengths
	_            uint32
}

// ShareRequestSize is the size of ShareRequest in bytes.
const ShareRequestSize = 80

// ShareSet bits. Both ends have the same ones (vnode.SetMode, hostdir.SetMode, …).
const (
	ShareSetMode = 1 << iota
	ShareSetUID
	ShareSetGID
	ShareSetSize
	ShareSetAtime
	ShareSetMtime
)

// ShareReply is the answer to a request.
type ShareReply struct {
	Errno uint32 // OUT: Linux errno; then the rest is 0
	_     uint32
	N     int64     // OUT
	Node  uint64    // OUT
	Attr  ShareInfo // OUT
}

// ShareReplySize is the size of ShareReply in bytes.
const ShareReplySize = 104

// ShareInfo is what stat(2) says of a file. Times are ns since 1970.
type ShareInfo struct {
	Ino, Rdev                  uint64
	Mode, Nlink, UID, GID      uint32
	Size, Allocated            int64
	Atime, Mtime, Ctime, Btime int64
}

// ShareForgotten takes uses of a handle back.
type ShareForgotten struct{ Node, Count uint64 }

// ShareForgottenSize is the size of ShareForgotten in bytes.
const ShareForgottenSize = 16

// ShareEntry is the fixed part of a directory entry. The name follows; the next entry begins at a multiple of 8.
type ShareEntry struct {
	Ino    uint64
	Cookie uint64 // for what follows
	Type   uint32 // type bits of the mode
	Len    uint32 // of the name, 1 to 255
}

// ShareEntrySize is the size of ShareEntry in bytes.
const ShareEntrySize = 24

// ShareStat is what statfs(2) says of the file system that a directory is in.
type ShareStat struct {
	Type, BlockSize                       int64
	Blocks, Free, Avail, Files, FilesFree uint64
	ReadOnly                              uint64 // 1: nothing can be changed
}

// ShareStatSize is the size of ShareStat in bytes.
const ShareStatSize = 64

// ShareConfig is how a shared directory is configured.
type ShareConfig struct {
	Flags uint32    // OUT: Share bits
	Valid uint32    // OUT: for how long attributes and names may be believed, in ms
	Path  [256]byte // OUT: where it goes in the guest's tree, NUL-terminated, absolute
}

// Share bits of ShareConfig.
const ShareReadOnly = 1 // nothing can be changed
