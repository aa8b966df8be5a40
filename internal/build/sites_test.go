package build

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestScanAssembly(t *testing.T) {
	const text = `// comment with SYSCALL; and more
#include "textflag.h"
#define TWICE(x) \
	MOVQ x, AX; \
	SYSCALL
TEXT ·f(SB),NOSPLIT,$0 // SYSCALL
label: other:	MOVQ	$"SYSCALL // ;", BX
	NOP; SYSCALL /* ; SYSCALL
	SYSCALL */ ; get_tls(CX)
ret:
	NO_LOCAL_POINTERS
	LONG $1;BYTE $0
GLOBL ·x(SB), NOPTR, $8`
	want := []struct {
		op   string
		kind statementKind
	}{
		{"#include", preprocessor}, {"#define", preprocessor}, {"TEXT", function}, {"MOVQ", instruction},
		{"NOP", instruction}, {"SYSCALL", instruction}, {"get_tls(CX)", macro}, {"NO_LOCAL_POINTERS", macro},
		{"LONG", instruction}, {"BYTE", instruction}, {"GLOBL", data},
	}
	list := scanAssembly(text)
	for i, s := range list {
		if i >= len(want) || s.op != want[i].op || s.kind != want[i].kind {
			t.Errorf("statement %d is %q of kind %d, want %v", i, text[s.start:s.end], s.kind, want[min(i, len(want)-1)])
		}
	}
	if len(list) != len(want) {
		t.Errorf("%d statements, want %d", len(list), len(want))
	}
}

func TestPatchSites(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"plain", "TEXT f\n\tSYSCALL\n", "TEXT f\n\tSITE\n"},
		{"comments and labels stay", "TEXT f\nl: SYSCALL // SYSCALL\n\tRET\n", "TEXT f\nl: SITE // SYSCALL\n\tRET\n"},
		{"forward over none", "TEXT f\n\tSYSCALL\n\tJLS 2(PC)\n\tNOP\n\tRET\n", "TEXT f\n\tSITE\n\tJLS 2(PC)\n\tNOP\n\tRET\n"},
		{"forward onto one", "TEXT f\n\tJLS 2(PC)\n\tNOP\n\tSYSCALL\n", "TEXT f\n\tJLS 2(PC)\n\tNOP\n\tSITE\n"},
		{"forward over one", "TEXT f\n\tJLS 3(PC)\n\tNOP\n\tSYSCALL\n\tRET\n", "TEXT f\n\tJLS 10(PC)\n\tNOP\n\tSITE\n\tRET\n"},
		{"back over one", "TEXT f\n\tNOP\n\tNOP\n\tSYSCALL\n\tJMP -3(PC)\n", "TEXT f\n\tNOP\n\tNOP\n\tSITE\n\tJMP -10(PC)\n"},
		{"back onto one", "TEXT f\n\tSYSCALL\n\tJMP -1(PC)\n", "TEXT f\n\tSITE\n\tJMP -8(PC)\n"},
		{"over two", "TEXT f\n\tJMP 3(PC)\n\tSYSCALL\n\tSYSCALL\n\tJMP -3(PC)\n", "TEXT f\n\tJMP 17(PC)\n\tSITE\n\tSITE\n\tJMP -17(PC)\n"},
		{"itself", "TEXT f\n\tSYSCALL\n\tJMP 0(PC)\n", "TEXT f\n\tSITE\n\tJMP 0(PC)\n"},
		{"over a macro but no site", "TEXT f\n\tSYSCALL\n\tJMP 2(PC)\n\tget_tls(CX)\n\tNOP\n\tRET\n", "TEXT f\n\tSITE\n\tJMP 2(PC)\n\tget_tls(CX)\n\tNOP\n\tRET\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := patchSites("f.s", c.text)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(c.want, "SITE", gateJump); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			sameTargets(t, c.text, got)
		})
	}
}

func TestPatchSitesUnknownLayout(t *testing.T) {
	for name, text := range map[string]string{
		"none":            "TEXT f\n\tRET\n",
		"in a macro":      "#define S SYSCALL\nTEXT f\n\tSYSCALL\n",
		"with operands":   "TEXT f\n\tSYSCALL $3\n",
		"jump over macro": "TEXT f\n\tJMP 4(PC)\n\tget_tls(CX)\n\tSYSCALL\n\tNOP\n\tRET\n",
		"jump over ifdef": "TEXT f\n\tJMP 2(PC)\n#ifdef X\n\tNOP\n#endif\n\tSYSCALL\n\tRET\n",
		"jump out":        "TEXT f\n\tSYSCALL\n\tJMP 4(PC)\n\tRET\nTEXT g\n\tRET\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := patchSites("runtime/f.s", text)
			var layout *LayoutError
			if !errors.As(err, &layout) || layout.File != "runtime/f.s" || !errors.Is(err, ErrUnsupported) {
				t.Errorf("error %v, want a LayoutError", err)
			}
		})
	}
}

// FuzzPatchSites checks that no text makes patchSites panic, miss a site or change anything else but jumps.
func FuzzPatchSites(f *testing.F) {
	f.Add("TEXT f\nl: NOP; SYSCALL // x\n\tJMP -2(PC)\n#define X \\\n\tY\n")
	f.Add("/* SYSCALL */ \"a\\\"\nSYSCALL\nJLS 1(PC)\nget_tls(CX)\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := patchSites("f.s", text)
		if err != nil {
			return
		}
		restored := strings.ReplaceAll(got, gateJump, "SYSCALL")
		if !strings.Contains(text, "(PC)") && !strings.Contains(text, "ukvm") && restored != text {
			t.Errorf("%q became %q", text, got)
		}
		if strings.Count(got, gateJump) == 0 {
			t.Errorf("no site in %q", got)
		}
	})
}

// TestPatchSitesOfGo checks the patches on the installed Go release.
func TestPatchSitesOfGo(t *testing.T) {
	p := installedPlan(t)
	sites := 0
	for _, candidates := range siteFiles {
		for _, file := range candidates {
			b, err := os.ReadFile(filepath.Join(p.origin, "src", file))
			if err != nil {
				continue
			}
			got := p.files[file]
			n := strings.Count(got, gateJump)
			if want := len(slices.DeleteFunc(scanAssembly(string(b)), func(s statement) bool { return !isSite(s) })); n != want || n == 0 {
				t.Errorf("%s: %d sites, want %d", file, n, want)
			}
			sites += n
			sameTargets(t, string(b), got)
		}
	}
	t.Logf("%d sites", sites)
	if err := p.checkStray(); err != nil {
		t.Error(err)
	}
	delete(p.files, "syscall/asm_linux_amd64.s")
	var layout *LayoutError
	if err := p.checkStray(); !errors.As(err, &layout) || layout.File != "syscall/asm_linux_amd64.s" {
		t.Errorf("a system call that is not patched: error %v", err)
	}
}

// sameTargets checks that relative jumps reach in the patched text what they reached in the original, by a way of counting
// of its own: it numbers the instructions of the patched text as the original has them.
func sameTargets(t *testing.T, original, patched string) {
	t.Helper()
	before, after := plainInstructions(original), plainInstructions(patched)
	numbers := []int{} // of after's instructions in before
	for i, n := 0, 0; i < len(after); n++ {
		length := 1
		if strings.HasPrefix(after[i], "CMPQ runtime·ukvmgateptr") {
			length = siteLength()
			if n >= len(before) || before[n] != "SYSCALL" {
				t.Fatalf("instruction %d is no SYSCALL", n)
			}
		}
		for range length {
			numbers = append(numbers, n)
		}
		i += length
	}
	for i, text := range after {
		m := relativeJump().FindStringSubmatch(text[strings.LastIndex(text, " ")+1:])
		if m == nil || strings.HasPrefix(text, "JEQ 6(PC)") && strings.HasPrefix(after[i-1], "CMPQ runtime·ukvmgateptr") {
			continue
		}
		old := before[numbers[i]]
		was, _ := strconv.Atoi(strings.TrimSuffix(old[strings.LastIndex(old, " ")+1:], "(PC)"))
		is, _ := strconv.Atoi(m[1])
		if i+is < 0 || i+is > len(after) {
			t.Errorf("%s leads nowhere", text)
		} else if want := numbers[i] + was; i+is < len(after) && numbers[i+is] != want || i+is > 0 && i+is < len(after) && numbers[i+is-1] == want {
			t.Errorf("%s: reaches instruction %d, want the start of %d", text, numbers[i+is], want)
		}
	}
}

// plainInstructions are the instructions and macros of a text, with single spaces.
func plainInstructions(text string) []string {
	var list []string
	for _, s := range scanAssembly(text) {
		if s.kind == instruction || s.kind == macro {
			list = append(list, strings.Join(strings.Fields(text[s.start:s.end]), " "))
		}
	}
	return list
}

// installedPlan is the plan for the installed Go release and the stand-in.
func installedPlan(t testing.TB) *plan {
	t.Helper()
	root := goroot(t)
	p, err := newPlan(Toolchain{Version: "test", Root: root}, standIn())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
