package monitor

import (
	"bytes"
	"encoding/binary"

	"ukvm.dev/hypercall"
)

// Counter is a counter of the guest's operating system.
type Counter struct {
	Name  string
	Value uint64
}

// GuestCounters returns the counters of the guest's network stack, as they are when Run has returned; before that, after
// Close, and of a guest that has none it returns nil. What they say is the guest's word.
func (vm *VM) GuestCounters() []Counter {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.closed || vm.ended == nil || vm.space == nil {
		return nil
	}
	select {
	case <-vm.ended:
	default:
		return nil
	}
	return vm.space.counters()
}

// counters reads what the guest has named. Whatever it has written there, nothing but a shorter list comes of it.
func (s *space) counters() (l []Counter) {
	array, n := s.control.Log.Counters, min(s.control.Log.CounterCount, hypercall.CountersMax)
	var c [counterSize]byte
	for i := range n {
		if !s.peek(array+hypercall.GVA(i*counterSize), c[:]) {
			break
		}
		name, value := c[:nameSize], [8]byte{}
		end := bytes.IndexByte(name, 0)
		if end <= 0 || bytes.ContainsFunc(name[:end], func(r rune) bool { return r <= ' ' || r > '~' }) {
			continue
		}
		if s.peek(hypercall.GVA(binary.LittleEndian.Uint64(c[nameSize:])), value[:]) {
			l = append(l, Counter{string(name[:end]), binary.LittleEndian.Uint64(value[:])})
		}
	}
	return l
}

const (
	nameSize    = len(hypercall.Counter{}.Name)
	counterSize = uint64(nameSize + 8)
)

// peek copies from memory of the guest that is there and that the guest can read; no page is brought for it.
func (s *space) peek(va hypercall.GVA, b []byte) bool {
	for len(b) > 0 {
		if va >= hypercall.UserEnd {
			return false
		}
		gpa, prot, ok := s.tables.Lookup(va)
		if !ok || prot&hypercall.ProtRead == 0 {
			return false
		}
		n := min(len(b), int(hypercall.PageSize-uint64(va)%hypercall.PageSize))
		from, ok := s.ram.Bytes(gpa, uint64(n))
		if !ok {
			return false
		}
		b, va = b[copy(b, from):], va+hypercall.GVA(n)
	}
	return true
}
