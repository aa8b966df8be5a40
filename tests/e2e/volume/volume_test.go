// Package volume has tests of `ukvm run -v`: what a user has of directories of the host's in a guest.
package volume

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

const pkg = "tests/e2e/volume/guest"

// run runs the program in a guest with flags.
func run(t testing.TB, flags []string, arguments ...string) ukvmtest.Result {
	t.Helper()
	words := append(append([]string{"run", "-q"}, flags...), ukvmtest.Image(t, pkg), "--")
	return ukvmtest.Ukvm(t, append(words, arguments...)...)
}

// native runs it on the host.
func native(t testing.TB, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(ukvmtest.Image(t, pkg), arguments...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestLikeLinux does a bit of everything in a guest, with and without a cache, and on the host; results and trees are the same.
func TestLikeLinux(t *testing.T) {
	here := t.TempDir()
	want := native(t, "work", here)
	for _, options := range []string{"", ":cache=none", ":rw,cache=1h"} {
		there := t.TempDir()
		r := run(t, []string{"-v", there + ":/data" + options}, "work", "/data")
		if r.Code != 0 || r.Stderr != "" {
			t.Fatalf("%s: code %d: %s", options, r.Code, r.Stderr)
		}
		diff(t, "in a guest with "+options, r.Stdout, want)
		if out, err := exec.Command("diff", "-r", "--no-dereference", here, there).CombinedOutput(); err != nil {
			t.Errorf("%s: the trees differ: %s", options, out)
		}
	}
}

func diff(t testing.TB, what, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := "", ""
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Errorf("%s: line %d is %q, on the host %q", what, i+1, a, b)
			return
		}
	}
}

// TestKilled kills the monitor at random moments: what fsync has acknowledged is in the file, and no line is torn.
func TestKilled(t *testing.T) {
	rounds := 5
	if ukvmtest.Soak() {
		rounds = 1000
	}
	z := rand.New(rand.NewPCG(1, 2))
	total := 0
	for range rounds {
		dir := t.TempDir()
		p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"run", "-q", "-v", dir + ":/data", ukvmtest.Image(t, pkg), "--", "append", "/data"}})
		p.Await("0\n")
		time.Sleep(time.Duration(z.IntN(100)) * time.Millisecond)
		p.Signal(syscall.SIGKILL)
		r := p.Wait()
		acknowledged := strings.Count(r.Stdout, "\n")
		b, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(b), "\n")
		for i := range acknowledged {
			if want := fmt.Sprintf("line %d\n", i); i >= len(lines) || lines[i] != want {
				t.Fatalf("%d lines were acknowledged; line %d is not there", acknowledged, i)
			}
		}
		total += acknowledged
	}
	ukvmtest.Figure(t, "lines acknowledged before kills", float64(total), "lines")
}

// TestOutside: links of the host's lead to the guest's own files, and nowhere else.
func TestOutside(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "given")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(top, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"up": "../secret", "absolute": secret, "proc": "/proc/self/root" + secret, "inside": "file"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := run(t, []string{"-v", dir + ":/data"}, "read", "/data", "up", "absolute", "proc", "../secret", "../data/../../secret", "inside", "../data/file")
	if strings.Contains(r.Stdout, `"secret"`) || strings.Count(r.Stdout, `"mine" ok`) != 2 || strings.Count(r.Stdout, "no such file") != 5 {
		t.Errorf("code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// TestReadOnly: every change is refused, and nothing has changed.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	r := run(t, []string{"-v", dir + ":/data:ro"}, "refused", "/data")
	if n := strings.Count(r.Stdout, "read-only file system"); n != 7 || !strings.Contains(r.Stdout, "read-only 1\n") {
		t.Errorf("%d calls were refused: %s%s", n, r.Stdout, r.Stderr)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "f")); string(b) != "text" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// TestSeveral: three directories, one of them in another, and two guests on one.
func TestSeveral(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(b, "f"), []byte("b"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := run(t, []string{"-v", a + ":/data", "-v", b + ":/data/sub/b", "-v", b + ":/other:ro"}, "read", "/", "data/sub/b/f", "other/f")
	if strings.Count(r.Stdout, `"b" ok`) != 2 {
		t.Errorf("code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := run(t, []string{"-v", a + ":/data"}, "busy", "/data"); r.Stdout != "ticked true\n" {
		t.Errorf("code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// TestRefused: what cannot be shared gets a sentence.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ volume, says string }{
		{"/no/such/place:/data", "it does not exist"},
		{"/etc/passwd:/data", "it is not a directory"},
		{dir, "write HOST:GUEST"},
		{dir + ":data", "write an absolute path"},
		{dir + ":/data:x", "is no option"},
		{dir + ":/" + strings.Repeat("d", 300), "absolute path below / of less than 256 bytes"},
	} {
		r := run(t, []string{"-v", c.volume}, "read", "/")
		if r.Code == 0 || !strings.Contains(r.Stderr, c.says) || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("-v %s: code %d, %q; want one sentence with %q", c.volume, r.Code, r.Stderr, c.says)
		}
	}
}
