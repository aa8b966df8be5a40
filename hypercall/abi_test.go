package hypercall

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// structures are all that cross the boundary.
var structures = []any{
	Frame{}, Control{}, Log{}, Clock{}, Boot{}, Device{}, NetConfig{}, NetConfig6{}, Regions{}, Region{}, MemoryOp{},
	Counter{}, Queue{}, Desc{}, Avail{}, Used{}, UsedElem{}, NetHeader{},
	ShareConfig{}, ShareRequest{}, ShareReply{}, ShareInfo{}, ShareForgotten{}, ShareEntry{}, ShareStat{},
	HaltArgs{}, AbortArgs{}, StartArgs{}, PollArgs{}, ConsoleWriteArgs{}, ConsoleReadArgs{}, MemoryArgs{}, EntropyArgs{},
}

var update = flag.Bool("update", false, "write testdata/layout.txt; needs a new Version")

// TestEveryField compares the layout of every structure, field by field, with the one that was written down.
func TestEveryField(t *testing.T) {
	const golden = "testdata/layout.txt"
	got := fmt.Sprintf("version %d\n", Version)
	for _, s := range structures {
		got += describe(reflect.TypeOf(s))
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if line(gotLines, i) != line(wantLines, i) {
			t.Fatalf("line %d: %q, was %q; programs in use need the old layout, so a change needs a new Version",
				i+1, line(gotLines, i), line(wantLines, i))
		}
	}
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func describe(s reflect.Type) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d\n", s.Name(), s.Size())
	for i := range s.NumField() {
		f := s.Field(i)
		fmt.Fprintf(&b, "\t%d %s %d %s\n", f.Offset, f.Name, f.Type.Size(), f.Type.Kind())
	}
	return b.String()
}

// TestNoHiddenPadding checks that padding is written out, so that no other compiler or version places a field elsewhere
// and no byte between fields carries what happened to be in memory.
func TestNoHiddenPadding(t *testing.T) {
	for _, s := range structures {
		s := reflect.TypeOf(s)
		end := uintptr(0)
		for i := range s.NumField() {
			f := s.Field(i)
			if f.Offset != end {
				t.Errorf("%s.%s: %d bytes of padding before it", s.Name(), f.Name, f.Offset-end)
			}
			end = f.Offset + f.Type.Size()
		}
		if end != s.Size() {
			t.Errorf("%s: %d bytes of padding at its end", s.Name(), s.Size()-end)
		}
	}
}

// TestNoPointers checks that a structure is plain memory: any bytes make a valid one, and the collector ignores it.
func TestNoPointers(t *testing.T) {
	for _, s := range structures {
		if s := reflect.TypeOf(s); !plain(s) {
			t.Errorf("%s holds something that is not an integer", s.Name())
		}
	}
}

func plain(s reflect.Type) bool {
	switch s.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int64:
		return true
	case reflect.Array:
		return plain(s.Elem())
	case reflect.Struct:
		for i := range s.NumField() {
			if !plain(s.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}

// TestNumbers pins the numbers that programs in use were built with.
func TestNumbers(t *testing.T) {
	for _, n := range []struct {
		name      string
		got, want uint64
	}{
		{"CallHalt", uint64(CallHalt), 0},
		{"CallAbort", uint64(CallAbort), 1},
		{"CallStart", uint64(CallStart), 2},
		{"CallPoll", uint64(CallPoll), 3},
		{"CallConsoleWrite", uint64(CallConsoleWrite), 4},
		{"CallConsoleRead", uint64(CallConsoleRead), 5},
		{"CallMemory", uint64(CallMemory), 6},
		{"CallTime", uint64(CallTime), 7},
		{"CallEntropy", uint64(CallEntropy), 8},
		{"CallKick", uint64(CallKick), 9},
		{"CallMax", uint64(CallMax), 10},
		{"PortCall", PortCall, 0x500},
		{"PortException", PortException, 0xa0},
		{"MemoryDrop", MemoryDrop, 1},
		{"MemoryProtect", MemoryProtect, 2},
		{"MemoryCommit", MemoryCommit, 3},
		{"ReadySignal", ReadySignal, 1},
		{"ReadyConsole", ReadyConsole, 2},
		{"ConsoleTTY", ConsoleTTY, 1},
		{"ConsolePipe", ConsolePipe, 2},
		{"ConsoleNull", ConsoleNull, 4},
		{"DeviceNet", uint64(DeviceNet), 1},
		{"NetDHCP", NetDHCP, 1},
		{"NetIP6", NetIP6, 1 << 16},
		{"NetRouter", NetRouter, 1 << 17},
		{"NetTxChecksum", NetTxChecksum, 2},
		{"NetRxChecksum", NetRxChecksum, 4},
		{"NetTxTCP4", NetTxTCP4, 8},
		{"NetRxTCP4", NetRxTCP4, 16},
		{"NetTxTCP6", NetTxTCP6, 32},
		{"NetRxTCP6", NetRxTCP6, 64},
		{"HeaderMagicOffset", HeaderMagicOffset, 16},
		{"HeaderVersionOffset", HeaderVersionOffset, 24},
		{"HeaderStart", HeaderStart, 48},
		{"ControlVA", uint64(ControlVA), 0x200000},
		{"ClockVA", uint64(ClockVA), 0x201000},
		{"BootVA", uint64(BootVA), 0x202000},
		{"RegionsVA", uint64(RegionsVA), 0x210000},
		{"RingsVA", uint64(RingsVA), 0x240000},
		{"ImageBase", uint64(ImageBase), 0x400000},
		{"FilesVA", uint64(FilesVA), 0x7f00_0000_0000},
		{"FilesEnd", uint64(FilesEnd), 0x7f10_0000_0000},
		{"ArchiveVA", uint64(ArchiveVA), 0x7ff0_0000_0000},
		{"StackTop", uint64(StackTop), 0x7fff_0000_0000},
		{"FrameRingsVA", uint64(FrameRingsVA), 0x7fff_8000_0000},
	} {
		if n.got != n.want {
			t.Errorf("%s is %#x, was %#x: a change needs a new Version", n.name, n.got, n.want)
		}
	}
}

// TestMagics checks that the magic numbers are the texts they are said to be.
func TestMagics(t *testing.T) {
	for _, m := range []struct {
		name  string
		value uint64
		text  string
	}{
		{"BootMagic", BootMagic, "UKVMBOOT"},
		{"HeaderMagic", HeaderMagic, "UKVM\x7fIMG"},
	} {
		var b []byte
		for i := range 8 {
			b = append(b, byte(m.value>>(8*i)))
		}
		if string(b) != m.text {
			t.Errorf("%s is %q in memory, want %q", m.name, b, m.text)
		}
	}
}

// TestMemoryMap checks that the parts of the address space follow one another as doc.go draws them.
func TestMemoryMap(t *testing.T) {
	parts := []struct {
		name string
		at   GVA
	}{
		{"SharedBase", SharedBase}, {"ClockVA", ClockVA}, {"BootVA", BootVA}, {"RegionsVA", RegionsVA}, {"RingsVA", RingsVA},
		{"SharedEnd", SharedEnd}, {"FilesVA", FilesVA}, {"FilesEnd", FilesEnd}, {"ArchiveVA", ArchiveVA}, {"the stack", StackTop - StackSize}, {"StackTop", StackTop},
		{"UserEnd", UserEnd}, {"FrameRingsEnd", FrameRingsEnd}, {"MonitorBase", MonitorBase},
	}
	for i, p := range parts {
		if p.at%PageSize != 0 {
			t.Errorf("%s at %#x is not page-aligned", p.name, p.at)
		}
		if i > 0 && p.at <= parts[i-1].at {
			t.Errorf("%s at %#x is not above %s at %#x", p.name, p.at, parts[i-1].name, parts[i-1].at)
		}
	}
	if ImageBase != SharedEnd || MmapEnd != FilesVA {
		t.Error("the shared range and the image, or mappings and files, do not adjoin")
	}
}
