package monitor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/firewall"
	"ukvm.dev/monitor/paging"
	"ukvm.dev/netif"
)

// process is what a program finds on its initial stack.
type process struct {
	args, env []string
	aux       map[uint64]uint64
}

// parseStack reads a process stack as the System V ABI lays it out (AMD64 supplement, §3.4.1).
func parseStack(t *testing.T, s *space, sp hypercall.GVA) process {
	t.Helper()
	word := func() uint64 {
		var b [8]byte
		if err := s.read(b[:], sp); err != nil {
			t.Fatal(err)
		}
		sp += 8
		return binary.LittleEndian.Uint64(b[:])
	}
	if sp%16 != 0 {
		t.Errorf("the stack pointer %#x is not a multiple of 16", sp)
	}
	argc := word()
	p := process{aux: map[uint64]uint64{}}
	for at := word(); at != 0; at = word() {
		p.args = append(p.args, cString(t, s, at))
	}
	if uint64(len(p.args)) != argc {
		t.Errorf("argc is %d, there are %d arguments", argc, len(p.args))
	}
	for at := word(); at != 0; at = word() {
		p.env = append(p.env, cString(t, s, at))
	}
	for key := word(); key != 0; key = word() {
		p.aux[key] = word()
	}
	if word() != 0 {
		t.Error("the auxiliary vector's last value is not 0")
	}
	if sp > hypercall.StackTop {
		t.Errorf("the vectors end at %#x, behind the stack's end", sp)
	}
	return p
}

func cString(t *testing.T, s *space, at uint64) string {
	t.Helper()
	if at < uint64(hypercall.StackTop-hypercall.StackSize) || at >= uint64(hypercall.StackTop) {
		t.Fatalf("a string at %#x, outside of the stack", at)
	}
	b := make([]byte, uint64(hypercall.StackTop)-at)
	if err := s.read(b, hypercall.GVA(at)); err != nil {
		t.Fatal(err)
	}
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		t.Fatalf("the string at %#x has no end", at)
	}
	return string(b[:end])
}

var stackRegion = region(hypercall.StackTop-hypercall.StackSize, hypercall.StackTop, readWrite)

func TestStack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	strs := func(n int) (list []string) {
		for range n {
			list = append(list, strings.Repeat("x", r.IntN(40))+fmt.Sprint(r.IntN(100)))
		}
		return list
	}
	seen := map[string]bool{}
	for i := range 60 {
		c := Config{Args: strs(1 + r.IntN(20)), Env: append(strs(r.IntN(20)), "GOMEMLIMIT=off")}
		if i == 0 {
			c.Args, c.Env = []string{""}, []string{"GOMEMLIMIT="}
		}
		vm := withoutKVM(t, c)
		setRegions(vm.space, stackRegion)
		sp, err := vm.buildStack()
		if err != nil {
			t.Fatal(err)
		}
		p := parseStack(t, vm.space, sp)
		if !slices.Equal(p.args, c.Args) || !slices.Equal(p.env, c.Env) {
			t.Fatalf("arguments %q, environment %q; want %q, %q", p.args, p.env, c.Args, c.Env)
		}
		if p.aux[6] != page || cString(t, vm.space, p.aux[31]) != c.Args[0] { // AT_PAGESZ, AT_EXECFN
			t.Errorf("auxiliary vector %v", p.aux)
		}
		var random [16]byte
		if err := vm.space.read(random[:], hypercall.GVA(p.aux[25])); err != nil { // AT_RANDOM
			t.Fatal(err)
		}
		if seen[string(random[:])] || random == [16]byte{} {
			t.Errorf("random bytes % x, not for the first time", random)
		}
		seen[string(random[:])] = true
	}
}

func TestStackTooSmall(t *testing.T) {
	for _, c := range []struct {
		bytes int
		good  bool
	}{{120 << 10, true}, {130 << 10, false}} {
		vm := withoutKVM(t, Config{Args: []string{"app", strings.Repeat("x", c.bytes)}})
		setRegions(vm.space, stackRegion)
		_, err := vm.buildStack()
		if c.good != (err == nil) || err != nil && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "larger than 128 KiB")) {
			t.Errorf("an argument of %d bytes: %v", c.bytes, err)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	limit := func(vm *VM) (n uint64) {
		t.Helper()
		env := vm.environment()
		if _, err := fmt.Sscanf(env[len(env)-1], "GOMEMLIMIT=%d", &n); err != nil {
			t.Fatalf("%q: %v", env, err)
		}
		return n
	}
	last := uint64(0)
	for _, size := range []uint64{MinMemory, 16 << 20, DefaultMemory, 1 << 30} {
		vm := withoutKVM(t, Config{Memory: size})
		got := limit(vm)
		if got <= last || got > size*15/16 || got < size/2 {
			t.Errorf("with %d bytes of memory the limit is %d", size, got)
		}
		last = got
		vm.space.imageSize = size / 4
		if with := limit(vm); with >= got {
			t.Errorf("an image of %d bytes leaves the limit at %d", size/4, with)
		}
		vm.space.imageSize = 100 * size
		if with := limit(vm); with < size/4 {
			t.Errorf("an image that is large beside the memory leaves %d of %d bytes", with, size)
		}
	}
	env := append(make([]string, 0, 10), "A=b", "GOMEMLIMIT=1GiB")
	if got := withoutKVM(t, Config{Env: env}).environment(); !slices.Equal(got, env) {
		t.Errorf("the user's own limit: %q has become %q", env, got)
	}
	env = env[:1]
	withoutKVM(t, Config{Env: env}).environment()
	if env[:2][1] != "GOMEMLIMIT=1GiB" {
		t.Error("the limit was written into the caller's slice")
	}
}

// TestFirewallPages: rules are where the guest looks for them, and cannot be written.
func TestFirewallPages(t *testing.T) {
	rules, err := firewall.Parse("x", "chain input {"+strings.Repeat("\ntcp dport 80 saddr 10.0.0.0/8 accept", 400)+"\n}")
	if err != nil {
		t.Fatal(err)
	}
	vm := withoutKVM(t, Config{Firewall: rules})
	gpa, _, _ := vm.space.tables.Lookup(hypercall.BootVA)
	raw, _ := vm.space.ram.Bytes(gpa, page)
	n := int(bootOf(raw).Firewall)
	if n != len(rules.Code()) || n <= page {
		t.Fatalf("%d bytes, the rules have %d", n, len(rules.Code()))
	}
	for at := 0; at < n; at += page {
		gpa, prot, ok := vm.space.tables.Lookup(hypercall.FirewallVA + hypercall.GVA(at))
		if !ok || prot != readOnly {
			t.Fatalf("page %d is there: %v, with protection %d", at/page, ok, prot)
		}
		got, _ := vm.space.ram.Bytes(gpa, page)
		if want := rules.Code()[at:]; !bytes.HasPrefix(got, want[:min(len(want), page)]) {
			t.Errorf("other rules in page %d", at/page)
		}
	}
	if _, _, ok := withoutKVM(t, Config{}).space.tables.Lookup(hypercall.FirewallVA); ok {
		t.Error("a page for no rules")
	}
}

func TestBoot(t *testing.T) {
	vm := withoutKVM(t, Config{
		Hostname: "box", Dir: "/home", Files: make([]byte, 512), Stdin: strings.NewReader(""), Stdout: os.Stdout,
		NICs: []NIC{
			{Link: newLink(t), Config: netif.Config{MTU: 1500, Addr: netip.MustParsePrefix("10.0.0.2/8")}},
			{Name: "second", Link: newLink(t), Config: netif.Config{MTU: 9000, DHCP: true}},
		},
	})
	gpa, prot, ok := vm.space.tables.Lookup(hypercall.BootVA)
	if !ok || prot != readOnly {
		t.Fatalf("the page is there: %v, with protection %d", ok, prot)
	}
	raw, _ := vm.space.ram.Bytes(gpa, page)
	b := bootOf(raw)
	cString := func(s []byte) string { return string(s[:bytes.IndexByte(s, 0)]) }
	if b.Magic != hypercall.BootMagic || b.Version != hypercall.Version || b.Devices != 2 || b.Memory != DefaultMemory ||
		b.ImageStart != hypercall.ImageBase || b.ImageEnd != hypercall.ImageBase+5*page || b.Archive != 512 ||
		cString(b.Hostname[:]) != "box" || cString(b.WorkDir[:]) != "/home" {
		t.Errorf("%+v", b)
	}
	if b.Console[0] != hypercall.ConsolePipe || b.Console[2] != hypercall.ConsoleNull {
		t.Errorf("console %d", b.Console)
	}
	if b.Seed == [64]byte{} {
		t.Error("no random seed")
	}
	for i, want := range []struct {
		name string
		mtu  uint16
	}{{"eth0", 1500}, {"second", 9000}} {
		d := b.Device[i]
		if d.Kind != hypercall.DeviceNet || cString(d.Name[:]) != want.name || d.Net.MTU != want.mtu {
			t.Errorf("device %d: %+v", i, d)
		}
		for at := hypercall.GVA(0); at < hypercall.RingSlot; at += page {
			if _, prot, ok := vm.space.tables.Lookup(hypercall.RingsVA + hypercall.GVA(i*hypercall.RingSlot) + at); !ok || prot != readWrite {
				t.Errorf("ring of device %d at +%#x: %v, protection %d", i, at, ok, prot)
			}
		}
	}
	if d := b.Device[2]; d != (hypercall.Device{}) {
		t.Errorf("a third device: %+v", d)
	}
}

func TestArchive(t *testing.T) {
	files := make([]byte, 3*page+4)
	for i := range files {
		files[i] = byte(i % 251)
	}
	vm := withoutKVM(t, Config{Files: files})
	if err := vm.loadArchive(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4*page)
	if err := vm.space.read(got, hypercall.ArchiveVA); err != nil || !bytes.Equal(got[:len(files)], files) {
		t.Errorf("the archive is not what was given (%v)", err)
	}
	if tail := got[len(files):]; !bytes.Equal(tail, make([]byte, len(tail))) {
		t.Error("what follows the archive in its last page is not zero")
	}
	if err := vm.space.write(hypercall.ArchiveVA, []byte{1}); !errors.Is(err, errBadAddress) {
		t.Errorf("writing to it: %v, want errBadAddress", err)
	}
	large := withoutKVM(t, Config{Memory: MinMemory, Files: make([]byte, MinMemory)})
	err := tooSmall(large.loadArchive(), MinMemory)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "do not fit into 8 MiB") {
		t.Errorf("an archive as large as the memory: %v", err)
	}
}

func TestTooSmall(t *testing.T) {
	other := errors.New("something else")
	if err := tooSmall(other, 1); err != other {
		t.Errorf("another error becomes %v", err)
	}
	if err := tooSmall(nil, 1); err != nil {
		t.Errorf("no error becomes %v", err)
	}
	if err := tooSmall(fmt.Errorf("x: %w", paging.ErrNoMemory), 1); !errors.Is(err, ErrConfig) {
		t.Errorf("want of memory becomes %v", err)
	}
}

func TestStreamKinds(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	kinds := map[string]struct {
		stream any
		want   uint32
	}{
		"nothing":       {nil, hypercall.ConsoleNull},
		"a buffer":      {&bytes.Buffer{}, hypercall.ConsolePipe},
		"the null file": {null, hypercall.ConsolePipe},
	}
	if terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err == nil {
		defer terminal.Close()
		kinds["a terminal"] = struct {
			stream any
			want   uint32
		}{terminal, hypercall.ConsoleTTY}
	}
	for name, k := range kinds {
		if got := streamKind(k.stream); got != k.want {
			t.Errorf("%s: kind %d, want %d", name, got, k.want)
		}
	}
}

// TestOpenPorts checks that every call has its port, and nothing else.
func TestOpenPorts(t *testing.T) {
	got := openPorts()
	for i := range hypercall.CallMax {
		if !slices.Contains(got, hypercall.PortCall+uint16(i)) {
			t.Errorf("call %d has no port", i)
		}
	}
	if len(got) != int(hypercall.CallMax) {
		t.Errorf("%d ports for %d calls", len(got), hypercall.CallMax)
	}
}
