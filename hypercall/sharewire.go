package hypercall

// The structures of share.go as bytes, little-endian, at the offsets that they have in memory. Requests and what they carry need not
// be aligned, and lie in several pieces of memory for the monitor.

// Put writes q to the first ShareRequestSize bytes of b.
func (q *ShareRequest) Put(b []byte) {
	put32(b, q.Op, q.Flags)
	put64(b[8:], q.Node, q.Other, uint64(q.Offset), uint64(q.Size), uint64(q.Atime), uint64(q.Mtime))
	put32(b[56:], q.Set, q.Mode, q.UID, q.GID, uint32(q.Name)|uint32(q.Name2)<<16, 0)
}

// Get reads q from the first ShareRequestSize bytes of b.
func (q *ShareRequest) Get(b []byte) {
	*q = ShareRequest{
		Op: get32(b), Flags: get32(b[4:]), Node: get64(b[8:]), Other: get64(b[16:]), Offset: int64(get64(b[24:])),
		Size: int64(get64(b[32:])), Atime: int64(get64(b[40:])), Mtime: int64(get64(b[48:])), Set: get32(b[56:]), Mode: get32(b[60:]),
		UID: get32(b[64:]), GID: get32(b[68:]), Name: uint16(get32(b[72:])), Name2: uint16(get32(b[72:]) >> 16),
	}
}

// Put writes r to the first ShareReplySize bytes of b.
func (r *ShareReply) Put(b []byte) {
	a := &r.Attr
	put32(b, r.Errno, 0)
	put64(b[8:], uint64(r.N), r.Node, a.Ino, a.Rdev)
	put32(b[40:], a.Mode, a.Nlink, a.UID, a.GID)
	put64(b[56:], uint64(a.Size), uint64(a.Allocated), uint64(a.Atime), uint64(a.Mtime), uint64(a.Ctime), uint64(a.Btime))
}

// Get reads r from the first ShareReplySize bytes of b.
func (r *ShareReply) Get(b []byte) {
	*r = ShareReply{Errno: get32(b), N: int64(get64(b[8:])), Node: get64(b[16:]), Attr: ShareInfo{
		Ino: get64(b[24:]), Rdev: get64(b[32:]), Mode: get32(b[40:]), Nlink: get32(b[44:]), UID: get32(b[48:]), GID: get32(b[52:]),
		Size: int64(get64(b[56:])), Allocated: int64(get64(b[64:])), Atime: int64(get64(b[72:])), Mtime: int64(get64(b[80:])),
		Ctime: int64(get64(b[88:])), Btime: int64(get64(b[96:])),
	}}
}

// Put writes f to the first ShareForgottenSize bytes of b.
func (f *ShareForgotten) Put(b []byte) { put64(b, f.Node, f.Count) }

// Get reads f from the first ShareForgottenSize bytes of b.
func (f *ShareForgotten) Get(b []byte) { *f = ShareForgotten{Node: get64(b), Count: get64(b[8:])} }

// Put writes e to the first ShareEntrySize bytes of b.
func (e *ShareEntry) Put(b []byte) {
	put64(b, e.Ino, e.Cookie)
	put32(b[16:], e.Type, e.Len)
}

// Get reads e from the first ShareEntrySize bytes of b.
func (e *ShareEntry) Get(b []byte) {
	*e = ShareEntry{Ino: get64(b), Cookie: get64(b[8:]), Type: get32(b[16:]), Len: get32(b[20:])}
}

// Put writes s to the first ShareStatSize bytes of b.
func (s *ShareStat) Put(b []byte) {
	put64(b, uint64(s.Type), uint64(s.BlockSize), s.Blocks, s.Free, s.Avail, s.Files, s.FilesFree, s.ReadOnly)
}

// Get reads s from the first ShareStatSize bytes of b.
func (s *ShareStat) Get(b []byte) {
	*s = ShareStat{
		Type: int64(get64(b)), BlockSize: int64(get64(b[8:])), Blocks: get64(b[16:]), Free: get64(b[24:]), Avail: get64(b[32:]),
		Files: get64(b[40:]), FilesFree: get64(b[48:]), ReadOnly: get64(b[56:]),
	}
}

func put32(b []byte, values ...uint32) {
	for i, v := range values {
		p := b[4*i : 4*i+4]
		p[0], p[1], p[2], p[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
}

func put64(b []byte, values ...uint64) {
	for i, v := range values {
		put32(b[8*i:], uint32(v), uint32(v>>32))
	}
}

func get32(b []byte) uint32 {
	p := b[:4]
	return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24
}

func get64(b []byte) uint64 { return uint64(get32(b)) | uint64(get32(b[4:]))<<32 }
