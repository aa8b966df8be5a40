package build

import (
	"errors"
	"go/format"
	"strings"
	"testing"
)

const syscallsOfGo = `package syscall

// RawSyscall is one.
//
//go:nosplit
//go:linkname RawSyscall
func RawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {
	return RawSyscall6(trap, a1, a2, a3, 0, 0, 0)
}

//go:uintptrkeepalive
//go:linkname RawSyscall6
func RawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	return linux.Syscall6(trap, a1, a2, a3, a4, a5, a6)
}

func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {
	entersyscall() // RawSyscall6 follows
	r1, r2, err = RawSyscall6(trap, a1, a2, a3, 0, 0, 0)
	return
}

func Syscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {
	r1, r2, err = RawSyscall6(trap, a1, a2, a3, a4, a5, a6)
	return
}
`

func TestPatchHook(t *testing.T) {
	got, err := patchHook("syscall.go", syscallsOfGo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := format.Source([]byte(got)); err != nil {
		t.Errorf("%v in\n%s", err, got)
	}
	const offer3 = "err Errno) {\n\tif ukvmOffered(trap) {\n\t\tvar ok bool\n\t\tif r1, err, ok, a1, a2, a3, _, _, _ = ukvmOffer(trap, a1, a2, a3, 0, 0, 0); ok {\n\t\t\treturn\n\t\t}\n\t}\n"
	const offer6 = "err Errno) {\n\tif ukvmOffered(trap) {\n\t\tvar ok bool\n\t\tif r1, err, ok, a1, a2, a3, a4, a5, a6 = ukvmOffer(trap, a1, a2, a3, a4, a5, a6); ok {\n\t\t\treturn\n\t\t}\n\t}\n"
	for _, want := range []string{
		"err Errno) {\n\treturn RawSyscall6(trap, a1, a2, a3, 0, 0, 0)\n}", // RawSyscall as it was
		offer6 + "\treturn linux.Syscall6(",
		"}\n\n//go:uintptrkeepalive\n//go:linkname ukvmRawSyscall6\nfunc ukvmRawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, err Errno) {\n\treturn linux.Syscall6(",
		offer3 + "\tentersyscall() // RawSyscall6 follows\n\tr1, r2, err = ukvmRawSyscall6(",
		offer6 + "\tr1, r2, err = ukvmRawSyscall6(",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no\n%s\nin\n%s", want, got)
		}
	}
	if formatted, err := format.Source([]byte(hookFile)); err != nil || string(formatted) != hookFile {
		t.Errorf("hookFile is not formatted: %v", err)
	}
}

func TestPatchHookUnknownLayout(t *testing.T) {
	for name, change := range map[string][2]string{
		"function missing":   {"func Syscall6", "func Other"},
		"in assembly":        {"{\n\treturn linux.Syscall6(trap, a1, a2, a3, a4, a5, a6)\n}", ""},
		"other parameters":   {"Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {\n\tentersyscall", "Syscall(n, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {\n\tentersyscall"},
		"no named results":   {"a6 uintptr) (r1, r2 uintptr, err Errno) {\n\tr1", "a6 uintptr) (uintptr, uintptr, Errno) {\n\tr1"},
		"not over the raw":   {"r1, r2, err = RawSyscall6(trap, a1, a2, a3, 0, 0, 0)", "r1, r2, err = other(trap)"},
		"raw over the other": {"linux.Syscall6(", "RawSyscall6("},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(syscallsOfGo, change[0], change[1], 1)
			if text == syscallsOfGo {
				t.Fatal("nothing changed")
			}
			var layout *LayoutError
			if _, err := patchHook("syscall/syscall.go", text); !errors.As(err, &layout) || !strings.Contains(err.Error(), "syscall/syscall.go") {
				t.Errorf("error %v, want a LayoutError", err)
			}
		})
	}
	if _, err := patchHook("syscall.go", "package"); err == nil {
		t.Error("no error for a file that is not Go")
	}
}
