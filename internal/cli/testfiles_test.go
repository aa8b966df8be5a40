package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/internal/archive"
)

// write makes files with as many bytes as they are to have.
func write(t *testing.T, root string, files map[string]int) {
	t.Helper()
	for name, size := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// packed lists which of the files are in an archive.
func packed(t *testing.T, b *archive.Builder, root string, files map[string]int) map[string]bool {
	t.Helper()
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for name := range files {
		member := strings.TrimPrefix(filepath.Join(root, name), "/") + "\x00"
		found[name] = strings.Contains(string(out), member)
	}
	return found
}

func TestTestFiles(t *testing.T) {
	files := map[string]int{
		"go.mod": 20, "go.sum": 20, "other.go": 20, "program": maxFileAbove + 1, "c/c.go": 20, "testdata/shared": 20, "a/testdata/near": 20, "a/other.go": 20,
		"a/b/b.go": 20, "a/b/testdata/own": 20, "a/b/templates/page": 20, "a/b/templates/.git/x": 20, "a/b/big/blob": 0,
	}
	for _, c := range []struct {
		name    string
		blob    int
		limit   int64
		missing []string
	}{
		{"all", 100, 8 << 20, []string{"program", "c/c.go", "a/b/templates/.git/x"}},
		{"large directory", 1 << 20, 100 << 10, []string{"program", "c/c.go", "a/b/templates/.git/x", "a/b/templates/page", "a/b/big/blob"}},
	} {
		root := t.TempDir()
		files["a/b/big/blob"] = c.blob
		write(t, root, files)
		var b archive.Builder
		if err := TestFiles(&b, filepath.Join(root, "a", "b"), c.limit); err != nil {
			t.Fatal(err)
		}
		found := packed(t, &b, root, files)
		for name := range files {
			want := true
			for _, m := range c.missing {
				want = want && m != name
			}
			if found[name] != want {
				t.Errorf("%s: %s is there: %v, want %v", c.name, name, found[name], want)
			}
		}
	}
}

func TestTestFilesTooLarge(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]int{"testdata/huge": 1 << 20})
	var b archive.Builder
	if err := TestFiles(&b, root, 100<<10); err == nil || !strings.Contains(err.Error(), "-m") {
		t.Errorf("error is %v", err)
	}
}

func TestTestFilesUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root can read everything")
	}
	root := t.TempDir()
	files := map[string]int{"a.go": 20, "private/key": 20}
	write(t, root, files)
	if err := os.Chmod(filepath.Join(root, "private"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(root, "private"), 0o700)
	var b archive.Builder
	if err := TestFiles(&b, root, 1<<20); err != nil {
		t.Fatal(err)
	}
	if found := packed(t, &b, root, files); !found["a.go"] || found["private/key"] {
		t.Errorf("found %v", found)
	}
}
