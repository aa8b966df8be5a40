package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/internal/archive"
)

func TestCopies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "with:colon")
	if err := os.WriteFile(file, make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		file + ":/etc/x":     "",
		file + ":etc/x":      "write " + file + ":/etc/x",
		file + ":":           "write HOST:GUEST",
		":/etc/x":            "write HOST:GUEST",
		"noguest":            "write HOST:GUEST",
		file + "none:/etc/x": "no such file",
	} {
		var b archive.Builder
		err := Copies(&b, []string{spec})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

func TestPack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var b archive.Builder
	if out, err := Pack(&b, 1<<30, 1<<20); out != nil || err != nil {
		t.Errorf("no files are %d bytes, %v", len(out), err)
	}
	if err := Copies(&b, []string{file + ":/data"}); err != nil {
		t.Fatal(err)
	}
	if out, err := Pack(&b, 1<<20, 64<<20); len(out) < 100<<10 || err != nil {
		t.Errorf("the archive has %d bytes, %v", len(out), err)
	}
	if _, err := Pack(&b, 64<<20, 64<<20); err == nil || !strings.Contains(err.Error(), "-m 256M") {
		t.Errorf("error is %v", err)
	}
}
