package build

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestConcurrentFirst starts two builds of two programs at once in an empty cache.
func TestConcurrentFirst(t *testing.T) {
	integration(t)
	cache := seededCache(t)
	var wg sync.WaitGroup
	var progress [2]bytes.Buffer
	for i := range progress {
		dir := tree(t, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
		wg.Go(func() {
			cfg := testConfig(t, dir)
			cfg.Cache, cfg.Progress = cache, &progress[i]
			r, err := Build(t.Context(), cfg, nil, "")
			if err != nil {
				t.Error(err)
				return
			}
			if out := runs(t, r.Path); out != "hello" {
				t.Error(out)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(progress[0].String()+progress[1].String(), "preparing"); n != 1 {
		t.Errorf("prepared %d times:\n%s%s", n, &progress[0], &progress[1])
	}
}

// TestNotices damages a derived GOROOT in ways that must be noticed at the next use.
func TestNotices(t *testing.T) {
	p := installedPlan(t)
	root := filepath.Join(seededCache(t), "root")
	if err := os.Mkdir(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.derive(t.Context(), root, sibling(root, "")); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(root, "src")
	for _, name := range []string{"src/fmt/print.go", "src/runtime/zukvm_linux_amd64.go", "src/runtime/sys_linux_amd64.s", "pkg", "src/cmd", "src/unicode", manifestName} {
		path := filepath.Join(root, name)
		if err := os.Rename(path, path+".moved"); err != nil {
			t.Fatal(err)
		}
		if err := p.check(t.Context(), root); err == nil {
			t.Errorf("without %s: nothing noticed", name)
		}
		if err := os.Rename(path+".moved", path); err != nil {
			t.Fatal(err)
		}
		if err := p.check(t.Context(), root); err != nil {
			t.Errorf("with %s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"fmt/more.go":                  "package fmt\n",
		"runtime/rt0_linux_amd64.s":    strings.ToLower(p.files["runtime/rt0_linux_amd64.s"]), // of the same length
		"ukvm/kernel/kernel.go":        "",
		"runtime/zukvm_linux_amd64.go": "package runtime\n",
	} {
		path := filepath.Join(src, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := p.check(t.Context(), root); err == nil {
			t.Errorf("%s changed: nothing noticed", name)
		}
		os.Remove(path)
		if text, ok := p.files[name]; ok {
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.check(t.Context(), root); err != nil {
		t.Error(err)
	}
}

// TestMends builds over a derived GOROOT in all states that a crash or a careless hand may leave.
func TestMends(t *testing.T) {
	integration(t)
	cache := seededCache(t)
	dir := tree(t, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
	var progress bytes.Buffer
	build := func() string {
		t.Helper()
		progress.Reset()
		cfg := testConfig(t, dir)
		cfg.Cache, cfg.Progress = cache, &progress
		r := mustBuild(t, cfg)
		return runs(t, r.Path)
	}
	build()
	root := filepath.Join(cache, "goroot", installedKey(t, testConfig(t, dir)))
	src := filepath.Join(root, "src")
	for _, c := range []struct {
		name string
		harm func() error
		want bool // it must be made anew
	}{
		{"nothing", func() error { return nil }, false},
		{"files harmed", func() error {
			return errors.Join(replace(filepath.Join(src, "fmt/print.go"), "package fmt\n"), os.Remove(filepath.Join(src, "fmt/scan.go")))
		}, true},
		{"killed half-way", func() error {
			half := root + temporaryMark + "1234"
			return errors.Join(os.Rename(root, half), os.Remove(filepath.Join(half, manifestName)))
		}, true},
		{"file instead of directory", func() error {
			return errors.Join(os.RemoveAll(root), os.WriteFile(root, nil, 0o666))
		}, true},
	} {
		if err := c.harm(); err != nil {
			t.Fatal(err)
		}
		if out := build(); out != "hello" {
			t.Errorf("%s: %s", c.name, out)
		}
		if made := strings.Contains(progress.String(), "preparing"); made != c.want {
			t.Errorf("%s: made anew: %v, want %v\n%s", c.name, made, c.want, &progress)
		}
		left, _ := filepath.Glob(root + temporaryMark + "*")
		if len(left) != 0 {
			t.Errorf("%s: left behind: %v", c.name, left)
		}
	}
}

// replace gives a file another text, and leaves alone what else is linked to the old one.
func replace(path, text string) error {
	return errors.Join(os.Remove(path), os.WriteFile(path, []byte(text), 0o666))
}

// installedKey is the name of the derived GOROOT for cfg.
func installedKey(t testing.TB, cfg Config) string {
	t.Helper()
	tc, err := Resolve(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(tc, cfg.source())
	if err != nil {
		t.Fatal(err)
	}
	return p.key
}

// TestReproducible builds the same program from two checkouts with two derived GOROOTs.
func TestReproducible(t *testing.T) {
	integration(t)
	var images [2][]byte
	for i := range images {
		dir := tree(t, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
		cfg := testConfig(t, dir)
		cfg.Cache = seededCache(t)
		if i == 1 {
			cfg.Env = setenv(cfg.Env, "GOCACHE="+reproducibleCache(t))
		}
		r := mustBuild(t, cfg)
		var err error
		if images[i], err = os.ReadFile(r.Path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the images differ")
	}
}

// reproducibleCache is the go command's cache for the second build: an empty one if there is time to fill it.
func reproducibleCache(t *testing.T) string {
	if os.Getenv("UKVM_SOAK") == "1" {
		return t.TempDir()
	}
	return os.Getenv("GOCACHE")
}

// TestSibling checks that another version of the operating system shares unchanged files with the first, and that damage in
// one is not copied into the other.
func TestSibling(t *testing.T) {
	cache := t.TempDir()
	tc := Toolchain{Version: "test", Root: goroot(t)}
	s := &session{cfg: &Config{}, cache: cache}
	var roots [2]*root
	var first os.FileInfo
	for i := range roots {
		p, err := newPlan(tc, standIn())
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			p.files["ukvm/kernel/more.go"] = "package kernel\n"
			if err := p.hash(tc); err != nil {
				t.Fatal(err)
			}
		}
		if roots[i], err = s.openRoot(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		defer roots[i].release()
		info, err := os.Stat(filepath.Join(roots[i].dir, "src/fmt/print.go"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = info
			if err := os.Truncate(filepath.Join(roots[i].dir, "src/fmt/scan.go"), 3); err != nil {
				t.Fatal(err)
			}
		} else if !os.SameFile(info, first) {
			t.Error("fmt/print.go is another file")
		}
	}
	if info, err := os.Stat(filepath.Join(roots[1].dir, "src/fmt/scan.go")); err != nil || info.Size() < 100 {
		t.Errorf("damage was copied: %v", err)
	}
}

// BenchmarkOverhead is what a build adds to the go command's own time if nothing has changed: to find the toolchain, to
// make the plan, to check the derived GOROOT and the image.
func BenchmarkOverhead(b *testing.B) {
	dir := tree(b, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
	cfg := testConfig(b, dir)
	r := mustBuild(b, cfg)
	for b.Loop() {
		s, err := newSession(&cfg, nil)
		if err != nil {
			b.Fatal(err)
		}
		_, root, err := s.prepare(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		root.release()
		if err := checkImage(r.Path); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRebuild is a whole build with nothing changed; BenchmarkGoBuild is what it is to be compared with.
func BenchmarkRebuild(b *testing.B) {
	dir := tree(b, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
	cfg := testConfig(b, dir)
	mustBuild(b, cfg)
	for b.Loop() {
		mustBuild(b, cfg)
	}
}
