package firewall

import "strings"

// token is a word, a text in quotes, a sign, or the end of a line.
type token struct {
	kind tokenKind
	text string
	line int
}

type tokenKind uint8

const (
	tokenEnd  tokenKind = iota // of the file
	tokenWord                  // name, number, address
	tokenText                  // in quotes
	tokenSign                  // { } , ; @ !=
	tokenLine                  // end of a line
)

func (t token) is(text string) bool { return t.kind != tokenText && t.text == text && text != "" }

// ends reports whether a rule ends here.
func (t token) ends() bool {
	return t.kind == tokenEnd || t.kind == tokenLine || t.kind == tokenSign && (t.text == ";" || t.text == "}")
}

// describe names a token in an error.
func (t token) describe() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the file"
	case tokenLine:
		return "the end of the line"
	}
	return quote(t.text)
}

// quote is for texts of a file, which may be anything.
func quote(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most] + "…"
	}
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '"' || r == 0xfffd || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s) + `"`
}

// lexer cuts a file into tokens.
type lexer struct {
	rest string
	line int
}

const spaces = " \t\r"

// next returns the next token. What is wrong is a word, which nothing expects.
func (l *lexer) next() token {
	for {
		l.rest = strings.TrimLeft(l.rest, spaces)
		if strings.HasPrefix(l.rest, "#") {
			l.rest = l.rest[lineEnd(l.rest):]
		}
		if strings.HasPrefix(l.rest, "\\\n") { // the line goes on
			l.rest = l.rest[2:]
			l.line++
			continue
		}
		break
	}
	t := token{kind: tokenSign, line: l.line}
	n := 1
	switch {
	case l.rest == "":
		return token{kind: tokenEnd, line: l.line}
	case l.rest[0] == '\n':
		t.kind = tokenLine
		l.line++
	case strings.IndexByte("{},;@", l.rest[0]) >= 0:
	case strings.HasPrefix(l.rest, "!="):
		n = 2
	case l.rest[0] == '"':
		end := strings.IndexByte(l.rest[1:lineEnd(l.rest)], '"')
		if end < 0 {
			t.kind, n = tokenWord, lineEnd(l.rest)
			break
		}
		t.kind, t.text = tokenText, l.rest[1:1+end]
		l.rest = l.rest[end+2:]
		return t
	default:
		t.kind = tokenWord
		n = strings.IndexAny(l.rest, spaces+"\n{},;@\"#")
		if n < 0 {
			n = len(l.rest)
		}
	}
	t.text, l.rest = l.rest[:n], l.rest[n:]
	return t
}

// lineEnd is where the first line of s ends.
func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}
