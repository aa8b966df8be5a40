package netiftest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Unprivileged runs the tests that match pattern again, in a process without privileges, if this one is root's: most of
// what goes wrong for users is permitted to root.
func Unprivileged(t *testing.T, pattern string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this is an unprivileged process already")
	}
	const nobody = 65534
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+pattern, "-test.count=1", "-test.timeout=60s")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	c.Dir = "/"
	c.Env = []string{"TMPDIR=/tmp"}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("as an unprivileged user: %v\n%s", err, out)
	}
}
