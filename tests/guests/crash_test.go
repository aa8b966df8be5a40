package guests

import (
	"regexp"
	"strings"
	"testing"
)

// TestPanics: what ends a Go program with a report does so in a guest, with the report that it makes on Linux.
func TestPanics(t *testing.T) {
	t.Parallel()
	const deferred = "deferred function of main\n"
	for _, c := range []struct {
		name, words string
		stdout      string
		stderr      []string
	}{
		{"panics", "error", deferred, []string{"panic: broken\n", "goroutine 1 [running]:\n", "main.main()\n", "panics/main.go:"}},
		{"panics", "repanic", deferred, []string{"panic: first [recovered]\n\tpanic: after first\n", "main.main()"}},
		{"panics", "goroutine", "", []string{"panic: in a goroutine\n", "main.inGoroutine.func1()\n", "created by main.inGoroutine in goroutine 1"}},
		{"panics", "index", deferred, []string{"panic: runtime error: index out of range [2] with length 0\n", "main.main()"}},
		{"panics", "divide", deferred, []string{"panic: runtime error: integer divide by zero\n", "main.main()"}},
		{"panics", "map", deferred, []string{"panic: assignment to entry in nil map\n", "main.main()"}},
		{"panics", "close", deferred, []string{"panic: close of nil channel\n", "main.main()"}},
		{"panics", "unlock", "", []string{"fatal error: sync: unlock of unlocked mutex\n", "main.main()"}},
		{"deadlock", "", "", []string{"fatal error: all goroutines are asleep - deadlock!\n", "goroutine 1 [chan receive]:\nmain.main()\n"}},
		{"deadlock", "goexit", "", []string{"fatal error: all goroutines are asleep - deadlock!\n", "[chan receive]:\nmain.main.func1()\n"}},
		{"stackoverflow", "8", "", []string{"runtime: goroutine stack exceeds 8388608-byte limit\n", "fatal error: stack overflow\n",
			"main.recurse(", " frames elided...\n", "main.main()"}},
		// Without a limit of its own a stack may take a quarter of the memory.
		{"stackoverflow", "", "", []string{"runtime: goroutine stack exceeds 16777216-byte limit\n", "fatal error: stack overflow\n", "main.recurse("}},
	} {
		t.Run(c.name+" "+c.words, func(t *testing.T) {
			t.Parallel()
			r := run(t, c.name, append([]string{"--"}, strings.Fields(c.words)...)...)
			expect{code: 2, stdout: c.stdout, stderr: c.stderr}.check(t, r)
			if strings.Contains(r.Stderr, "ukvm:") {
				t.Errorf("ukvm has something to add:\n%s", r.Stderr)
			}
		})
	}
}

func TestNilDereference(t *testing.T) {
	t.Parallel()
	recovered := map[string]string{
		"":      lines("read recovered", "write recovered", "call recovered"),
		"read":  "",
		"write": lines("read recovered"),
		"call":  lines("read recovered", "write recovered"),
	}
	for name, stdout := range recovered {
		if name == "" {
			expect{stdout: stdout}.check(t, run(t, "nilderef"))
			continue
		}
		expect{code: 2, stdout: stdout, stderr: []string{
			"panic: runtime error: invalid memory address or nil pointer dereference\n",
			"[signal SIGSEGV: segmentation violation code=0x1 addr=0x", "pc=0x",
			"goroutine 1 [running]:\nmain." + name + "(", "nilderef/main.go:", "main.main()\n",
		}}.check(t, run(t, "nilderef", "--", name))
	}
}

// TestTraceback: GOTRACEBACK has its meaning, up to ending by SIGABRT.
func TestTraceback(t *testing.T) {
	t.Parallel()
	r := run(t, "panics", "-e", "GOTRACEBACK=none", "--", "error")
	if r.Code != 2 || r.Stderr != "panic: broken\n" {
		t.Errorf("none: code %d, %q", r.Code, r.Stderr)
	}
	r = run(t, "panics", "-e", "GOTRACEBACK=crash", "--", "goroutine")
	expect{code: 128 + 6, stderr: []string{"panic: in a goroutine\n", "main.inGoroutine.func1()", "runtime.main()",
		"ukvm: the program was ended by signal 6 (aborted)\n"}}.check(t, r)
}

// TestFaults: no access that must not succeed does, and each is reported with the address, the instruction and the
// function.
func TestFaults(t *testing.T) {
	t.Parallel()
	const (
		fault = "unexpected fault address "
		null  = "panic: runtime error: invalid memory address or nil pointer dereference\n"
	)
	for _, c := range []struct {
		access, report string
		address        string // regular expression
	}{
		{"write text", fault, "0x4[0-9a-f]{5}|0x5[0-9a-f]{5}"},
		{"write rodata", fault, "0x5[0-9a-f]{5}"},
		{"execute data", fault, "0x6[0-9a-f]{5}"},
		{"execute rodata", fault, "0x5[0-9a-f]{5}"},
		{"execute heap", fault, "0x[0-9a-f]{9,12}"},
		{"execute stack", fault, "0x[0-9a-f]{9,12}"},
		{"execute first stack", fault, "0x7ffeffffffc0"},
		{"execute control page", fault, "0x200000"},
		{"read page 0", null, "0x8"},
		{"write page 0", null, "0x0"},
		{"execute page 0", null, "0x10"},
		{"read below stack", fault, "0x7ffefffbffff"},
		{"write below stack", fault, "0x7ffefffbfff8"},
		{"read above stack", fault, "0x7fff00000000"},
		{"read monitor", fault, "0xffff800000000000"},
		{"write monitor", fault, "0xffff800000001000"},
		{"execute monitor", fault, "0xffff800000000000"},
		{"read end of memory", fault, "0xffffffffffffffff"},
		{"read non-canonical", fault, "0x0"}, // the processor does not say which
		{"write clock page", fault, "0x201000"},
		{"read below the shared", fault, "0x1fffff"},
		{"read unmapped", fault, "0x[0-9a-f]{9,12}"},
		{"write protected", fault, "0x[0-9a-f]{9,12}"},
		{"read no access", fault, "0x[0-9a-f]{9,12}"},
	} {
		t.Run(c.access, func(t *testing.T) {
			t.Parallel()
			r := run(t, "faults", "--", c.access)
			function := map[string]string{"read": "load", "writ": "store", "exec": "jump"}[c.access[:4]]
			expect{code: 2, stderr: []string{c.report, "[signal SIGSEGV: segmentation violation code=0x", "main." + function + "(0x",
				"faults/access_amd64.s:", "main.main()"}}.check(t, r)
			pattern := regexp.MustCompile(`SIGSEGV: segmentation violation code=0x[0-9a-f]+ addr=(` + c.address + `) pc=0x[0-9a-f]+\]`)
			if !pattern.MatchString(r.Stderr) {
				t.Errorf("the report does not name an address like %s:\n%s", c.address, r.Stderr)
			}
		})
	}
}

// TestNoWriteAndExecute: nobody gets memory that is both.
func TestNoWriteAndExecute(t *testing.T) {
	t.Parallel()
	r := run(t, "faults")
	if r.Code != 0 || r.Stderr != lines("mmap: permission denied", "mprotect: permission denied") {
		t.Errorf("code %d, %q", r.Code, r.Stderr)
	}
}

// TestExceptions: an instruction that user code may not execute is the signal that it is on Linux, by the name of the
// function that has it. Where processors and KVMs differ, all answers are listed.
func TestExceptions(t *testing.T) {
	t.Parallel()
	const (
		segv = "[signal SIGSEGV: segmentation violation code=0x80 addr=0x0 pc=0x"
		ill  = "SIGILL: illegal instruction\nPC=0x"
		trap = "SIGTRAP: trace trap\nPC=0x"
		fpe  = "[signal SIGFPE: floating-point exception code=0x1 addr=0x"
	)
	for name, reports := range map[string][]string{
		"ud2": {ill}, "int3": {trap}, "int $3": {trap}, "hlt": {segv}, "cli": {segv}, "in": {segv}, "out": {segv}, "out byte": {segv},
		"divide": {fpe}, "sgdt": {segv}, "rdmsr": {segv}, "mov cr": {segv}, "lgdt": {segv}, "iret": {segv},
		"int $0x80": {segv, ill}, "vmcall": {segv, ill}, "sysenter": {segv, ill},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, "exceptions", "--", name)
			if name == "vmcall" && r.Code == 0 { // KVM on Intel says -EPERM in RAX, to CPL 3, and goes on (virt/kvm/x86/hypercalls.rst)
				expect{stdout: "it was done\n"}.check(t, r)
				return
			}
			function := map[string]string{"int $3": "intByte", "out byte": "outByte", "mov cr": "movCR", "int $0x80": "int80"}[name]
			if function == "" {
				function = name
			}
			expect{code: 2, stderr: []string{"main." + function + "()\n", "exceptions/exceptions_amd64.s:", "main.main()"}}.check(t, r)
			for _, report := range reports {
				if strings.Contains(r.Stderr, report) {
					return
				}
			}
			t.Errorf("none of the reports %q:\n%s", reports, r.Stderr)
		})
	}
}
