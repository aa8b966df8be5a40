// Package kvmtest is for tests that run guests: it says whether there is a KVM to run them on, and makes images out of a
// few instructions, so that the monitor can be tested without a toolchain.
package kvmtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Require skips a test where there is no KVM, unless the environment has UKVM_REQUIRE_KVM=1: then it fails.
func Require(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
	case os.Getenv("UKVM_REQUIRE_KVM") == "1":
		t.Fatalf("KVM is required: %v", err)
	default:
		t.Skipf("needs KVM: %v", err)
	}
}

// WriteFile stores an image in a directory that goes away with the test, and returns its path.
func WriteFile(t testing.TB, image []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
