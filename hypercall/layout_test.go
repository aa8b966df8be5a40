package hypercall

import (
	"testing"
	"unsafe"
)

// TestLayout pins what both sides were built for: a size or offset that changes here needs a new Version.
func TestLayout(t *testing.T) {
	var (
		c Control
		b Boot
		a Avail
		u Used
		q Queue
		k Clock
		n NetConfig
		r Regions
	)
	for _, f := range []struct {
		name      string
		got, want uintptr
	}{
		{"Frame", unsafe.Sizeof(Frame{}), 144},
		{"Frame.RSP", unsafe.Offsetof(c.Frame.RSP), 48},
		{"Frame.RIP", unsafe.Offsetof(c.Frame.RIP), 128},
		{"Frame.RFLAGS", unsafe.Offsetof(c.Frame.RFLAGS), 136},
		{"Control.Mask", unsafe.Offsetof(c.Mask), 0},
		{"Control.Pending", unsafe.Offsetof(c.Pending), 8},
		{"Control.Resume", unsafe.Offsetof(c.Resume), 16},
		{"Control.Deadline", unsafe.Offsetof(c.Deadline), 24},
		{"Control.Signals", unsafe.Offsetof(c.Signals), 32},
		{"Control.Vector", unsafe.Offsetof(c.Vector), 40},
		{"Control.Error", unsafe.Offsetof(c.Error), 48},
		{"Control.Address", unsafe.Offsetof(c.Address), 56},
		{"Control.Resident", unsafe.Offsetof(c.Resident), 64},
		{"Control.Armed", unsafe.Offsetof(c.Armed), 216},
		{"Control.Frame", unsafe.Offsetof(c.Frame), 72},
		{"Control.Args", unsafe.Offsetof(c.Args), 256},
		{"Control.Log", unsafe.Offsetof(c.Log), 384},
		{"Log", unsafe.Sizeof(c.Log), 24 + 4*UnservedMax + 16},
		{"Counter", unsafe.Sizeof(Counter{}), 56},
		{"Region", unsafe.Sizeof(Region{}), 24},
		{"Regions.Table", unsafe.Offsetof(r.Table), 24},
		{"MemoryOp", unsafe.Sizeof(MemoryOp{}), 24},
		{"Clock.Seq", unsafe.Offsetof(k.Seq), 0},
		{"Clock.TSC", unsafe.Offsetof(k.TSC), 8},
		{"Clock.Mult", unsafe.Offsetof(k.Mult), 16},
		{"Clock.Monotonic", unsafe.Offsetof(k.Monotonic), 24},
		{"Clock.Realtime", unsafe.Offsetof(k.Realtime), 32},
		{"Boot.Seed", unsafe.Offsetof(b.Seed), 48},
		{"Boot.Firewall", unsafe.Offsetof(b.Firewall), 444},
		{"Boot.Device", unsafe.Offsetof(b.Device), 448},
		{"NetConfig", unsafe.Sizeof(n), 260},
		{"ShareConfig", unsafe.Sizeof(ShareConfig{}), 264},
		{"Device", unsafe.Sizeof(Device{}), 564},
		{"Desc", unsafe.Sizeof(Desc{}), 16},
		{"UsedElem", unsafe.Sizeof(UsedElem{}), 8},
		{"Avail.Ring", unsafe.Offsetof(a.Ring), 4},
		{"Avail.Event", unsafe.Offsetof(a.Event), 4 + 2*QueueLen},
		{"Used.Ring", unsafe.Offsetof(u.Ring), 4},
		{"Queue.Avail", unsafe.Offsetof(q.Avail), 4096},
		{"Queue.Frames", unsafe.Offsetof(q.Frames), 8160},
		{"Queue.Used", unsafe.Offsetof(q.Used), 8192},
		{"FrameSlot", unsafe.Sizeof(FrameSlot{}), 32},
		{"FrameSlot.Mac", unsafe.Offsetof(FrameSlot{}.Mac), 12},
		{"NetHeader", unsafe.Sizeof(NetHeader{}), NetHeaderSize},
		{"ShareRequest", unsafe.Sizeof(ShareRequest{}), ShareRequestSize},
		{"ShareReply", unsafe.Sizeof(ShareReply{}), ShareReplySize},
		{"ShareReply.Attr", unsafe.Offsetof(ShareReply{}.Attr), 24},
		{"ShareForgotten", unsafe.Sizeof(ShareForgotten{}), ShareForgottenSize},
		{"ShareEntry", unsafe.Sizeof(ShareEntry{}), ShareEntrySize},
		{"ShareStat", unsafe.Sizeof(ShareStat{}), ShareStatSize},
	} {
		if f.got != f.want {
			t.Errorf("%s: %d, want %d", f.name, f.got, f.want)
		}
	}
}

// TestFits checks that nothing overlaps in the shared range and that every argument block fits its place.
func TestFits(t *testing.T) {
	for _, f := range []struct {
		name      string
		size, max uintptr
	}{
		{"Control", unsafe.Sizeof(Control{}), uintptr(ClockVA - ControlVA)},
		{"Clock", unsafe.Sizeof(Clock{}), uintptr(BootVA - ClockVA)},
		{"Boot", unsafe.Sizeof(Boot{}), uintptr(FirewallVA - BootVA)},
		{"Regions", unsafe.Sizeof(Regions{}), uintptr(RingsVA - RegionsVA)},
		{"rings", MaxDevices * RingSlot, uintptr(SharedEnd - RingsVA)},
		{"Queue", unsafe.Sizeof(Queue{}), QueueSize},
		{"HaltArgs", unsafe.Sizeof(HaltArgs{}), argsSize},
		{"AbortArgs", unsafe.Sizeof(AbortArgs{}), argsSize},
		{"StartArgs", unsafe.Sizeof(StartArgs{}), argsSize},
		{"PollArgs", unsafe.Sizeof(PollArgs{}), argsSize},
		{"ConsoleWriteArgs", unsafe.Sizeof(ConsoleWriteArgs{}), argsSize},
		{"ConsoleReadArgs", unsafe.Sizeof(ConsoleReadArgs{}), argsSize},
		{"MemoryArgs", unsafe.Sizeof(MemoryArgs{}), argsSize},
		{"EntropyArgs", unsafe.Sizeof(EntropyArgs{}), argsSize},
		{"exceptions", PortException + 32, 0x100},
		{"calls", uintptr(CallMax), 0x100},
	} {
		if f.size > f.max {
			t.Errorf("%s: %d bytes, %d available", f.name, f.size, f.max)
		}
	}
}

const argsSize = unsafe.Sizeof(Control{}.Args)
