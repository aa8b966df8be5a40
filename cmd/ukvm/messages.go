package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
)

// goMessages holds back what a go command writes to standard error until it is clear what it means; but downloads, which
// take time, are shown as they happen.
type goMessages struct {
	w       io.Writer
	quiet   bool // not even downloads
	verbose bool // nothing is held back
	line    []byte
	held    bytes.Buffer
}

func (m *goMessages) Write(p []byte) (int, error) {
	for rest := p; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			m.line = append(m.line, rest...)
			return len(p), nil
		}
		m.line = append(m.line, rest[:i+1]...)
		rest = rest[i+1:]
		switch download := bytes.HasPrefix(m.line, []byte("go: downloading ")); {
		case m.verbose, download && !m.quiet:
			m.w.Write(m.line) // a message that is lost is no reason to stop
		case !download:
			m.held.Write(m.line)
		}
		m.line = m.line[:0]
	}
}

// release shows what has been held back.
func (m *goMessages) release() {
	m.held.Write(m.line)
	m.line = nil
	m.held.WriteTo(m.w)
}

// sentence reports whether all that has been held back is one line of the go command's own.
func (m *goMessages) sentence() bool {
	text := strings.TrimSpace(m.held.String() + string(m.line))
	return strings.HasPrefix(text, "go: ") && !strings.Contains(text, "\n")
}

// reason is the first thing that has been held back, in one line and without the go command's marks.
func (m *goMessages) reason() string {
	reason := ""
	for line := range strings.Lines(m.held.String() + string(m.line)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		line, _, _ = strings.Cut(line, " (") // paths of the cache
		reason += strings.TrimPrefix(line, "go: ")
		if !strings.HasSuffix(reason, ":") {
			return reason
		}
		reason += " "
	}
	return cmp.Or(strings.TrimRight(reason, ": "), "the go command does not know it")
}

// progress is a writer of lines that makes them ukvm's.
type progress struct{ w io.Writer }

func (p progress) Write(b []byte) (int, error) {
	_, err := fmt.Fprintf(p.w, "ukvm: %s", b)
	return len(b), err
}
