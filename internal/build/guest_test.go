package build

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestResolveTag(t *testing.T) {
	for _, c := range []struct {
		text, want string
		keep       bool
	}{
		{"package p\n", "package p\n", true},
		{"//go:build ukvm\n\npackage p\n", "\n\npackage p\n", true},
		{"//go:build !ukvm\n\npackage p\n", "", false},
		{"// Text.\n\n//go:build ukvm && amd64\n\npackage p\n", "// Text.\n\n//go:build amd64\n\npackage p\n", true},
		{"//go:build !ukvm && amd64\n", "", false},
		{"//go:build ukvm || amd64\n", "\n", true},
		{"//go:build !ukvm || (amd64 && !ukvm)\n", "", false},
		{"//go:build !(ukvm && !x)\n", "//go:build x\n", true},
		{"//go:build linux", "//go:build linux", true},
		{"package p\n\n//go:build !ukvm\n", "package p\n\n//go:build !ukvm\n", true},
		{"", "", true},
	} {
		got, keep, err := resolveTag(c.text)
		if err != nil || got != c.want || keep != c.keep {
			t.Errorf("%q: %q, %v, %v, want %q, %v", c.text, got, keep, err, c.want, c.keep)
		}
	}
	if _, _, err := resolveTag("//go:build ukvm &&\n"); err == nil {
		t.Error("no error for a constraint that is none")
	}
}

func TestLoadGuest(t *testing.T) {
	g, err := loadGuest(standIn())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ukvm/hypercall/hypercall.go",
		"ukvm/kernel/kernel.go", "ukvm/kernel/kernel_amd64.s", "ukvm/kernel/where_guest.go",
		"ukvm/net/net.go",
		"ukvm/posix/deep/deep.go", "ukvm/posix/posix.go",
		"ukvm/stats/stats.go",
	}
	if got := strings.Join(sortedKeys(g.files), " "); got != strings.Join(want, " ") {
		t.Errorf("files %s", got)
	}
	for file, text := range map[string]string{
		"ukvm/kernel/kernel.go":      "\t\"ukvm/hypercall\"\n",
		"ukvm/kernel/where_guest.go": "//go:build amd64\n",
		"ukvm/posix/posix.go":        "\tdeep \"ukvm/posix/deep\"\n",
		"ukvm/posix/deep/deep.go":    "` ukvm.dev/guest/posix`",
	} {
		if !strings.Contains(g.files[file], text) {
			t.Errorf("no %q in %s:\n%s", text, file, g.files[file])
		}
	}
}

func TestLoadGuestIncomplete(t *testing.T) {
	kernel := &fstest.MapFile{Data: []byte("package kernel\n")}
	g, err := loadGuest(fstest.MapFS{"guest/kernel/k.go": kernel, "guest/net/doc_test.go": kernel})
	if err != nil || !g.packages["kernel"] || g.packages["posix"] || g.packages["net"] {
		t.Errorf("a kernel alone: %v, %v", g, err)
	}
	for name, fs := range map[string]fstest.MapFS{
		"no kernel":      {"guest/posix/p.go": kernel},
		"missing import": {"guest/kernel/k.go": {Data: []byte("package kernel\n\nimport \"ukvm.dev/guest/none\"\n")}},
		"no Go":          {"guest/kernel/k.go": {Data: []byte("pack age")}},
	} {
		if _, err := loadGuest(fs); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
