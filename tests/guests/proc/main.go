// Command proc reads the files of /proc and /sys that Go programs and their libraries read. The test expects that what
// is there makes sense and that the rest is missing as files are.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	fmt.Printf("cmdline %q\n", content("/proc/self/cmdline"))
	fmt.Println("exe", link("/proc/self/exe"))
	fmt.Println("cwd", link("/proc/self/cwd"))
	fmt.Println("comm", strings.TrimSpace(content("/proc/self/comm")))
	fmt.Println("state", field("/proc/self/status", "Pid:"), field("/proc/self/status", "Uid:"))
	fmt.Println("stat", strings.HasPrefix(content("/proc/self/stat"), "1 ("))
	fmt.Println("maps of text", strings.Contains(content("/proc/self/maps"), "r-xp"))
	for _, line := range strings.Split(content("/proc/self/maps"), "\n") {
		if strings.Contains(line, "wx") {
			fmt.Println("writable and executable:", line)
		}
	}
	fmt.Println("environ", strings.Contains(content("/proc/self/environ"), "NAME=value\x00"))
	fmt.Println("processors", strings.Count(content("/proc/cpuinfo"), "processor"))
	fmt.Println("memory kB", field("/proc/meminfo", "MemTotal:"))
	fmt.Println("mounts", strings.Contains(content("/proc/self/mountinfo"), " / "))
	fmt.Println("hostname", strings.TrimSpace(content("/proc/sys/kernel/hostname")))
	fmt.Println("open files", numbers("/proc/self/fd"))
	_, err := os.ReadFile("/proc/12345/stat")
	fmt.Println("other process", errors.Is(err, fs.ErrNotExist))
	_, err = os.ReadFile("/proc/nonsense")
	fmt.Println("no such file", errors.Is(err, fs.ErrNotExist))
	err = os.WriteFile("/proc/cpuinfo", []byte("x"), 0o644)
	fmt.Println("written", err == nil)
}

func content(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func link(name string) string {
	s, err := os.Readlink(name)
	if err != nil {
		return err.Error()
	}
	return filepath.Base(s)
}

func field(file, name string) string {
	for line := range strings.Lines(content(file)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return f[1]
		}
	}
	return "none"
}

func numbers(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, e := range entries {
		if e.Name() <= "2" {
			names = append(names, e.Name())
		}
	}
	return names
}
