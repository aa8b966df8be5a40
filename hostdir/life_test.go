package hostdir_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// TestLimit: beyond MaxNodes there is ENFILE, nothing is left behind on the disk, and Forget makes room again.
func TestLimit(t *testing.T) {
	const most = 10
	d, path := export(t, hostdir.Options{MaxNodes: most})
	for i := range 2 * most {
		write(t, filepath.Join(path, fmt.Sprint(i)), "")
	}
	before := descriptors(t)
	nodes := make([]hostdir.Node, most)
	for round := range 3 {
		for i := range nodes {
			nodes[i] = lookup(t, d, hostdir.Root, fmt.Sprint(i+round))
		}
		_, _, e := d.Lookup(hostdir.Root, "19")
		want(t, "lookup beyond", e, syscall.ENFILE)
		for _, kind := range []uint32{unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK, unix.S_IFIFO} {
			_, _, e = d.Make(hostdir.Root, "new", kind|0o644, "target")
			want(t, "make beyond", e, syscall.ENFILE)
		}
		if _, err := os.Lstat(filepath.Join(path, "new")); err == nil {
			t.Error("make left a file behind")
		}
		if n := lookup(t, d, hostdir.Root, fmt.Sprint(round)); n != nodes[0] {
			t.Errorf("node %d, want %d, which is remembered", n, nodes[0])
		}
		if now := descriptors(t); now != before+most {
			t.Errorf("%d descriptors for %d nodes", now-before, most)
		}
		for _, n := range nodes {
			want(t, "open", d.Open(n, true), ok)
		}
		if now := descriptors(t); now != before+2*most {
			t.Errorf("%d descriptors for %d open nodes", now-before, most)
		}
		want(t, "lock a directory beyond", d.Lock(hostdir.Root, unix.LOCK_SH), syscall.ENFILE)
		d.Forget(nodes[0], 1) // of 2
		if _, e := d.Attr(nodes[0]); e != 0 {
			t.Errorf("forgotten too early: %v", e)
		}
		for _, n := range nodes {
			d.Forget(n, 1<<60) // more than there is
			if _, e := d.Attr(n); e != syscall.ESTALE {
				t.Errorf("forgotten: %v", e)
			}
		}
		if now := descriptors(t); now != before {
			t.Errorf("%d descriptors are left", now-before)
		}
		n := mk(t, d, hostdir.Root, "new", unix.S_IFREG|0o444)
		if n <= nodes[most-1] {
			t.Errorf("node %d was there before", n)
		}
		d.Forget(n, 1)
		want(t, "remove", d.Remove(hostdir.Root, "new", false), ok)
	}
	d.Forget(hostdir.Root, 1<<60)
	if _, e := d.Attr(hostdir.Root); e != 0 {
		t.Errorf("the root was forgotten: %v", e)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left", now-before)
	}
}

// TestSizeLimit: at RLIMIT_FSIZE there is EFBIG and not SIGXFSZ, which would end the process.
func TestSizeLimit(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	const most = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
	d, _ := export(t, hostdir.Options{})
	n := mk(t, d, hostdir.Root, "file", unix.S_IFREG|0o600)
	want(t, "open", d.Open(n, true), ok)
	buf := [][]byte{make([]byte, 10)}
	if size, end, e := d.WriteAt(n, buf, most-4, false); size != 4 || end != most || e != 0 {
		t.Errorf("across the limit: %d %d %v", size, end, e)
	}
	_, _, e := d.WriteAt(n, buf, most, false)
	want(t, "at the limit", e, syscall.EFBIG)
	_, _, e = d.WriteAt(n, buf, 0, true)
	want(t, "append at the limit", e, syscall.EFBIG)
	_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize, Size: most + 1})
	want(t, "truncate", e, syscall.EFBIG)
	_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize, Size: most})
	want(t, "truncate to the limit", e, ok)
	want(t, "allocate", d.Allocate(n, 0, most-1, 2), syscall.EFBIG)
}

// TestClose: nothing is left, and everything afterwards is ESTALE.
func TestClose(t *testing.T) {
	before := descriptors(t)
	d, err := hostdir.Open(t.TempDir(), hostdir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := mk(t, d, hostdir.Root, "file", unix.S_IFREG|0o400)
	mk(t, d, hostdir.Root, "dir", unix.S_IFDIR|0o700)
	want(t, "open", d.Open(n, true), ok)
	want(t, "lock", d.Lock(n, unix.LOCK_EX), ok)
	want(t, "lock", d.Lock(hostdir.Root, unix.LOCK_EX), ok)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if now := descriptors(t); now != before {
			t.Errorf("%d descriptors, %d before", now, before)
		}
	}
	_, e := d.Attr(n)
	want(t, "attr", e, syscall.ESTALE)
	_, _, e = d.Lookup(hostdir.Root, "file")
	want(t, "lookup", e, syscall.ESTALE)
	_, e = d.Statfs()
	want(t, "statfs", e, syscall.ESTALE)
	want(t, "open", d.Open(n, false), syscall.ESTALE)
	d.Done(n)
	d.Forget(n, 1)
}

// TestRemoved: a file without a name lives as long as its node, and one that takes its name is another.
func TestRemoved(t *testing.T) {
	d, _ := export(t, hostdir.Options{})
	a := mk(t, d, hostdir.Root, "a", unix.S_IFREG|0o600)
	want(t, "remove", d.Remove(hostdir.Root, "a", false), ok)
	want(t, "open removed", d.Open(a, true), ok)
	_, _, e := d.WriteAt(a, [][]byte{[]byte("old")}, 0, false)
	want(t, "write", e, ok)
	if at, e := d.Attr(a); e != 0 || at.Nlink != 0 || at.Size != 3 {
		t.Errorf("%+v %v", at, e)
	}
	b := mk(t, d, hostdir.Root, "a", unix.S_IFREG|0o600)
	c := mk(t, d, hostdir.Root, "c", unix.S_IFREG|0o600)
	if a == b || b == c {
		t.Errorf("nodes %d %d %d", a, b, c)
	}
	want(t, "rename over", d.Rename(hostdir.Root, "c", hostdir.Root, "a", 0), ok)
	if n := lookup(t, d, hostdir.Root, "a"); n != c {
		t.Errorf("node %d, want %d", n, c)
	}
	if at, e := d.Attr(b); e != 0 || at.Nlink != 0 {
		t.Errorf("%+v %v", at, e)
	}
	if s := content(t, d, a); s != "old" {
		t.Errorf("%q", s)
	}
	d.Done(a)
}

// TestTemporary: a file without a name can get one, once it is written.
func TestTemporary(t *testing.T) {
	d, path := export(t, hostdir.Options{})
	for _, mode := range []uint32{0o640, 0o400} {
		n := mk(t, d, hostdir.Root, "", unix.S_IFREG|mode)
		if l, err := os.ReadDir(path); err != nil || len(l) != 0 {
			t.Errorf("%v %v", l, err)
		}
		want(t, "open", d.Open(n, true), ok)
		_, _, e := d.WriteAt(n, [][]byte{[]byte("whole")}, 0, false)
		want(t, "write", e, ok)
		want(t, "link", d.Link(hostdir.Root, "name", n), ok)
		d.Done(n)
		if b, err := os.ReadFile(filepath.Join(path, "name")); string(b) != "whole" || err != nil {
			t.Errorf("%q %v", b, err)
		}
		if m, a, e := d.Lookup(hostdir.Root, "name"); m != n || a.Mode != unix.S_IFREG|mode || a.Nlink != 1 || e != 0 {
			t.Errorf("%d %+v %v, want node %d", m, a, e, n)
		}
		want(t, "remove", d.Remove(hostdir.Root, "name", false), ok)
	}
}

// TestLock: two Dirs exclude each other, as would two processes.
func TestLock(t *testing.T) {
	a, path := export(t, hostdir.Options{})
	b := exportAt(t, path, hostdir.Options{})
	fa := mk(t, a, hostdir.Root, "file", unix.S_IFREG|0o600)
	fb := lookup(t, b, hostdir.Root, "file")
	want(t, "open", a.Open(fa, true), ok)
	want(t, "open", b.Open(fb, false), ok)
	for _, n := range [][2]hostdir.Node{{fa, fb}, {hostdir.Root, hostdir.Root}} {
		want(t, "unlock nothing", a.Lock(n[0], unix.LOCK_UN), ok)
		want(t, "shared", a.Lock(n[0], unix.LOCK_SH), ok)
		want(t, "shared too", b.Lock(n[1], unix.LOCK_SH|unix.LOCK_NB), ok)
		want(t, "exclusive", a.Lock(n[0], unix.LOCK_EX), syscall.EWOULDBLOCK)
		want(t, "unlock", b.Lock(n[1], unix.LOCK_UN), ok)
		want(t, "exclusive", a.Lock(n[0], unix.LOCK_EX), ok)
		want(t, "exclusive again", a.Lock(n[0], unix.LOCK_EX), ok)
		want(t, "shared", b.Lock(n[1], unix.LOCK_SH), syscall.EWOULDBLOCK)
		want(t, "unlock what is not locked", b.Lock(n[1], unix.LOCK_UN), ok)
		want(t, "shared", b.Lock(n[1], unix.LOCK_SH), syscall.EWOULDBLOCK)
		want(t, "unlock", a.Lock(n[0], unix.LOCK_UN), ok)
		want(t, "exclusive", b.Lock(n[1], unix.LOCK_EX), ok)
		want(t, "unlock", b.Lock(n[1], unix.LOCK_UN), ok)
	}
	// The last Done ends it, not one before.
	want(t, "open", a.Open(fa, true), ok)
	want(t, "exclusive", a.Lock(fa, unix.LOCK_EX), ok)
	a.Done(fa)
	want(t, "one is left", b.Lock(fb, unix.LOCK_EX), syscall.EWOULDBLOCK)
	a.Done(fa)
	want(t, "done", b.Lock(fb, unix.LOCK_EX), ok)
	want(t, "open", a.Open(fa, true), ok)
	want(t, "exclusive", a.Lock(fa, unix.LOCK_SH), syscall.EWOULDBLOCK)
	b.Forget(fb, 1)
	want(t, "forgotten", a.Lock(fa, unix.LOCK_SH), ok)
}

// TestConcurrent: many goroutines do everything to the same few names; no call does what none of its errors explains, and
// the appended records are whole and where they were said to be.
func TestConcurrent(t *testing.T) {
	const workers, rounds = 8, 150
	d, path := export(t, hostdir.Options{MaxNodes: 64})
	log := mk(t, d, hostdir.Root, "log", unix.S_IFREG|0o600)
	want(t, "open", d.Open(log, true), ok)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			record := bytes.Repeat([]byte{byte('a' + w)}, 1+w)
			for i := range rounds {
				n, end, e := d.WriteAt(log, [][]byte{record, {'\n'}}, 0, true)
				back := make([]byte, len(record)+1)
				if _, e2 := d.ReadAt(log, [][]byte{back}, end-int64(n), false); e != 0 || e2 != 0 || string(back) != string(record)+"\n" {
					t.Errorf("append: %d %d %v %v: %q", n, end, e, e2, back)
				}
				if _, e := d.Next(log, 0, true); e != 0 {
					t.Errorf("next: %v", e)
				}
				name := fmt.Sprint(i % 3)
				mode := uint32(unix.S_IFREG | 0o600)
				if w%2 == 0 {
					mode = unix.S_IFREG | 0o400
				}
				f, _, e := d.Make(hostdir.Root, name, mode, "")
				if e == syscall.EEXIST {
					f, _, e = d.Lookup(hostdir.Root, name)
				}
				if e != 0 {
					if e != syscall.ENOENT {
						t.Errorf("%s: %v", name, e)
					}
					continue
				}
				if e := d.Open(f, false); e != 0 {
					t.Errorf("open: %v", e)
				}
				d.Lock(f, unix.LOCK_EX)
				d.Lock(hostdir.Root, unix.LOCK_SH)
				d.SetAttr(f, hostdir.Change{Set: hostdir.SetSize, Size: int64(i)})
				d.Link(hostdir.Root, name+"+", f)
				d.Rename(hostdir.Root, name, hostdir.Root, name+"+", unix.RENAME_EXCHANGE)
				d.Entries(hostdir.Root, 0, make([]byte, 1000))
				d.Sync(f, true)
				d.Lock(hostdir.Root, unix.LOCK_UN)
				d.Remove(hostdir.Root, name, false)
				d.Done(f)
				d.Forget(f, 1)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(filepath.Join(path, "log"))
	if total := rounds * (workers*(workers+1)/2 + workers); err != nil || len(b) != total {
		t.Errorf("%d bytes in the log, want %d: %v", len(b), total, err)
	}
}

// TestCloseUnderway: Close waits for what is under way.
func TestCloseUnderway(t *testing.T) {
	before := descriptors(t)
	for range 20 {
		d, err := hostdir.Open(t.TempDir(), hostdir.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					n, _, e := d.Make(hostdir.Root, fmt.Sprint(w, i), unix.S_IFREG|0o400, "")
					if e == syscall.ESTALE {
						return
					}
					if e := d.Open(n, true); e != 0 && e != syscall.ESTALE {
						t.Errorf("open: %v", e)
					}
				}
			})
		}
		d.Attr(hostdir.Root)
		d.Close()
		wg.Wait()
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors, %d before", now, before)
	}
}

// TestUnprivileged runs itself as a user without rights, for what root is always permitted.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		unprivileged(t, t.TempDir())
		return
	}
	// The go command's directory is closed to others.
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	program := filepath.Join(dir, "test")
	out, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	const user = 12345
	tmp := filepath.Join(dir, "tmp")
	foreign := filepath.Join(dir, "tmp/foreign")
	if err := os.MkdirAll(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(foreign, "readable"), "readable")
	if err := os.WriteFile(filepath.Join(foreign, "closed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, user, user); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Dir, cmd.Env = "/", []string{"TMPDIR=" + tmp, "HOSTDIR_FOREIGN=" + foreign}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	report, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(report, []byte("--- PASS: TestUnprivileged")) {
		t.Errorf("%v\n%s", err, report)
	}
}

func unprivileged(t *testing.T, path string) {
	noLeaks(t)
	d := exportAt(t, path, hostdir.Options{})
	root := hostdir.Root
	if a, e := d.Attr(root); e != 0 || a.UID != 0 || a.GID != 0 {
		t.Errorf("%+v %v", a, e)
	}
	// Its maker may write to a file that nobody may open.
	n := mk(t, d, root, "closed", unix.S_IFREG)
	want(t, "open", d.Open(n, true), ok)
	_, _, e := d.WriteAt(n, [][]byte{[]byte("x")}, 0, false)
	want(t, "write", e, ok)
	_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize, Size: 2})
	want(t, "truncate the open file", e, ok)
	d.Done(n)
	want(t, "open again", d.Open(n, false), syscall.EACCES)
	_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetSize})
	want(t, "truncate", e, syscall.EACCES)
	_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMode, Mode: 0o400})
	want(t, "chmod", e, ok)
	want(t, "open to read", d.Open(n, false), ok)
	want(t, "open to write", d.Open(n, true), syscall.EACCES)
	_, _, e = d.WriteAt(n, [][]byte{[]byte("x")}, 0, false)
	want(t, "write what is open to read", e, syscall.EBADF)
	want(t, "lock", d.Lock(n, unix.LOCK_EX), ok)
	_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetMode, Mode: 0o600})
	want(t, "chmod", e, ok)
	want(t, "open to write after all", d.Open(n, true), ok)
	_, _, e = d.WriteAt(n, [][]byte{[]byte("y")}, 0, false)
	want(t, "write", e, ok)
	other := exportAt(t, path, hostdir.Options{})
	same := lookup(t, other, root, "closed")
	want(t, "open elsewhere", other.Open(same, true), ok)
	want(t, "the lock is still there", other.Lock(same, unix.LOCK_EX), syscall.EWOULDBLOCK)
	d.Done(n)
	d.Done(n)
	want(t, "the lock is gone", other.Lock(same, unix.LOCK_EX), ok)

	shut := mk(t, d, root, "shut", unix.S_IFDIR)
	_, _, e = d.Lookup(shut, "x")
	want(t, "lookup in a closed directory", e, syscall.EACCES)
	_, _, e = d.Make(shut, "x", unix.S_IFREG|0o600, "")
	want(t, "make in a closed directory", e, syscall.EACCES)
	_, e = d.Entries(shut, 0, make([]byte, 4096))
	want(t, "entries of a closed directory", e, syscall.EACCES)
	want(t, "lock a closed directory", d.Lock(shut, unix.LOCK_SH), syscall.EACCES)
	if _, err := hostdir.Open(filepath.Join(path, "shut"), hostdir.Options{}); err == nil {
		t.Error("a closed directory was exported")
	} else {
		t.Log(err)
	}

	foreign := os.Getenv("HOSTDIR_FOREIGN")
	if foreign == "" {
		return // there is nobody else whose files could be tried
	}
	for _, o := range []hostdir.Options{{}, {ReadOnly: true}} {
		d := exportAt(t, foreign, o)
		n, a, e := d.Lookup(root, "readable")
		if e != 0 || a.UID != 65534 || a.GID != 65534 {
			t.Errorf("%+v %v", a, e)
		}
		if s := content(t, d, n); s != "readable" {
			t.Errorf("%q", s)
		}
		want(t, "open a foreign file", d.Open(lookup(t, d, root, "closed"), false), syscall.EACCES)
		if o.ReadOnly {
			continue
		}
		want(t, "write a foreign file", d.Open(n, true), syscall.EACCES)
		want(t, "remove a foreign file", d.Remove(root, "readable", false), syscall.EACCES)
		_, _, e = d.Make(root, "new", unix.S_IFREG|0o600, "")
		want(t, "make in a foreign directory", e, syscall.EACCES)
		for _, set := range []uint32{hostdir.SetMode, hostdir.SetMtime} {
			_, e = d.SetAttr(n, hostdir.Change{Set: set})
			want(t, "change a foreign file", e, syscall.EPERM)
		}
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetUID | hostdir.SetGID, UID: 65534, GID: 65534})
		want(t, "chown a foreign file to what is shown", e, ok)
		_, e = d.SetAttr(n, hostdir.Change{Set: hostdir.SetUID})
		want(t, "take a foreign file", e, syscall.EPERM)
	}
}
