package monitor

import (
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/kvm"
)

// ports are those around every border decode knows.
var ports = []uint16{
	0, 1, hypercall.PortException - 1, hypercall.PortException, hypercall.PortException + 14, hypercall.PortException + 31,
	hypercall.PortException + 32, hypercall.PortCall - 1, hypercall.PortCall, hypercall.PortCall + uint16(hypercall.CallMax) - 1,
	hypercall.PortCall + uint16(hypercall.CallMax), 0xffff,
}

// TestDecodeIO tries every form of port access on those ports. The model is the sentence in hypercall/calls.go: a call or
// an exception is an OUT of four bytes, once, to one of their ports.
func TestDecodeIO(t *testing.T) {
	for _, port := range ports {
		for _, out := range []bool{false, true} {
			for _, size := range []uint8{0, 1, 2, 4, 8} {
				for _, count := range []uint32{0, 1, 2, 1 << 31} {
					want, wantNumber := eventBadIO, int(port)
					if out && size == 4 && count == 1 {
						for n := range hypercall.CallMax {
							if port == hypercall.PortCall+uint16(n) {
								want, wantNumber = eventCall, int(n)
							}
						}
						for v := range 32 {
							if int(port) == hypercall.PortException+v {
								want, wantNumber = eventException, v
							}
						}
					}
					io := kvm.IO{Out: out, Size: size, Port: port, Count: count}
					if e, number := decode(kvm.ExitIO, io); e != want || number != wantNumber {
						t.Errorf("%+v: event %d, number %d; want %d, %d", io, e, number, want, wantNumber)
					}
				}
			}
		}
	}
}

// TestDecodeReason tries every exit reason there is, with a port access in the exit area that must not matter.
func TestDecodeReason(t *testing.T) {
	call := kvm.IO{Out: true, Size: 4, Port: hypercall.PortCall, Count: 1}
	for reason := range uint32(256) {
		want, wantNumber := eventUnknown, int(reason)
		switch reason {
		case 2: // I/O
			want, wantNumber = eventCall, 0
		case 8: // shutdown
			want, wantNumber = eventShutdown, 0
		case 9, 17: // failed entry, internal error
			want = eventFailure
		case 39: // memory fault
			want, wantNumber = eventMemory, 0
		}
		if e, number := decode(reason, call); e != want || number != wantNumber {
			t.Errorf("reason %d: event %d, number %d; want %d, %d", reason, e, number, want, wantNumber)
		}
	}
}
