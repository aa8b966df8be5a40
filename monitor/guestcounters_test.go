package monitor

import (
	"bytes"
	"slices"
	"testing"

	"ukvm.dev/hypercall"
)

// TestGuestCounters reads what guests may have written: what is right, and nothing of what is not.
func TestGuestCounters(t *testing.T) {
	s := withoutKVM(t, Config{}).space
	const at, values = hypercall.RegionsVA, hypercall.RegionsVA + 0x3000
	resident := s.ram.Used()
	entry := func(name string, value hypercall.GVA) []byte {
		b := append([]byte(name), make([]byte, nameSize-len(name))...)
		for i := range 8 {
			b = append(b, byte(value>>(8*i)))
		}
		return b
	}
	put := func(va hypercall.GVA, b []byte) {
		t.Helper()
		if err := s.write(va, b); err != nil {
			t.Fatal(err)
		}
	}
	put(values, []byte{7, 0, 0, 0, 0, 0, 0, 1, 8})
	good := entry("tcp.rx", values)
	for _, c := range []struct {
		name  string
		array hypercall.GVA
		count uint64
		bytes []byte
		want  []Counter
	}{
		{"none", at, 0, good, nil},
		{"one", at, 1, good, []Counter{{"tcp.rx", 1<<56 | 7}}},
		{"over a page's end", at + 0x1000 - 20, 1, good, []Counter{{"tcp.rx", 1<<56 | 7}}},
		{"odd", at + 1, 1, entry("x", values+8), []Counter{{"x", 8}}},
		{"no name", at, 1, entry("", values), nil},
		{"a name without end", at, 1, append(bytes.Repeat([]byte{'x'}, nameSize), good[nameSize:]...), nil},
		{"a name for terminals", at, 1, entry("\x1b[2J", values), nil},
		{"two, one of nowhere", at, 2, append(entry("a", 8), good...), []Counter{{"tcp.rx", 1<<56 | 7}}},
		{"of the monitor", at, 1, entry("a", hypercall.MonitorBase), nil},
		{"at the end of all addresses", at, 1, entry("a", ^hypercall.GVA(0)-3), nil},
		{"of memory that is not there yet", at, 1, entry("a", hypercall.StackTop-0x10000), nil},
		{"a table in the monitor", hypercall.MonitorBase, 5, nil, nil},
		{"a table at the end of all addresses", ^hypercall.GVA(0) - 10, 5, nil, nil},
		{"a table that is not there", 0x1000, 5, nil, nil},
	} {
		if c.bytes != nil {
			put(c.array, c.bytes)
		}
		s.control.Log.Counters, s.control.Log.CounterCount = c.array, c.count
		if got := s.counters(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	s.control.Log.Counters, s.control.Log.CounterCount = at, ^uint64(0)
	for i := range hypercall.GVA(hypercall.CountersMax) {
		put(at+i*hypercall.GVA(counterSize), entry("n", at))
	}
	if got := s.counters(); len(got) != hypercall.CountersMax {
		t.Errorf("%d counters", len(got))
	}
	if used := s.ram.Used(); used != resident {
		t.Errorf("reading has brought %d bytes of memory", used-resident)
	}
}
