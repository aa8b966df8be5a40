// Command guest works on a directory, and says what it sees: in a guest on one of the host's it must say what it says on the host.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	dir := os.Args[2]
	switch os.Args[1] {
	case "work":
		work(dir)
	case "append":
		appendLines(dir)
	case "read":
		for _, name := range os.Args[3:] {
			b, err := os.ReadFile(filepath.Join(dir, name))
			fmt.Printf("%s: %q %v\n", name, b, short(err))
		}
	case "refused":
		refused(dir)
	case "busy":
		busy(dir)
	}
}

// say prints a result of which only the errno is the same everywhere.
func say(what string, err error) { fmt.Println(what, short(err)) }

func short(err error) string {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e.Error()
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// work does a bit of everything.
func work(dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	say("mkdir", os.Mkdir(at("a"), 0o750))
	say("mkdir again", os.Mkdir(at("a"), 0o750))
	say("mkdirall", os.MkdirAll(at("a/b/c/d"), 0o755))
	say("write", os.WriteFile(at("a/f"), []byte(strings.Repeat("0123456789", 10_000)), 0o640))
	say("link", os.Link(at("a/f"), at("a/g")))
	say("symlink", os.Symlink("../a/f", at("a/l")))
	say("symlink up", os.Symlink("b/../../a/g", at("a/m")))
	say("rename over", os.Rename(at("a/g"), at("a/b/g")))
	say("rename dir", os.Rename(at("a/b/c"), at("a/c")))
	say("rename below", os.Rename(at("a"), at("a/c/a")))
	say("rename over full", os.Rename(at("a/c"), at("a/b")))
	say("remove full", os.Remove(at("a")))
	say("remove none", os.Remove(at("none")))
	say("open dir to write", func() error { _, err := os.OpenFile(at("a"), os.O_RDWR, 0); return err }())
	say("below a file", func() error { _, err := os.Open(at("a/f/x")); return err }())
	say("long name", os.Mkdir(at(strings.Repeat("n", 256)), 0o755))
	say("chmod", os.Chmod(at("a/f"), 0o600))
	say("chtimes", os.Chtimes(at("a/f"), time.Unix(1e9, 5), time.Unix(1.1e9, 7)))
	say("truncate", os.Truncate(at("a/f"), 12345))
	say("chdir", os.Chdir(at("a/c/d")))
	say("relative", os.WriteFile("r", []byte("relative"), 0o644))
	wd, err := os.Getwd()
	say("getwd "+strings.TrimPrefix(wd, dir), err)

	f, err := os.OpenFile(at("a/h"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o400)
	say("create", err)
	_, err = f.Write([]byte("hello, world"))
	say("write", err)
	_, err = f.WriteAt([]byte("HELLO"), 20)
	say("write behind the end", err)
	pos, err := f.Seek(-5, io.SeekEnd)
	say(fmt.Sprint("seek ", pos), err)
	b, err := io.ReadAll(f)
	say(fmt.Sprintf("read %q", b), err)
	_, err = f.ReadAt(make([]byte, 100), 1)
	say("read to the end", err)
	say("remove open", os.Remove(at("a/h")))
	s, err := f.Stat()
	say(fmt.Sprint("stat ", s.Size(), s.Sys().(*syscall.Stat_t).Nlink), err)
	say("sync", f.Sync())
	say("close", f.Close())
	d, err := os.Open(at("a"))
	say("open dir", err)
	say("sync dir", d.Sync())
	say("close", d.Close())

	for i := range 300 {
		if err := os.WriteFile(at(fmt.Sprintf("a/b/many-%03d-%s", i, strings.Repeat("x", i%200))), nil, 0o644); err != nil {
			say("many", err)
		}
	}
	show(dir)
	say("removeall", os.RemoveAll(at("a/b")))
	tmp, err := os.CreateTemp(dir, "t*")
	say("createtemp", err)
	say("rename", os.Rename(tmp.Name(), at("tmp")))
	fmt.Fprint(tmp, "written after the rename")
	say("close", tmp.Close())
	show(dir)
}

// show prints a tree, and the contents of small files.
func show(dir string) {
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", strings.TrimPrefix(path, dir), i.Mode())
		switch {
		case i.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line += " " + target
		case i.Mode().IsRegular():
			b, err := os.ReadFile(path)
			sum := 0
			for _, c := range b {
				sum = sum*31 + int(c)
			}
			line += fmt.Sprint(" ", i.Size(), len(b), sum, short(err), i.Sys().(*syscall.Stat_t).Nlink)
		}
		lines = append(lines, line)
		return nil
	})
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))
	say("walk", err)
}

// appendLines appends lines until it is killed, and says so of each that is on the disk.
func appendLines(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	for i := 0; ; i++ {
		fmt.Fprintf(f, "line %d\n", i)
		if err := f.Sync(); err != nil {
			panic(err)
		}
		fmt.Fprintln(out, i)
		out.Flush()
	}
}

// refused tries to change what can only be read.
func refused(dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	say("write", os.WriteFile(at("f"), nil, 0o644))
	say("create", os.WriteFile(at("g"), nil, 0o644))
	say("mkdir", os.Mkdir(at("d"), 0o755))
	say("remove", os.Remove(at("f")))
	say("rename", os.Rename(at("f"), at("g")))
	say("chmod", os.Chmod(at("f"), 0o600))
	say("truncate", os.Truncate(at("f"), 0))
	var s syscall.Statfs_t
	say("statfs", syscall.Statfs(dir, &s))
	fmt.Println("read-only", s.Flags&1)
}

// busy syncs from several goroutines while another counts: waiting for the host's disk does not stop the guest.
func busy(dir string) {
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint("busy", w)))
			if err != nil {
				panic(err)
			}
			defer f.Close()
			for i := range 50 {
				if _, err := f.WriteAt([]byte{byte(i)}, int64(i)); err != nil {
					panic(err)
				}
				if err := f.Sync(); err != nil {
					panic(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	ticks := 0
	for {
		select {
		case <-done:
			fmt.Println("ticked", ticks > 0)
			return
		case <-time.After(time.Millisecond):
			ticks++
		}
	}
}
