package hostdir

import (
	"bytes"
	"encoding/binary"
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sizes of records, in bytes: of ours before the name, and of struct linux_dirent64 (getdents64(2)).
const (
	entryHeader  = 24
	entryAlign   = 8
	direntHeader = 19
	direntMax    = 280 // direntHeader, a name of nameMax bytes and NUL, aligned to 8

	// scratchMax bounds what one call asks the host for.
	scratchMax = 32 << 10
)

// MaxCookie is the largest cookie: others count positions from it. File systems that order names by hashes (ext4, btrfs) call the
// end the largest offset there is, and no name comes near.
const MaxCookie = math.MaxInt64 - 2

// Entries stores entries of a directory into buf, those that follow the cookie after; 0 starts. "." and ".." are left out.
// 0 bytes are the end. There are whole records only, little-endian, each with zeros up to a multiple of 8 bytes:
//
//	 0  ino     uint64
//	 8  cookie  uint64  what follows this entry follows this cookie; the host's d_off, at most MaxCookie
//	16  type    uint32  S_IF bits
//	20  length  uint32  of the name
//	24  name
//
// Cookies are the host's file system's: what is removed and added meanwhile shows as it does in readdir(3). Errors: those of
// open(2) and getdents(2), EINVAL if buf has no room for the next entry.
func (d *Dir) Entries(dir Node, after uint64, buf []byte) (int, syscall.Errno) {
	n, e := d.hold(dir)
	if e != 0 {
		return 0, e
	}
	defer d.release(n)
	if n.kind != syscall.S_IFDIR {
		return 0, syscall.ENOTDIR
	}
	fd, e := d.reopen(n, unix.O_RDONLY|unix.O_DIRECTORY)
	if e != 0 {
		return 0, e
	}
	defer unix.Close(fd)
	if after != 0 {
		if _, err := unix.Seek(fd, int64(after), unix.SEEK_SET); err != nil {
			return 0, errno(err)
		}
	}
	scratch := make([]byte, min(max(len(buf), direntMax), scratchMax))
	for {
		got, e := retry(func() (int, error) { return unix.Getdents(fd, scratch) })
		if e != 0 || got <= 0 {
			return 0, e
		}
		if n, e := translate(fd, scratch[:got], buf); n > 0 || e != 0 {
			return n, e
		}
		// Only what is left out was there: further on.
	}
}

// translate makes records of getdents64 ours, until buf is full. What does not fit is asked for again by its cookie.
func translate(fd int, from, buf []byte) (n int, e syscall.Errno) {
	for len(from) >= direntHeader {
		size := int(binary.NativeEndian.Uint16(from[16:]))
		if size < direntHeader || size > len(from) {
			return 0, syscall.EIO
		}
		r := from[:size]
		from = from[size:]
		name, _, _ := bytes.Cut(r[direntHeader:], []byte{0})
		if s := string(name); s == "." || s == ".." {
			continue
		}
		kind := uint32(r[18]) << 12 // IFTODT of dirent.h
		if kind == unix.DT_UNKNOWN || kind == unix.DT_WHT<<12 {
			var st unix.Statx_t
			err := unix.Statx(fd, string(name), unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE, &st)
			if err == syscall.ENOENT {
				continue // removed meanwhile
			} else if err != nil {
				return 0, errno(err)
			}
			kind = uint32(st.Mode) & syscall.S_IFMT
		}
		need := entryHeader + (len(name)+entryAlign-1)&^(entryAlign-1)
		if need > len(buf)-n {
			if n == 0 {
				return 0, syscall.EINVAL
			}
			return n, 0
		}
		out := buf[n : n+need]
		binary.LittleEndian.PutUint64(out[0:], binary.NativeEndian.Uint64(r[0:]))
		binary.LittleEndian.PutUint64(out[8:], min(binary.NativeEndian.Uint64(r[8:]), MaxCookie))
		binary.LittleEndian.PutUint32(out[16:], kind)
		binary.LittleEndian.PutUint32(out[20:], uint32(len(name)))
		clear(out[entryHeader+copy(out[entryHeader:], name):])
		n += need
	}
	return n, 0
}
