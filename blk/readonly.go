package blk

type readOnly struct{ Backend }

// ReadOnly is a disk that cannot be changed: what would change it fails with ErrReadOnly, after the disk's range was
// checked. Flush has nothing to do. Closing it closes b.
func ReadOnly(b Backend) Backend { return readOnly{b} }

func (r readOnly) Info() Info {
	i := r.Backend.Info()
	i.ReadOnly, i.Granularity = true, 0
	return i
}

// refuse asks the disk itself whether it is closed, with a read of nothing.
func (r readOnly) refuse(off, n int64) error {
	if err := r.Info().Check(off, n); err != nil {
		return err
	}
	if err := r.ReadAt(nil, off); err != nil {
		return err
	}
	return ErrReadOnly
}

func (r readOnly) WriteAt(vec [][]byte, off int64) error { return r.refuse(off, Len(vec)) }
func (r readOnly) Discard(off, n int64) error            { return r.refuse(off, n) }
func (r readOnly) WriteZeroes(off, n int64) error        { return r.refuse(off, n) }
func (r readOnly) Flush() error                          { return r.ReadAt(nil, 0) }
