package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// fromRuntime is all that the guest kernel may take from Go's runtime, which it lies below: copies of memory, and what
// ends the program where it would go wrong.
var fromRuntime = regexp.MustCompile(`^runtime\.(memmove|memclr\w*|memequal\w*|panicBounds|panicIndex\w*|panicSlice\w*|panicdivide|panicshift|morestack\w*)(\.abi0)?$`)

// TestLinkedKernel disassembles the kernel in an image and looks where it calls. Allocation, write barriers, channels,
// maps, interfaces, panics and the like are all calls into the runtime.
func TestLinkedKernel(t *testing.T) {
	image := filepath.Join(t.TempDir(), "hello")
	build := exec.Command(ukvmtest.CommandWithoutKVM(t), "build", "-o", image, "./examples/hello")
	build.Dir, build.Env = ukvmtest.Root(), ukvmtest.Environ()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	objdump := exec.Command("go", "tool", "objdump", "-s", `^ukvm/(kernel|hypercall)\.`, image)
	objdump.Env = append(os.Environ(), "GOFLAGS=")
	out, err := objdump.Output()
	if err != nil {
		t.Fatal(err)
	}
	function, functions := "", map[string]bool{}
	indirect, outs, syscalls := 0, []string{}, 0
	call := regexp.MustCompile(`\t(CALL|J[A-Z]+) ([\w./]+)\(SB\)`)
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "TEXT "); ok {
			function, _, _ = strings.Cut(name, "(SB)")
			functions[function] = true
			continue
		}
		if m := call.FindStringSubmatch(line); m != nil && !strings.HasPrefix(m[2], "ukvm/kernel.") && !fromRuntime.MatchString(m[2]) {
			// The start of the runtime is where the kernel goes when it has booted; init is called by the runtime.
			if !(function == "ukvm/kernel.Start" || strings.HasPrefix(function, "ukvm/kernel.init")) || m[1] == "CALL" {
				t.Errorf("%s: %s %s", function, m[1], m[2])
			}
		}
		switch {
		case strings.Contains(line, "\tCALL ") && !strings.Contains(line, "(SB)"):
			indirect++
		case regexp.MustCompile(`\tOUT[BWL]? `).MatchString(line):
			outs = append(outs, function)
		case strings.Contains(line, "\tSYSCALL"):
			syscalls++
		}
	}
	for _, f := range []string{"Gate", "upcallEntry", "resume", "tail", "vclock", "dispatch", "upcall", "boot"} {
		if !functions["ukvm/kernel."+f] && !functions["ukvm/kernel."+f+".abi0"] {
			t.Errorf("the image has no %s", f)
		}
	}
	if len(functions) < 60 || indirect < 5 {
		t.Errorf("only %d functions, %d calls of function values", len(functions), indirect)
	}
	if len(outs) != 1 || !strings.HasPrefix(outs[0], "ukvm/kernel.out32") || syscalls > 0 {
		t.Errorf("OUT in %q, %d SYSCALL instructions", slices.Compact(outs), syscalls)
	}
}
