package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

const (
	magic      = "070701"
	headerSize = len(magic) + 13*8
	trailer    = "TRAILER!!!"
)

var trailerSize = encodedSize(len(trailer), 0)

// File types and permission bits that fs.FileMode keeps elsewhere (cpio(5), stat(2)).
const (
	typeDir  = 0o040000
	typeFile = 0o100000
	typeLink = 0o120000

	setUID = 0o4000
	setGID = 0o2000
	sticky = 0o1000
)

// Bytes reads the files and returns the archive; its length is Size.
func (b *Builder) Bytes() ([]byte, error) {
	out := make([]byte, 0, b.Size())
	for i := range b.members {
		m := &b.members[i]
		var err error
		if out, err = m.encode(out, uint32(i+1)); err != nil {
			return nil, fmt.Errorf("copy %s: %w", m.host, pathless(err))
		}
	}
	return pad(appendHeader(out, header{name: trailer, links: 1})), nil
}

// encode appends the member. inode must differ from that of every other one.
func (m *member) encode(out []byte, inode uint32) ([]byte, error) {
	h := header{name: m.name, inode: inode, mode: unixMode(m.mode), links: 1, mtime: clampTime(m.mtime)}
	switch m.mode.Type() {
	case fs.ModeDir:
		h.links = 2
		return appendHeader(out, h), nil
	case fs.ModeSymlink:
		h.size = uint32(len(m.target))
		return pad(append(appendHeader(out, h), m.target...)), nil
	}
	h.size = uint32(m.size)
	out = appendHeader(out, h)
	n := len(out)
	out = out[:n+int(m.size)] // Bytes has made room
	if err := readFile(m.host, out[n:]); err != nil {
		return nil, err
	}
	return pad(out), nil
}

// readFile fills b from the beginning of a file.
func readFile(name string, b []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("it became shorter while it was read")
	}
	return err
}

// header is what a member's header says.
type header struct {
	name                            string
	inode, mode, links, mtime, size uint32
}

// appendHeader appends a header and the name. Numbers that are not in header are 0: owner, group, devices, checksum.
func appendHeader(out []byte, h header) []byte {
	out = append(out, magic...)
	for _, v := range [13]uint32{h.inode, h.mode, 0, 0, h.links, h.mtime, h.size, 0, 0, 0, 0, uint32(len(h.name) + 1), 0} {
		out = fmt.Appendf(out, "%08x", v)
	}
	return pad(append(append(out, h.name...), 0))
}

// pad appends zeroes up to a multiple of 4. The archive begins at one.
func pad(out []byte) []byte {
	return append(out, make([]byte, pad4(len(out))-len(out))...)
}

func pad4(n int) int { return (n + 3) &^ 3 }

func (m *member) encodedSize() int64 {
	return encodedSize(len(m.name), m.size+int64(len(m.target)))
}

func encodedSize(name int, data int64) int64 {
	return int64(pad4(headerSize+name+1)) + (data+3)&^3
}

// unixMode is a mode as stat(2) has it.
func unixMode(m fs.FileMode) uint32 {
	u := uint32(m.Perm())
	for _, bit := range []struct {
		mode fs.FileMode
		unix uint32
	}{{fs.ModeSetuid, setUID}, {fs.ModeSetgid, setGID}, {fs.ModeSticky, sticky}} {
		if m&bit.mode != 0 {
			u |= bit.unix
		}
	}
	switch m.Type() {
	case fs.ModeDir:
		return u | typeDir
	case fs.ModeSymlink:
		return u | typeLink
	}
	return u | typeFile
}

// clampTime is a time in the range of a header.
func clampTime(seconds int64) uint32 {
	return uint32(min(max(seconds, 0), 1<<32-1))
}
