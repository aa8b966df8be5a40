package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	ctx := t.Context()
	a, err := lockFile(ctx, path, syscall.LOCK_SH, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := lockFile(ctx, path, syscall.LOCK_SH, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(path, syscall.LOCK_EX); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("exclusive beside shared: %v", err)
	}
	b.unlock()
	waited := make(chan bool, 1)
	go func() {
		c, err := lockFile(ctx, path, syscall.LOCK_EX, func() { waited <- true })
		c.unlock()
		waited <- err == nil
	}()
	<-waited
	a.unlock()
	if !<-waited {
		t.Error("no lock after the others ended")
	}
	c, err := lockFile(ctx, path, syscall.LOCK_EX, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.unlock()
	short, cancel := context.WithTimeoutCause(ctx, 10*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := lockFile(short, path, syscall.LOCK_SH, nil); err == nil || err.Error() != "enough" {
		t.Errorf("a wait that is cut short: %v", err)
	}
	(*fileLock)(nil).unlock()
}

func TestPrune(t *testing.T) {
	cache := t.TempDir()
	now := time.Now()
	old := now.Add(-31 * 24 * time.Hour)
	files := map[string]string{}
	for _, name := range []string{"old", "used", "locked"} {
		files["goroot/"+name+"/"+manifestName] = ""
		files["goroot/"+name+lockSuffix] = ""
	}
	files["goroot/halfmade/src/x.go"] = ""
	files["goroot/used"+temporaryMark+"123/src/x.go"] = ""
	files["goroot/locked"+temporaryMark+"123/src/x.go"] = ""
	files["image/old/app"], files["image/new/app"] = "", ""
	files["tmp/old/x"], files["tmp/new/x"] = "", ""
	if err := writeFiles(cache, files); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"goroot/old/" + manifestName, "goroot/locked/" + manifestName, "image/old", "tmp/old"} {
		if err := os.Chtimes(filepath.Join(cache, path), old, old); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := tryLock(filepath.Join(cache, "goroot/locked"+lockSuffix), syscall.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.unlock()
	prune(cache, now)
	for path, want := range map[string]bool{
		"goroot/old": false, "goroot/used": true, "goroot/locked": true, "goroot/halfmade": false,
		"goroot/used" + temporaryMark + "123": false, "goroot/locked" + temporaryMark + "123": true,
		"goroot/old" + lockSuffix: false, "image/old": false, "image/new": true, "tmp/old": false, "tmp/new": true,
	} {
		if _, err := os.Stat(filepath.Join(cache, path)); (err == nil) != want {
			t.Errorf("%s: %v, want there: %v", path, err, want)
		}
	}
}

func TestManifest(t *testing.T) {
	origin, root := t.TempDir(), t.TempDir()
	files := map[string]string{"src/a/x.go": "package a", "src/a/data": "12", "src/b.txt": ""}
	if err := writeFiles(root, files); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(origin, "bin"), filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	if _, err := readManifest(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no manifest: %v", err)
	}
	m := newManifest(origin, []string{"bin"}, []copiedFile{{"a/x.go", 9}, {"a/data", 2}, {"b.txt", 0}})
	if err := m.write(root); err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		m, err := readManifest(root)
		if err != nil {
			return err
		}
		return m.verify(t.Context(), root)
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(root, "src")
	for name, harm := range map[string]func() error{
		"file shortened": func() error { return os.Truncate(filepath.Join(src, "a/data"), 1) },
		"file removed":   func() error { return os.Remove(filepath.Join(src, "a/x.go")) },
		"source added":   func() error { return os.WriteFile(filepath.Join(src, "a/y.go"), nil, 0o666) },
		"directory gone": func() error { return os.RemoveAll(filepath.Join(src, "a")) },
		"link gone":      func() error { return os.Remove(filepath.Join(root, "bin")) },
		"manifest cut":   func() error { return os.Truncate(filepath.Join(root, manifestName), 60) },
		"manifest empty": func() error { return os.Truncate(filepath.Join(root, manifestName), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := harm(); err != nil {
				t.Fatal(err)
			}
			if err := verify(); err == nil {
				t.Error("not noticed")
			}
			os.Remove(filepath.Join(src, "a/y.go"))
			os.Symlink(filepath.Join(origin, "bin"), filepath.Join(root, "bin"))
			if err := errors.Join(writeFiles(root, files), m.write(root), verify()); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(src, "a/cpu.prof"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err != nil {
		t.Errorf("what a test may leave: %v", err)
	}
}

func TestDeliver(t *testing.T) {
	dir := t.TempDir()
	if err := writeFiles(dir, map[string]string{"cache/app": "\x7fELF new", "out/keep": "", "elf": "\x7fELF old", "text": "text"}); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "cache/app")
	for output, want := range map[string]string{
		"fresh": "fresh", "out": "out/app", "new/": "new/app", "elf": "elf", filepath.Join(dir, "abs"): "abs",
	} {
		got, err := deliver(image, output, dir)
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v, want %s", output, got, err, want)
			continue
		}
		if b, _ := os.ReadFile(got); string(b) != "\x7fELF new" {
			t.Errorf("%s holds %q", got, b)
		}
	}
	if _, err := deliver(image, "text", dir); err == nil || !strings.Contains(err.Error(), "no executable") {
		t.Errorf("over a text: %v", err)
	}
	if got, err := deliver(image, os.DevNull, dir); err != nil || got != os.DevNull {
		t.Errorf("to %s: %s, %v", os.DevNull, got, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".ukvm-*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
