package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/tests/internal/machine"
)

// preface is the beginning of the file.
const preface = `# What the soak tests found

` + "`go run ./tests/soak`" + ` writes this file, a section a stage. Values of benches are medians; a ratio is the contender's
value over the peer's, the same file run natively.

`

// report is the section of a stage, in Markdown.
type report struct {
	stage stage
	body  strings.Builder
	head  string
}

func newReport(s stage) *report { return &report{stage: s} }

// printf adds to the section.
func (r *report) printf(format string, args ...any) { fmt.Fprintf(&r.body, format, args...) }

// end says when and where the stage ran, and whether it went well.
func (r *report) end(root string, took time.Duration, err error) {
	result := "passed"
	if err != nil {
		result = "**failed**: " + err.Error()
	}
	r.head = fmt.Sprintf("%s, %s, commit %s, %v: %s.\n\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), host(), commit(root),
		took.Round(time.Second), result)
}

// text is the whole section.
func (r *report) text() string {
	return fmt.Sprintf("## %s\n\n`go run ./tests/soak %s`; %s%s\n", r.stage.title, r.stage.name, r.head, r.body.String())
}

// write puts the section into a file, in place of an earlier one.
func (r *report) write(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(place(string(old), r)), 0o644)
}

// place returns a file's text with the section of a report in it. Sections stand in the order of the stages.
func place(old string, r *report) string {
	sections := map[string]string{}
	for _, s := range stages {
		begin := strings.Index(old, "## "+s.title+"\n")
		if begin < 0 {
			continue
		}
		text := old[begin:]
		if end := strings.Index(text[1:], "\n## "); end >= 0 {
			text = text[:end+2]
		}
		sections[s.title] = text
	}
	sections[r.stage.title] = r.text()
	var b strings.Builder
	b.WriteString(preface)
	for _, s := range stages {
		if text := sections[s.title]; text != "" {
			b.WriteString(strings.TrimRight(text, "\n") + "\n\n")
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// host describes the machine in a few words.
func host() string {
	var info unix.Sysinfo_t
	_ = unix.Sysinfo(&info)
	cpus := unix.CPUSet{}
	_ = unix.SchedGetaffinity(0, &cpus)
	return fmt.Sprintf("%s, %d processors, %d GiB, %s", machine.Processor(), cpus.Count(),
		(info.Totalram*uint64(info.Unit)+1<<29)>>30, machine.Kernel())
}

// commit names the state of the checkout.
func commit(root string) string {
	git := func(words ...string) (string, error) {
		cmd := exec.Command("git", words...)
		cmd.Dir = root
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	hash, err := git("rev-parse", "--short", "HEAD")
	if err != nil {
		return "unknown"
	}
	if changed, err := git("status", "--porcelain", "--", ".", ":!docs/soak.md"); err != nil || changed != "" {
		hash += " with changes"
	}
	return hash
}
