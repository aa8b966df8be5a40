package monitor

import (
	"errors"
	"slices"
	"syscall"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
)

// Files of shared directories appear among the guest's addresses, between FilesVA and FilesEnd, where an address says which byte of
// the window it shows: a page that is touched comes in as elsewhere, but it is the host's page of the file (package guestmem,
// Window). The region table says what the guest may do with it, and the mapping what it can.

// How much of files may appear, in bytes: so many times the guest's memory, since KVM keeps books of each page.
const (
	filesShare = 16
	filesMin   = 1 << 30
)

// inFiles is the part of [start, end) where files appear; if there is none, from is not below to.
func inFiles(start, end hypercall.GVA) (from, to hypercall.GVA) {
	return max(start, hypercall.FilesVA), min(end, hypercall.FilesEnd)
}

// aroundFiles calls files for the part of [start, end) where files appear, and ram for the rest.
func aroundFiles(start, end hypercall.GVA, ram, files func(from, to hypercall.GVA) error) error {
	from, to := inFiles(start, end)
	if from >= to {
		return ram(start, end)
	}
	if start < from {
		if err := ram(start, from); err != nil {
			return err
		}
	}
	if err := files(from, to); err != nil {
		return err
	}
	if to < end {
		return ram(to, end)
	}
	return nil
}

// faultFile makes the page at va present, which is where files appear, in a region that allows the access. Errors are errBadAddress,
// guestmem.ErrFileEnd and paging.ErrNoMemory.
func (s *space) faultFile(va hypercall.GVA, access uint32, r hypercall.Region) error {
	page := va &^ (hypercall.PageSize - 1)
	off := uint64(page - hypercall.FilesVA)
	f := s.window.At(off)
	if f == nil || access == hypercall.ProtExec || access == hypercall.ProtWrite && !f.Write {
		return errBadAddress
	}
	if err := s.window.Bring(f, off, access == hypercall.ProtWrite); err != nil {
		return err
	}
	prot := r.Prot &^ hypercall.ProtExec
	if !f.Write {
		prot &^= hypercall.ProtWrite
	}
	// Neighbours come along. They cost no memory, and the host looks for them only when they are touched.
	st := s.stream(page)
	end := min(page+hypercall.GVA(st.chunk), r.End, page+hypercall.GVA(s.window.Valid(f, off)))
	st.end = end
	for at := page; at < end; {
		n, held := s.tables.Held(at)
		n = min(n, uint64(end-at))
		if !held {
			n = min(n, hypercall.PageSize) // in a table of the last level the next entry may be held
			if err := s.showFile(at, prot); err != nil {
				return err
			}
		}
		at += hypercall.GVA(n)
	}
	return nil
}

// showFile maps one page.
func (s *space) showFile(va hypercall.GVA, prot uint32) error {
	if !s.room(tablesRoom) {
		return nil // it comes when it is touched, or the guest has used up its memory by then
	}
	s.filePages++
	return s.tables.Map(va, s.window.GPA(uint64(va-hypercall.FilesVA)), hypercall.PageSize, prot)
}

// dropFiles takes pages of files away, which stay what they are on the host.
func (s *space) dropFiles(start, end hypercall.GVA) error {
	s.runs = s.tables.Unmap(start, end, s.runs[:0])
	return s.flushFiles()
}

// protectFiles changes the protection of pages of files that are present, as far as the mapping goes.
func (s *space) protectFiles(start, end hypercall.GVA, prot uint32) error {
	prot &^= hypercall.ProtExec
	for _, f := range s.window.Files() {
		at := hypercall.FilesVA + hypercall.GVA(f.Off)
		from, to := max(start, at), min(end, at+hypercall.GVA(f.Len))
		if from >= to {
			continue
		}
		can := prot
		if !f.Write {
			can &^= hypercall.ProtWrite
		}
		s.runs = s.tables.Protect(from, to, can, s.runs[:0])
		if err := s.flushFiles(); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) flushFiles() error {
	for _, r := range s.runs {
		if err := s.window.Flush(r.GPA, r.Len); err != nil {
			return err
		}
	}
	return nil
}

// forgetFiles takes away every page of files, and reports whether there was one: KVM could not have a page, which may be one of those.
// What is touched next is looked at anew.
func (s *space) forgetFiles() (some bool, err error) {
	if s.filePages == 0 {
		return false, nil
	}
	s.filePages = 0
	s.runs = s.tables.Unmap(hypercall.FilesVA, hypercall.FilesEnd, s.runs[:0])
	return len(s.runs) > 0, s.flushFiles()
}

// fileMapper is a VM as shared directories see it (share.Mapper).
type fileMapper struct{ vm *VM }

// Map has n bytes of a file, whose descriptor it takes over, appear among the guest's addresses.
func (m fileMapper) Map(fd int, at int64, n uint64, write bool) (va hypercall.GVA, errno syscall.Errno) {
	va, err := m.mapFile(fd, at, n, write)
	if err != nil {
		syscall.Close(fd)
		return 0, mapErrno(err)
	}
	return va, 0
}

func (m fileMapper) mapFile(fd int, at int64, n uint64, write bool) (hypercall.GVA, error) {
	s := m.vm.space
	if s.window == nil {
		limit := min(max(filesShare*s.ram.Size(), filesMin), hypercall.FilesSpan)
		w, err := guestmem.NewWindow(s.ram, hypercall.FilesSpan, limit)
		if err != nil {
			return 0, err
		}
		s.window = w
	}
	f, fresh, err := s.window.Map(fd, at, n, write)
	if errors.Is(err, guestmem.ErrWindowFull) {
		if err = m.tidy(); err == nil {
			f, fresh, err = s.window.Map(fd, at, n, write)
		}
	}
	if err != nil {
		return 0, err
	}
	if fresh {
		slot := s.window.Slot(f)
		if err := m.vm.machine.AddMemory(uint64(slot.GPA), slot.Mem); err != nil {
			s.window.Abandon(f)
			return 0, err
		}
	}
	return hypercall.FilesVA + hypercall.GVA(f.Off), nil
}

// tidy makes the places free where nothing is any more. That costs what Forget does, which is why places are kept.
func (m fileMapper) tidy() error {
	w := m.vm.space.window
	for _, f := range slices.Clone(w.Files()) {
		if !f.Idle() {
			continue
		}
		if err := m.vm.machine.RemoveMemory(uint64(w.Slot(f).GPA)); err != nil {
			return err
		}
		w.Remove(f)
	}
	return nil
}

// mapErrno is what a guest is told of an error.
func mapErrno(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.ENOMEM
}

// Unmap takes away what appears at va. Errors: EINVAL if Map has not returned it.
func (m fileMapper) Unmap(va hypercall.GVA) syscall.Errno {
	s := m.vm.space
	if va < hypercall.FilesVA || va >= hypercall.FilesEnd {
		return syscall.EINVAL
	}
	off := uint64(va - hypercall.FilesVA)
	f := s.window.At(off)
	if f == nil || f.Off != off {
		return syscall.EINVAL
	}
	if err := s.dropFiles(va, va+hypercall.GVA(f.Len)); err != nil {
		return mapErrno(err)
	}
	if err := s.window.Unmap(f); err != nil {
		return mapErrno(err)
	}
	return 0
}
