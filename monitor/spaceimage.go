package monitor

import (
	"os"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/monitor/loader"
	"ukvm.dev/monitor/paging"
)

// loadImage maps an image. One that is small beside the RAM is mapped at once, its file pages straight from the file;
// of a larger one only what is touched comes in.
func (s *space) loadImage(m *loader.Image, f *os.File) error {
	s.image, s.file = m, f
	for i := range m.Segments {
		s.imageSize += m.Segments[i].FileSize
	}
	for i := range m.Segments {
		seg := &m.Segments[i]
		s.addRegion(seg.Start, seg.End(), seg.Prot)
		if s.imageSize > s.ram.Size()/4 {
			continue
		}
		if err := s.mapFile(seg); err != nil {
			return err
		}
	}
	return nil
}

// mapFile maps the whole pages that a segment has in the file, straight from the file, and commits the
// start of what follows.
func (s *space) mapFile(seg *loader.Segment) error {
	whole := seg.FileSize &^ (hypercall.PageSize - 1)
	for at := uint64(0); at < whole; {
		order := 0
		for order < guestmem.MaxOrder && at+hypercall.PageSize<<(order+1) <= whole {
			order++
		}
		gpa, ok := s.ram.AllocCold(order)
		if !ok {
			return paging.ErrNoMemory
		}
		n := uint64(hypercall.PageSize) << order
		if err := s.ram.ShowFile(gpa, n, s.file, seg.Offset+int64(at)); err != nil {
			return err
		}
		if err := s.tables.Map(seg.Start+hypercall.GVA(at), gpa, n, seg.Prot); err != nil {
			return err
		}
		at += n
	}
	rest := seg.Start + hypercall.GVA(whole)
	return s.commit(rest, min(rest+early, seg.End()), seg.Prot)
}

// early is how much of a segment's zeroes is committed from the start: Go's runtime touches all of its own.
const early = 256 << 10

// addRegion enters a range into the guest's region table before the guest starts. Ranges come in ascending order.
func (s *space) addRegion(start, end hypercall.GVA, prot uint32) {
	s.regions.Table[s.regions.Count] = hypercall.Region{Start: start, End: end, Prot: prot, Used: 1}
	s.regions.Count++
}
