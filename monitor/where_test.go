package monitor

import (
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/loader"
)

// withSymbols is a VM whose image is a file with Go's tables: the test's own, or a changed copy of it.
func withSymbols(t *testing.T, file string) *VM {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	everything := &loader.Image{Segments: []loader.Segment{{Start: hypercall.ImageBase, Size: 1 << 30}}}
	return &VM{image: f, space: &space{image: everything}}
}

// here returns an address of this function.
//
//go:noinline
func here() uint64 {
	pc, _, _, _ := runtime.Caller(0)
	return uint64(pc)
}

func TestSymbol(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	vm := withSymbols(t, self)
	if s := vm.symbol(here()); !strings.Contains(s, "(ukvm.dev/monitor.here at ") || !strings.Contains(s, "where_test.go:") {
		t.Errorf("here is %q", s)
	}
	for _, pc := range []uint64{0, uint64(hypercall.ImageBase) - 1, 1<<63 + 5, ^uint64(0)} {
		if s := vm.symbol(pc); strings.Contains(s, "(") {
			t.Errorf("%#x is %q", pc, s)
		}
	}
}

// TestSymbolsLikeGosym compares look-ups all over the test's own code with those of package debug/gosym.
func TestSymbolsLikeGosym(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	text := f.Section(".text")
	want, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		t.Fatal(err)
	}
	got := pclntab{data: data, text: text.Addr}
	for pc := text.Addr; pc < text.Addr+text.Size+1000; pc += 97 {
		file, line, fn := want.PCToLine(pc)
		function := ""
		if fn != nil {
			function = fn.Name
		} else {
			file, line = "", 0
		}
		if len(function) > maxName {
			function = function[:maxName]
		}
		if gotFunction, gotFile, gotLine := got.find(pc); gotFunction != function || gotFile != file || gotLine != max(line, 0) {
			t.Fatalf("%#x: %s, %s:%d; want %s, %s:%d", pc, gotFunction, gotFile, gotLine, function, file, line)
		}
	}
}

// TestSpoiledSymbols spoils the tables in every way: reports lack names then, or have wrong ones, in printable letters.
func TestSpoiledSymbols(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := f.Section(".gopclntab")
	names := t.TempDir()
	for n := range 60 {
		r := rand.New(rand.NewPCG(4, uint64(n)))
		b := append([]byte(nil), original...)
		at := int(table.Offset)
		switch n % 4 {
		case 0: // a field of the header
			binary.LittleEndian.PutUint64(b[at+8*r.IntN(9):], r.Uint64()>>r.IntN(64))
		case 1: // bytes anywhere in the table
			for range 1000 {
				b[at+r.IntN(int(table.Size))] = byte(r.Uint32())
			}
		case 2: // section headers
			shoff := int(binary.LittleEndian.Uint64(b[40:]))
			for range 20 {
				b[shoff+r.IntN(len(b)-shoff)] = byte(r.Uint32())
			}
		case 3: // as many functions as there are bytes
			binary.LittleEndian.PutUint64(b[at+8:], table.Size/8-uint64(n))
		}
		file := names + "/copy"
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		before := allocated()
		s := withSymbols(t, file).symbol(here())
		if grown := allocated() - before; grown > 2*table.Size {
			t.Errorf("copy %d: the report took %d bytes, for a table of %d", n, grown, table.Size)
		}
		if s != printable(s) || !strings.HasPrefix(s, "0x") {
			t.Errorf("copy %d: %q", n, s)
		}
	}
}

// allocated is how many bytes have been allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
