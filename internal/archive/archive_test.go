package archive

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// entry is a member as the test's reader sees it.
type entry struct {
	mode  uint64
	mtime int64
	data  string
}

// read is a reader of archives that shares nothing with the writer.
func read(t *testing.T, b []byte) (names []string, entries map[string]entry) {
	t.Helper()
	if len(b)%4 != 0 {
		t.Errorf("the archive has %d bytes, not a multiple of 4", len(b))
	}
	entries = map[string]entry{}
	inodes := map[uint64]bool{}
	for at := 0; ; {
		field := func(i int) uint64 {
			v, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		name := string(b[at+110 : at+110+int(field(11))])
		if !strings.HasSuffix(name, "\x00") {
			t.Fatalf("name %q is not terminated", name)
		}
		name = name[:len(name)-1]
		data := at + (110+len(name)+1+3)/4*4
		size := int(field(6))
		if name == "TRAILER!!!" {
			if data != len(b) {
				t.Errorf("the archive ends at %d of %d", data, len(b))
			}
			return names, entries
		}
		if inodes[field(0)] {
			t.Errorf("%s has the inode of another", name)
		}
		inodes[field(0)] = true
		names = append(names, name)
		entries[name] = entry{mode: field(1), mtime: int64(field(5)), data: string(b[data : data+size])}
		at = data + (size+3)/4*4
	}
}

func pack(t *testing.T, b *Builder) []byte {
	t.Helper()
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(out)) != b.Size() {
		t.Errorf("Size said %d, the archive has %d bytes", b.Size(), len(out))
	}
	return out
}

// old is a time that nothing made now has.
var old = time.Unix(1_000_000_000, 0)

// tree makes a directory with one of each kind.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "sub", "empty"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "a"), []byte("one"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "sub", "run.sh"), []byte("#!/bin/sh\n"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "sub", "nothing"), nil, 0o444))
	must(os.Symlink("../a", filepath.Join(dir, "sub", "link")))
	must(os.Symlink("gone", filepath.Join(dir, "dangling")))
	must(os.Chmod(filepath.Join(dir, "sub"), 0o711|fs.ModeSticky))
	must(os.Chtimes(filepath.Join(dir, "a"), old, old))
	must(os.Chtimes(filepath.Join(dir, "sub"), old, old))
	return dir
}

func TestTree(t *testing.T) {
	var b Builder
	if err := b.Add(tree(t), "/srv/data", nil); err != nil {
		t.Fatal(err)
	}
	names, got := read(t, pack(t, &b))
	for name, want := range map[string]entry{
		"srv/data":             {mode: 0o040755},
		"srv/data/a":           {mode: 0o100600, mtime: old.Unix(), data: "one"},
		"srv/data/dangling":    {mode: 0o120777, data: "gone"},
		"srv/data/sub":         {mode: 0o041711, mtime: old.Unix()},
		"srv/data/sub/empty":   {mode: 0o040755},
		"srv/data/sub/link":    {mode: 0o120777, data: "../a"},
		"srv/data/sub/nothing": {mode: 0o100444},
		"srv/data/sub/run.sh":  {mode: 0o100755, data: "#!/bin/sh\n"},
	} {
		e, ok := got[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		if want.mtime == 0 {
			e.mtime = 0
		}
		if e != want {
			t.Errorf("%s is %+v, want %+v", name, e, want)
		}
		if dir := filepath.Dir(name); slices.Index(names, dir) < slices.Index(names, name) && slices.Contains(names, dir) {
			t.Errorf("%s comes before %s", dir, name)
		}
	}
	if len(names) != 8 {
		t.Errorf("members are %q", names)
	}
}

func TestNames(t *testing.T) {
	dir := tree(t)
	file := filepath.Join(dir, "a")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, guest, name, err string }{
		{file, "/etc/app.conf", "etc/app.conf", ""},
		{file, "/etc/", "etc/a", ""},
		{file, "/x/../y//z", "y/z", ""},
		{link, "/followed", "followed", ""},
		{file, "relative", "", "not absolute"},
		{file, "/.", "", "is a directory"},
		{filepath.Join(dir, "none"), "/x", "", "no such file"},
	} {
		var b Builder
		err := b.Add(c.host, c.guest, nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("Add(%s, %s) returned %v, want %q", c.host, c.guest, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		names, got := read(t, pack(t, &b))
		if !slices.Equal(names, []string{c.name}) || got[c.name].data != "one" {
			t.Errorf("Add(%s, %s) made %v", c.host, c.guest, got)
		}
	}
}

func TestRoot(t *testing.T) {
	var b Builder
	if err := b.Add(tree(t), "/", nil); err != nil {
		t.Fatal(err)
	}
	names, _ := read(t, pack(t, &b))
	if !slices.Contains(names, "a") || slices.Contains(names, "") || slices.Contains(names, ".") {
		t.Errorf("members are %q", names)
	}
}

func TestFilterAndDirs(t *testing.T) {
	var b Builder
	err := b.Add(tree(t), "/w", func(host string, d fs.DirEntry) bool { return d.Name() != "sub" && d.Name() != "dangling" })
	if err != nil {
		t.Fatal(err)
	}
	b.MakeDir("/w/out")
	names, got := read(t, pack(t, &b))
	if !slices.Equal(names, []string{"w/a", "w", "w/out"}) || got["w/out"].mode != 0o040777 {
		t.Errorf("members are %v", got)
	}
}

func TestSpecial(t *testing.T) {
	dir := tree(t)
	if err := exec.Command("mkfifo", filepath.Join(dir, "fifo")).Run(); err != nil {
		t.Skip("no named pipes here:", err)
	}
	var b Builder
	if err := b.Add(dir, "/w", nil); err != nil {
		t.Fatal(err)
	}
	names, _ := read(t, pack(t, &b))
	if len(b.LeftOut()) != 1 || slices.Contains(names, "w/fifo") {
		t.Errorf("left out %q of %q", b.LeftOut(), names)
	}
}

func TestShrinking(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	var b Builder
	if err := b.Add(file, "/log", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 50); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Bytes(); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("error is %v", err)
	}
}

func TestEmpty(t *testing.T) {
	var b Builder
	if names, _ := read(t, pack(t, &b)); !b.Empty() || len(names) != 0 {
		t.Errorf("members are %q", names)
	}
}

// TestCPIO lets cpio(1) read an archive.
func TestCPIO(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("no cpio here")
	}
	from, to := tree(t), t.TempDir()
	var b Builder
	if err := b.Add(from, "/", nil); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cpio", "-idm", "--quiet")
	cmd.Dir, cmd.Stdin = to, bytes.NewReader(pack(t, &b))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command("diff", "-r", "--no-dereference", from, to).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	info, err := os.Stat(filepath.Join(to, "a"))
	if err != nil || info.Mode() != 0o600 || !info.ModTime().Equal(old) {
		t.Errorf("a is %v, %v", info, err)
	}
}
