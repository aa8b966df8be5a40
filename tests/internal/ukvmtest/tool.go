package ukvmtest

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of a program that is no part of ukvm, such as a client that has its own opinion of a protocol. Where
// it is not installed the test is skipped, unless the environment has UKVM_REQUIRE_KVM=1: then it fails. .ci/run installs
// the packages.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("UKVM_REQUIRE_KVM") == "1":
		t.Fatalf("%s is required: install Debian's package %s, as .ci/run does", name, name)
	default:
		t.Skipf("needs %s: install Debian's package %s, as .ci/run does", name, name)
	}
	return path
}
