package file

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// maxPieces is IOV_MAX of Linux, the longest vector of one system call.
const maxPieces = 1024

// transfer moves a whole vector; the caller has checked its range.
func (d *disk) transfer(vec [][]byte, off int64, write bool) error {
	what, call := "read", unix.Preadv
	if write {
		what, call = "write", unix.Pwritev
	}
	var batch [][]byte // a copy, whose first piece may be cut
	for {
		for len(batch) < maxPieces && len(vec) > 0 {
			if len(vec[0]) > 0 {
				batch = append(batch, vec[0])
			}
			vec = vec[1:]
		}
		if len(batch) == 0 {
			return nil
		}
		var n int
		err := retry(func() (err error) { n, err = call(d.fd, batch, off); return err })
		if err != nil {
			return d.fail(what, off, err)
		}
		if n == 0 {
			return fmt.Errorf("image %s: %s at %d: it has become shorter than its disk: %w", d.path, what, off, io.ErrUnexpectedEOF)
		}
		off += int64(n)
		for len(batch) > 0 && n >= len(batch[0]) {
			n -= len(batch[0])
			batch = batch[1:]
		}
		if n > 0 {
			batch[0] = batch[0][n:]
		}
	}
}
