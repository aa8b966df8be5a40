package file

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ukvm.dev/blk"
	"ukvm.dev/internal/pieces"
)

// bounceSize is how much of an unaligned request goes through aligned memory at a time.
const bounceSize = 256 << 10

// prepareDirect asks for the alignment that direct I/O needs (statx(2), STATX_DIOALIGN, Linux 6.1).
func (d *disk) prepareDirect() error {
	var st unix.Statx_t
	if err := unix.Statx(d.fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st); err != nil {
		return err
	}
	if st.Mask&unix.STATX_DIOALIGN == 0 {
		return fmt.Errorf("its file system or this kernel doesn't tell what direct I/O needs")
	}
	if st.Dio_mem_align == 0 || st.Dio_offset_align == 0 || st.Dio_mem_align > bounceSize {
		return fmt.Errorf("its file system has no direct I/O for it")
	}
	if d.info.BlockSize%int64(st.Dio_offset_align) != 0 {
		return fmt.Errorf("direct I/O is in blocks of %d bytes, the disk's are of %d", st.Dio_offset_align, d.info.BlockSize)
	}
	d.align = int(st.Dio_mem_align)
	return nil
}

// bounce does what transfer does for a vector that direct I/O cannot take.
func (d *disk) bounce(vec [][]byte, off int64, write bool) error {
	total := blk.Len(vec)
	buf := alignedBuffer(int(min(total, bounceSize)), d.align)
	for total > 0 {
		b := buf[:min(total, int64(len(buf)))]
		part, rest := pieces.Cut(vec, int64(len(b)))
		if write {
			pieces.Gather(b, part)
		}
		if err := d.transfer([][]byte{b}, off, write); err != nil {
			return err
		}
		if !write {
			pieces.Scatter(part, b)
		}
		vec, off, total = rest, off+int64(len(b)), total-int64(len(b))
	}
	return nil
}
