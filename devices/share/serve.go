package share

import (
	"math"
	"syscall"

	"ukvm.dev/hostdir"
	"ukvm.dev/hypercall"
	"ukvm.dev/internal/pieces"
)

// serve answers a request, unless that may take long: then it says so, and has done nothing.
func (d *Device) serve(q request) (r hypercall.ShareReply, later bool) {
	node, other := hostdir.Node(q.Node), hostdir.Node(q.Other)
	flag := q.Flags == 1
	switch hypercall.ShareOp(q.Op) {
	case hypercall.ShareLookup:
		n, a, errno := d.dir.Lookup(node, q.name)
		return found(n, a, errno), false
	case hypercall.ShareForget:
		d.forget(q.in)
		return r, false
	case hypercall.ShareAttr:
		return attr(d.dir.Attr(node)), false
	case hypercall.ShareSetAttr:
		if q.Set&hypercall.ShareSetSize != 0 {
			return r, true // blocks are freed
		}
		return attr(d.dir.SetAttr(node, change(&q))), false
	case hypercall.ShareMake:
		n, a, errno := d.dir.Make(node, q.name, q.Mode, q.name2)
		return found(n, a, errno), false
	case hypercall.ShareLink:
		return fail(d.dir.Link(node, q.name, other)), false
	case hypercall.ShareRemove:
		return fail(d.dir.Remove(node, q.name, flag)), false
	case hypercall.ShareRename:
		return fail(d.dir.Rename(node, q.name, other, q.name2, q.Flags)), false
	case hypercall.ShareReadlink:
		buf := make([]byte, min(pieces.Size(q.out), hypercall.MaxShareName))
		n, errno := d.dir.Readlink(node, buf)
		return answer(q.out, buf[:max(n, 0)], errno), false
	case hypercall.ShareEntries:
		buf := make([]byte, pieces.Size(q.out))
		n, errno := d.dir.Entries(node, q.Other, buf)
		return answer(q.out, buf[:max(n, 0)], errno), false
	case hypercall.ShareOpen:
		if errno := d.dir.Open(node, flag); errno != 0 {
			return fail(errno), false
		}
		return attr(d.dir.Attr(node)), false
	case hypercall.ShareClose:
		d.dir.Done(node)
		return r, false
	case hypercall.ShareRead:
		n, errno := d.dir.ReadAt(node, q.out, q.Offset, true)
		if errno == syscall.EAGAIN || errno == 0 && d.more(node, q.Offset+int64(n), pieces.Size(q.out)-n) {
			return r, true
		}
		d.Counters.Read += uint64(max(n, 0))
		return hypercall.ShareReply{Errno: uint32(errno), N: int64(n)}, false
	case hypercall.ShareWrite:
		return d.write(&q, q.in), false
	case hypercall.ShareNext:
		at, errno := d.dir.Next(node, q.Offset, flag)
		return hypercall.ShareReply{Errno: uint32(errno), N: at}, false
	case hypercall.ShareStatfs:
		s, errno := d.dir.Statfs()
		var b [hypercall.ShareStatSize]byte
		stat := hypercall.ShareStat{
			Type: s.Type, BlockSize: s.BlockSize, Blocks: s.Blocks, Free: s.Free, Avail: s.Avail, Files: s.Files, FilesFree: s.FilesFree,
		}
		if s.ReadOnly {
			stat.ReadOnly = 1
		}
		stat.Put(b[:])
		return answer(q.out, b[:], errno), false
	case hypercall.ShareLock:
		return fail(d.dir.Lock(node, int(q.Flags))), false
	case hypercall.ShareMap:
		return d.show(node, &q), false
	case hypercall.ShareUnmap:
		return fail(d.files.Unmap(hypercall.GVA(q.Offset))), false
	case hypercall.ShareAllocate, hypercall.ShareSync:
		return r, true
	}
	return fail(syscall.ENOSYS), false
}

// more reports whether a read ended where the host's memory did and not the file: the guest wanted so many more bytes at an offset.
func (d *Device) more(n hostdir.Node, at int64, missing int) bool {
	if missing == 0 {
		return false
	}
	a, errno := d.dir.Attr(n)
	return errno == 0 && at < a.Size
}

// serveLater does, on a worker, what serve would not. What a read gets is put into data.
func (d *Device) serveLater(q *request, data []byte) hypercall.ShareReply {
	node := hostdir.Node(q.Node)
	switch hypercall.ShareOp(q.Op) {
	case hypercall.ShareSetAttr:
		return attr(d.dir.SetAttr(node, change(q)))
	case hypercall.ShareRead:
		n, errno := d.dir.ReadAt(node, [][]byte{data}, q.Offset, false)
		return hypercall.ShareReply{Errno: uint32(errno), N: int64(n)}
	case hypercall.ShareAllocate:
		if errno := d.dir.Allocate(node, q.Flags, q.Offset, q.Size); errno != 0 {
			return fail(errno)
		}
		return attr(d.dir.Attr(node))
	case hypercall.ShareSync:
		return fail(d.dir.Sync(node, q.Flags == 1))
	}
	return fail(syscall.ENOSYS)
}

func (d *Device) write(q *request, data [][]byte) hypercall.ShareReply {
	node := hostdir.Node(q.Node)
	n, end, errno := d.dir.WriteAt(node, data, q.Offset, q.Flags == 1)
	if errno != 0 {
		return fail(errno)
	}
	d.Counters.Written += uint64(n)
	r := attr(d.dir.Attr(node))
	r.N, r.Node = int64(n), uint64(end)
	return r
}

// show has a part of a file appear in the guest's memory.
func (d *Device) show(n hostdir.Node, q *request) hypercall.ShareReply {
	const page = hypercall.PageSize - 1
	if q.Offset < 0 || q.Offset&page != 0 || q.Size <= 0 || q.Size&page != 0 || q.Offset > math.MaxInt64-q.Size {
		return fail(syscall.EINVAL)
	}
	if q.Size > hypercall.FilesSpan {
		return fail(syscall.ENOMEM)
	}
	write := q.Flags == 1
	fd, errno := d.dir.Descriptor(n, write)
	if errno != 0 {
		return fail(errno)
	}
	va, errno := d.files.Map(fd, q.Offset, uint64(q.Size), write)
	return hypercall.ShareReply{Errno: uint32(errno), N: int64(va)}
}

// forget takes uses of handles back.
func (d *Device) forget(list [][]byte) {
	b := make([]byte, pieces.Size(list))
	pieces.Gather(b, list)
	for ; len(b) >= hypercall.ShareForgottenSize; b = b[hypercall.ShareForgottenSize:] {
		var f hypercall.ShareForgotten
		f.Get(b)
		d.dir.Forget(hostdir.Node(f.Node), f.Count)
	}
}

func change(q *request) hostdir.Change {
	return hostdir.Change{Set: q.Set, Mode: q.Mode, UID: q.UID, GID: q.GID, Size: q.Size, Atime: q.Atime, Mtime: q.Mtime}
}

func found(n hostdir.Node, a hostdir.Attr, errno syscall.Errno) hypercall.ShareReply {
	return hypercall.ShareReply{Errno: uint32(errno), Node: uint64(n), Attr: infoOf(a)}
}

func attr(a hostdir.Attr, errno syscall.Errno) hypercall.ShareReply {
	return hypercall.ShareReply{Errno: uint32(errno), Attr: infoOf(a)}
}

// answer puts data where the guest wants it.
func answer(out [][]byte, data []byte, errno syscall.Errno) hypercall.ShareReply {
	if errno != 0 {
		return fail(errno)
	}
	return hypercall.ShareReply{N: int64(len(data) - len(pieces.Scatter(out, data)))}
}
