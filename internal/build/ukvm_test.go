package build

import (
	"testing"
	"testing/fstest"

	"ukvm.dev"
)

// TestGuest builds a program with the operating system of this module, and runs it natively.
func TestGuest(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
	cfg := testConfig(t, dir)
	cfg.Source = nil
	r := mustBuild(t, cfg)
	if out := runs(t, r.Path); out != "hello" {
		t.Error(out)
	}
	checkSites(t, r.Path)
}

func TestSource(t *testing.T) {
	if err := fstest.TestFS(ukvm.Source, "guest/kernel/hook.go", "hypercall/image.go"); err != nil {
		t.Error(err)
	}
}
