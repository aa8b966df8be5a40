package build

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
)

// program makes a module of one main package, from a file in testdata/programs.
func program(t testing.TB, name string) string {
	return tree(t, map[string]string{
		"go.mod":  "module example.org/" + name + "\n\ngo 1.25\n",
		"main.go": testdata(t, "programs/"+name+".go.txt"),
	})
}

// TestGate sends all system calls of a program through the patched sites, natively.
func TestGate(t *testing.T) {
	integration(t)
	r := mustBuild(t, testConfig(t, program(t, "gate")))
	if out := runs(t, r.Path); out != "ok" {
		t.Error(out)
	}
	checkSites(t, r.Path)
}

// checkSites looks at every site in an image: it must give the address behind it to the gate, and skip to the SYSCALL.
func checkSites(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	address := map[string]uint64{}
	for _, s := range symbols {
		// The suffix is there if a function in assembly also has a Go declaration.
		if name, ok := strings.CutSuffix(s.Name, ".abi0"); ok || address[name] == 0 {
			address[name] = s.Value
		}
	}
	text := f.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	// CMPQ flag(SB), $0; JEQ 12 bytes on; LEAQ 7(IP), CX; JMP gate(SB); SYSCALL
	const length = 8 + 2 + 7 + 5 + 2
	at := func(i int) uint64 { return text.Addr + uint64(i) }
	rel := func(i int) uint64 { return at(i+4) + uint64(int64(int32(binary.LittleEndian.Uint32(code[i:])))) }
	sites := 0
	for i := 0; i+length <= len(code); i++ {
		if !bytes.HasPrefix(code[i+10:], []byte{0x48, 0x8d, 0x0d, 7, 0, 0, 0, 0xe9}) {
			continue
		}
		sites++
		switch {
		case code[i] != 0x48 || code[i+1] != 0x83 || code[i+2] != 0x3d || rel(i+3)+1 != address["runtime.ukvmgateptr"] || code[i+7] != 0:
			t.Errorf("%#x: no comparison of the flag: % x", at(i), code[i:i+length])
		case code[i+8] != 0x74 || code[i+9] != 12:
			t.Errorf("%#x: no jump to the SYSCALL: % x", at(i), code[i:i+length])
		case rel(i+18) != address["ukvm/kernel.Gate"]:
			t.Errorf("%#x: no jump to the gate: % x", at(i), code[i:i+length])
		case code[i+22] != 0x0f || code[i+23] != 0x05:
			t.Errorf("%#x: no SYSCALL: % x", at(i), code[i:i+length])
		}
	}
	if sites < 30 {
		t.Errorf("%d sites only", sites)
	}
	t.Logf("%d sites", sites)
}

// TestHook offers system calls with pointers into stacks to a hook that moves the stacks.
func TestHook(t *testing.T) {
	integration(t)
	r := mustBuild(t, testConfig(t, program(t, "hook")))
	if out := runs(t, r.Path); out != "ok" {
		t.Error(out)
	}
}

// TestHeader checks that the header of package hypercall is at the entry point, whatever the linker drops.
func TestHeader(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{"go.mod": "module hello\n\ngo 1.25\n", "main.go": hello})
	for _, ldflags := range []string{"", "-s -w"} {
		cfg := testConfig(t, dir)
		cfg.Flags = []string{"-ldflags", ldflags}
		r := mustBuild(t, cfg)
		f, err := elf.Open(r.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		text := f.Section(".text")
		b, err := text.Data()
		if err != nil {
			t.Fatal(err)
		}
		b = b[f.Entry-text.Addr:][:hypercall.HeaderSize]
		if m := binary.LittleEndian.Uint64(b[16:]); m != hypercall.HeaderMagic {
			t.Errorf("%q: magic %#x", ldflags, m)
		}
		if v := binary.LittleEndian.Uint64(b[24:]); v != hypercall.Version {
			t.Errorf("%q: version %d", ldflags, v)
		}
		if !bytes.Equal(b[32:48], make([]byte, 16)) || b[48] != 0xe9 {
			t.Errorf("%q: % x", ldflags, b)
		}
		if out := runs(t, r.Path); out != "hello" {
			t.Errorf("%q: natively: %s", ldflags, out)
		}
	}
	cfg := testConfig(t, dir)
	cfg.Flags = []string{"-ldflags=-E _rt0_amd64"}
	if _, err := Build(context.Background(), cfg, nil, ""); err == nil || !strings.Contains(err.Error(), "entry point") {
		t.Errorf("another entry point: %v", err)
	}
}

const hello = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"

// TestLinked checks which parts of the operating system get into which programs.
func TestLinked(t *testing.T) {
	integration(t)
	for imports, want := range map[string]string{"unsafe": "kernel", "os": "kernel posix", "net": "kernel posix net"} {
		dir := tree(t, map[string]string{
			"go.mod":  "module x\n\ngo 1.25\n",
			"main.go": "package main\n\nimport _ \"" + imports + "\"\n\nfunc main() {}\n",
		})
		r := mustBuild(t, testConfig(t, dir))
		settings, err := Env(t.Context(), testConfig(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "list", "-deps", ".")
		cmd.Dir, cmd.Env = dir, setenv(os.Environ(), settings...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range strings.Fields("kernel posix net stats http") {
			if strings.Contains("\n"+string(out), "\nukvm/"+name+"\n") {
				got = append(got, name)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("a program with %s depends on %s, want %s", imports, s, want)
		}
		if filepath.Base(r.Path) != "x" {
			t.Errorf("the program is called %s", r.Path)
		}
	}
}

// TestFrames checks the nosplit budget of the patched system call functions without optimisations, in both the linker's
// view and in use.
func TestFrames(t *testing.T) {
	soak(t)
	for _, name := range []string{"hook", "gate"} {
		cfg := testConfig(t, program(t, name))
		cfg.Flags = []string{"-gcflags=all=-N -l"}
		if out := runs(t, mustBuild(t, cfg).Path); out != "ok" {
			t.Errorf("%s: %s", name, out)
		}
	}
}
