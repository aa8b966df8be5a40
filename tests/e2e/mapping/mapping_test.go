// Package mapping has tests of mmap(2) of files in guests: in memory, and on directories of the host's.
package mapping

import (
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

const pkg = "tests/e2e/mapping/guest"

// everywhere runs the program natively, on a shared directory, and on the guest's memory.
func everywhere(t *testing.T, arguments func(dir string) []string) (native string, guests map[string]string) {
	image := ukvmtest.Image(t, pkg)
	cmd := exec.Command(image, arguments(t.TempDir())...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("natively: %v: %s", err, out)
	}
	guests = map[string]string{}
	for _, where := range []string{"/data", "/tmp"} {
		r := ukvmtest.Ukvm(t, append([]string{"run", "-q", "-m", "64M", "-v", t.TempDir() + ":/data", image, "--"}, arguments(where)...)...)
		if r.Code != 0 || r.Stderr != "" {
			t.Errorf("in %s: code %d: %s%s", where, r.Code, r.Stdout, r.Stderr)
		}
		guests[where] = r.Stdout
	}
	return string(out), guests
}

// TestCases: the table's results are Linux's.
func TestCases(t *testing.T) {
	native, guests := everywhere(t, func(dir string) []string { return []string{"cases", dir} })
	want := strings.Split(native, "\n")
	for where, out := range guests {
		got := strings.Split(out, "\n")
		for i := range max(len(got), len(want)) {
			a, b := "", ""
			if i < len(got) {
				a = got[i]
			}
			if i < len(want) {
				b = want[i]
			}
			if a != b {
				t.Errorf("in %s: %q, natively %q", where, a, b)
			}
		}
	}
}

// TestRandom: memory and file agree with a model through random steps.
func TestRandom(t *testing.T) {
	steps := "3000"
	if ukvmtest.Soak() {
		steps = "300000"
	}
	native, guests := everywhere(t, func(dir string) []string { return []string{"random", dir, steps} })
	if native != "agreed\n" {
		t.Fatalf("natively: %s", native)
	}
	for where, out := range guests {
		if out != native {
			t.Errorf("in %s: %s", where, out)
		}
	}
}

// TestPeer: a guest and the host share a file's pages, and a guest lives on when the host cuts the file short.
func TestPeer(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "peer"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const page = 4096
	if err := f.Truncate(4 * page); err != nil {
		t.Fatal(err)
	}
	p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"run", "-q", "-v", dir + ":/data", ukvmtest.Image(t, pkg), "--", "peer", "/data"}})
	p.Await("written\n")
	b := make([]byte, 14)
	if _, err := f.ReadAt(b, page); err != nil || string(b) != "from the guest" {
		t.Errorf("the host reads %q, %v", b, err)
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, 4*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(m[2*page:], "from the host, through memory")
	p.Await("seen\n")
	time.Sleep(10 * time.Millisecond)
	if err := syscall.Munmap(m); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(page); err != nil {
		t.Fatal(err)
	}
	p.Await("cut\n")
	if r := p.Wait(); r.Code != 0 || !strings.HasSuffix(r.Stdout, "done\n") {
		t.Errorf("code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if b, err := os.ReadFile(f.Name()); err != nil || string(b[:3]) != "end" {
		t.Errorf("the file begins with %q, %v", b[:3], err)
	}
}
