// Package cpio reads archives in the "new ASCII" format of cpio (newc), which the Linux kernel also takes its initial
// root from (Documentation/driver-api/early-userspace/buffer-format.rst). Contents are not copied: they are slices of
// the archive.
//
//	archive = { header name NUL pad4 data pad4 } , ended by the name "TRAILER!!!"
//	header  = magic "070701", then 13 numbers of 8 hexadecimal digits
//
// The variant with checksums ("070702") is read too; sums are not checked. Each member carries its own contents: hard
// links, which some writers store without, are not joined.
package cpio

import "errors"

// Header is one member of an archive. It has what the root file system needs.
type Header struct {
	Mode, UID, GID uint32
	Mtime          uint32 // seconds since 1970
	Rdev           uint64 // as stat(2) has it
	Name           string
	Data           []byte // contents, or a symbolic link's target; part of the archive
}

// Errors of Reader.Next.
var (
	ErrFormat = errors.New("read cpio archive: no member header where one should be")
	ErrShort  = errors.New("read cpio archive: the archive ends within a member")
)

// Reader walks through an archive. The zero Reader has none.
type Reader struct {
	b    []byte
	at   int
	done bool
}

// NewReader returns a Reader of the archive b, which must not change as long as its contents are in use.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Offset returns where in the archive the next member begins, for messages.
func (r *Reader) Offset() int { return r.at }

// Fields of a header by index of their 8 digits.
const (
	fieldIno = iota
	fieldMode
	fieldUID
	fieldGID
	fieldNlink
	fieldMtime
	fieldSize
	fieldDevMajor
	fieldDevMinor
	fieldRdevMajor
	fieldRdevMinor
	fieldNameSize
	fieldCheck
	fields

	magicSize  = 6
	headerSize = magicSize + 8*fields
	trailer    = "TRAILER!!!"
)

// Next returns the next member. ok is false at the end of the archive.
func (r *Reader) Next() (h Header, ok bool, err error) {
	if r.done || r.at == len(r.b) {
		return Header{}, false, nil
	}
	rest := r.b[r.at:]
	if len(rest) < headerSize {
		return Header{}, false, ErrShort
	}
	if m := string(rest[:magicSize]); m != "070701" && m != "070702" {
		return Header{}, false, ErrFormat
	}
	var f [fields]uint32
	for i := range f {
		if f[i], ok = hex8(rest[magicSize+8*i:]); !ok {
			return Header{}, false, ErrFormat
		}
	}
	nameSize, size := uint64(f[fieldNameSize]), uint64(f[fieldSize])
	data := pad4(headerSize + nameSize)
	end := data + size
	if nameSize == 0 || end > uint64(len(rest)) {
		return Header{}, false, ErrShort
	}
	name := rest[headerSize : headerSize+nameSize]
	if name[nameSize-1] != 0 {
		return Header{}, false, ErrFormat
	}
	h = Header{
		Mode: f[fieldMode], UID: f[fieldUID], GID: f[fieldGID], Mtime: f[fieldMtime],
		Rdev: Device(f[fieldRdevMajor], f[fieldRdevMinor]),
		Name: string(name[:nameSize-1]),
		Data: rest[data:end:end],
	}
	if h.Name == trailer {
		r.done = true
		return Header{}, false, nil
	}
	// The padding after the last member may be cut off.
	r.at += int(min(pad4(end), uint64(len(rest))))
	return h, true, nil
}

// Device joins a device's numbers as stat(2) does (makedev(3)).
func Device(major, minor uint32) uint64 {
	ma, mi := uint64(major), uint64(minor)
	return mi&0xff | ma&0xfff<<8 | mi&^0xff<<12 | ma&^0xfff<<32
}

func pad4(n uint64) uint64 { return (n + 3) &^ 3 }

func hex8(b []byte) (v uint32, ok bool) {
	for _, c := range b[:8] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint32(c)
	}
	return v, true
}
