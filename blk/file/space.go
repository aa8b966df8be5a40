package file

import (
	"golang.org/x/sys/unix"
)

// zeroPiece is how much WriteZeroes writes at a time where it has to write.
const zeroPiece = 256 << 10

// Discard punches a hole, which reads as zeroes and gives the space back, of a preallocated image too. Where the file
// system or the device has no holes it does nothing, as a discard may: what is read there is what was there before.
func (d *disk) Discard(off, n int64) error {
	if err := d.gate.Enter(d.info, off, n, true); err != nil {
		return err
	}
	defer d.gate.Leave()
	if n == 0 || !d.punchHole.Load() {
		return nil
	}
	err := retry(func() error {
		return unix.Fallocate(d.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if err == unix.EOPNOTSUPP {
		d.punchHole.Store(false)
		return nil
	}
	if err != nil {
		return d.fail("discard", off, err)
	}
	return nil
}

// WriteZeroes takes or keeps the space, so that later writes there find room: FALLOC_FL_ZERO_RANGE, or where the file
// system has none, as tmpfs, written zeroes.
func (d *disk) WriteZeroes(off, n int64) error {
	if err := d.gate.Enter(d.info, off, n, true); err != nil {
		return err
	}
	defer d.gate.Leave()
	if n == 0 {
		return nil
	}
	if d.zeroRange.Load() {
		err := retry(func() error {
			return unix.Fallocate(d.fd, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		})
		if err == nil {
			return nil
		}
		if err != unix.EOPNOTSUPP {
			return d.fail("write zeroes", off, err)
		}
		d.zeroRange.Store(false)
	}
	zeroes := alignedBuffer(int(min(n, zeroPiece)), max(1, d.align))
	for n > 0 {
		b := zeroes[:min(n, int64(len(zeroes)))]
		if err := d.transfer([][]byte{b}, off, true); err != nil {
			return err
		}
		off, n = off+int64(len(b)), n-int64(len(b))
	}
	return nil
}
