package build

import (
	"strings"
)

// A statement is one instruction or directive of a Go assembly file. Labels in front of it belong to no statement.
type statement struct {
	start, end int // offsets of its text, without surrounding space and comment
	kind       statementKind
	op         string // first word
	args       string // the rest
}

type statementKind int

const (
	instruction  statementKind = iota // takes one place in N(PC) counts
	preprocessor                      // a # line
	macro                             // a use of a macro: any number of instructions
	function                          // TEXT: the next function begins
	data                              // DATA or GLOBL
)

var (
	labelPattern = pattern(`^[\pL_][\pL\pN_·∕]*[ \t]*:`)
	opPattern    = pattern(`^[A-Z][A-Z0-9]*$`)
)

// scanAssembly splits an assembly file into its statements, in order. It knows comments, continued # lines, labels and
// semicolons; it does not expand macros.
func scanAssembly(text string) []statement {
	var list []statement
	code := blank(text)
	for pos := 0; pos < len(code); {
		end := pos + statementLength(code[pos:])
		from := pos
		pos = end + 1
		for {
			from += len(code[from:end]) - len(strings.TrimLeft(code[from:end], " \t\r"))
			label := labelPattern().FindString(code[from:end])
			if label == "" {
				break
			}
			from += len(label)
		}
		body := strings.TrimRight(code[from:end], " \t\r")
		if body == "" {
			continue
		}
		s := statement{start: from, end: from + len(body)}
		s.op, s.args = body, ""
		if i := strings.IndexAny(body, " \t"); i >= 0 {
			s.op, s.args = body[:i], strings.TrimSpace(body[i:])
		}
		switch {
		case body[0] == '#':
			s.kind = preprocessor
		case s.op == "TEXT":
			s.kind = function
		case s.op == "DATA" || s.op == "GLOBL":
			s.kind = data
		case !opPattern().MatchString(s.op):
			s.kind = macro
		}
		list = append(list, s)
	}
	return list
}

// statementLength is the length of the first statement of code: up to a semicolon or the end of the line, or of the last
// continuation line if it is a # line.
func statementLength(code string) int {
	hash := strings.HasPrefix(strings.TrimLeft(code, " \t"), "#")
	for i := 0; i < len(code); i++ {
		switch code[i] {
		case '\n':
			if !hash || i == 0 || code[i-1] != '\\' {
				return i
			}
		case ';':
			if !hash {
				return i
			}
		}
	}
	return len(code)
}

// blank returns text with every byte of its comments and strings replaced by a space, newlines excepted.
func blank(text string) string {
	b := []byte(text)
	for i := 0; i < len(b); {
		n := opaque(text[i:])
		for j := i; j < i+n; j++ {
			if b[j] != '\n' {
				b[j] = ' '
			}
		}
		i += max(n, 1)
	}
	return string(b)
}

// opaque is the length of the comment or string that text begins with, 0 if there is none.
func opaque(text string) int {
	n := 0
	switch {
	case strings.HasPrefix(text, "//"):
		n = strings.IndexByte(text+"\n", '\n')
	case strings.HasPrefix(text, "/*"):
		if n = strings.Index(text[2:], "*/") + 4; n < 4 {
			n = len(text)
		}
	case strings.HasPrefix(text, `"`):
		for n = 1; n < len(text) && text[n] != '"' && text[n] != '\n'; n++ {
			if text[n] == '\\' {
				n++
			}
		}
		n++
	}
	return min(n, len(text))
}

// An edit replaces text[start:end].
type edit struct {
	start, end int
	text       string
}

// applyEdits makes the edits, which are in order and do not overlap.
func applyEdits(text string, edits []edit) string {
	var b strings.Builder
	pos := 0
	for _, e := range edits {
		b.WriteString(text[pos:e.start])
		b.WriteString(e.text)
		pos = e.end
	}
	b.WriteString(text[pos:])
	return b.String()
}
