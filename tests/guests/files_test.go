package guests

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestFiles: the program prints the same in a guest and as a Linux program, where it works in a directory of its own.
func TestFiles(t *testing.T) {
	t.Parallel()
	native := exec.Command(image(t, "files"))
	native.Env = []string{"TMPDIR=" + t.TempDir()}
	out, err := native.Output()
	if err != nil {
		t.Fatal(err)
	}
	expect{stdout: string(out)}.check(t, run(t, "files"))
}

func TestSystem(t *testing.T) {
	t.Parallel()
	r := run(t, "system", "--name", "box", "-e", "HOME=/home/me", "--dir", "/tmp", "-m", "100M")
	expect{stdout: lines(
		"processors 1 1", "goroutines 1", "platform linux amd64", "hostname box", "user root 0 0 /root <nil>", "ids 1 0 0 0 0",
		"directory /tmp", "temporary /tmp", "executable "+image(t, "system"), "page size 4096", `home "/home/me" <nil>`,
		"uname Linux box x86_64 <nil>", "memory MB 100 <nil>", "main package tests/guests/system true", "std streams 0 1 2",
	)}.check(t, r)
	r = run(t, "system", "--name", "box", "--hostname", "other.example")
	if !strings.Contains(r.Stdout, "\nhostname other.example\n") {
		t.Errorf("--hostname makes no difference:\n%s", r.Stdout)
	}
}

func TestProc(t *testing.T) {
	t.Parallel()
	name := image(t, "proc")
	r := run(t, "proc", "-e", "NAME=value", "--", "argument")
	expect{stdout: lines(
		fmt.Sprintf("cmdline %q", name+"\x00argument\x00"), "exe "+filepath.Base(name), "cwd /", "comm "+filepath.Base(name)[:min(15, len(filepath.Base(name)))],
		"state 1 0", "stat true", "maps of text true", "environ true", "processors 1", "memory kB 65536", "mounts true", "hostname ukvm",
		"open files [0 1 2]", "other process true", "no such file true", "written false",
	)}.check(t, r)
}

// TestCopy: what --copy names is in the guest, and is the guest's own.
func TestCopy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tree")
	large := strings.Repeat("0123456789", 500_000)
	files := map[string]string{"a": "text", "empty": "", "sub/deep/er/file": "down here", "large": large, "name with space": "x"}
	for name, data := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Chmod(filepath.Join(dir, "a"), 0o600), os.Symlink("sub/deep", filepath.Join(dir, "link")), os.Mkdir(filepath.Join(dir, "void"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := func(name string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(files[name]))) }
	r := run(t, "copied", "--copy", dir+":/srv/tree", "--copy", filepath.Join(dir, "a")+":/srv/tree/second", "--", "/srv/tree")
	expect{stdout: lines(
		"/srv/tree drwxr-xr-x", "/srv/tree/a -rw------- "+sum("a"), "/srv/tree/empty -rw-r--r-- "+sum("empty"), "/srv/tree/large -rw-r--r-- "+sum("large"),
		"/srv/tree/link -> sub/deep <nil>", "/srv/tree/name with space -rw-r--r-- "+sum("name with space"), "/srv/tree/second -rw------- "+sum("a"),
		"/srv/tree/sub drwxr-xr-x", "/srv/tree/sub/deep drwxr-xr-x", "/srv/tree/sub/deep/er drwxr-xr-x",
		"/srv/tree/sub/deep/er/file -rw-r--r-- "+sum("sub/deep/er/file"), "/srv/tree/void drwx------",
	)}.check(t, r)
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("what the guest writes reaches the host")
	}
	// It counts as memory.
	r = run(t, "copied", "-m", "16M", "--copy", bigFile(t, 20<<20)+":/big", "--", "/")
	if r.Code != ukvmFailed || strings.Count(r.Stderr, "\n") != 1 || !strings.HasPrefix(r.Stderr, "ukvm: ") {
		t.Errorf("20 MB in 16M: code %d, %q", r.Code, r.Stderr)
	}
}

const ukvmFailed = 125

func bigFile(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestZones: TZ counts where the program carries zones with it.
func TestZones(t *testing.T) {
	t.Parallel()
	for zone, local := range map[string]string{"": "2025-06-15T15:06:40Z", "Europe/Oslo": "2025-06-15T17:06:40+02:00", "Nowhere": "2025-06-15T15:06:40Z"} {
		r := ukvmtest.Run(t, command(t, "zones", "-e", "TZ="+zone))
		if first, _, _ := strings.Cut(r.Stdout, "\n"); r.Code != 0 || first != "local: "+local {
			t.Errorf("TZ=%s: code %d, %q", zone, r.Code, first)
		}
	}
}
