package firewall

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"ukvm.dev/hypercall"
)

// MaxSize is how long a file may be, in bytes.
const MaxSize = 1 << 20

// ReadFile reads rules from a file.
func ReadFile(path string) (*Rules, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	return Parse(path, string(text))
}

// Parse reads and checks rules. File is what errors call the text. The error is Errors.
func Parse(file, text string) (*Rules, error) {
	p := &parser{file: file, lexer: lexer{rest: text, line: 1}}
	if len(text) > MaxSize {
		p.fail(1, "the file is longer than %d bytes", MaxSize)
		return nil, p.errors
	}
	p.advance()
	p.statements()
	var code []byte
	if len(p.errors) == 0 {
		p.check()
	}
	if len(p.errors) == 0 {
		if code = p.rules.encode(); len(code) > hypercall.FirewallMax {
			p.fail(1, "the rules take %d bytes, and %d at most is what a guest takes", len(code), hypercall.FirewallMax)
		}
	}
	if len(p.errors) > 0 {
		slices.SortStableFunc(p.errors, func(a, b *Error) int { return a.Line - b.Line })
		return nil, p.errors[:min(len(p.errors), maxErrors)]
	}
	return &Rules{code: code, cards: p.cards()}, nil
}

func itoa(n int) string { return strconv.Itoa(n) }

// parser reads a file by recursive descent. After an error it goes on with the next line.
type parser struct {
	file   string
	lexer  lexer
	token  token
	rules  ruleset
	errors Errors
}

func (p *parser) advance() token {
	t := p.token
	p.token = p.lexer.next()
	return t
}

// fail notes an error.
func (p *parser) fail(line int, format string, args ...any) {
	p.errors = append(p.errors, &Error{p.file, line, fmt.Sprintf(format, args...)})
}

// wrong notes an error at the present token, and skips the rest of the rule.
func (p *parser) wrong(format string, args ...any) {
	p.fail(p.token.line, format, args...)
	p.skip(0)
}

// skip goes to the end of a rule, or behind that of so many braces.
func (p *parser) skip(depth int) {
	for p.token.kind != tokenEnd && (depth > 0 || !p.token.ends()) {
		switch {
		case p.token.is("{"):
			depth++
		case p.token.is("}"):
			depth--
		}
		p.advance()
	}
}

// accept takes a sign or word if it is the next token.
func (p *parser) accept(text string) bool {
	if !p.token.is(text) {
		return false
	}
	p.advance()
	return true
}

func (p *parser) skipLines() {
	for p.token.kind == tokenLine {
		p.advance()
	}
}

func (p *parser) statements() {
	for len(p.errors) < maxErrors {
		for p.token.kind == tokenLine || p.token.is(";") {
			p.advance()
		}
		switch t := p.token; {
		case t.kind == tokenEnd:
			return
		case p.accept("set"):
			p.set()
		case p.accept("chain"):
			p.chain()
		default:
			p.wrong("there is %s where a set or a chain begins%s", t.describe(), hint(t.text))
			if p.accept("}") {
				continue
			}
		}
	}
}

// begin reads the name of a set or chain and the brace behind it.
func (p *parser) begin(what string) (name string, line int, ok bool) {
	line = p.token.line
	if p.token.kind != tokenWord || !validName(p.token.text) {
		p.wrong("%s is no name for a %s: letters, digits, '_', '-' and '.', at most %d", p.token.describe(), what, hypercall.FirewallName)
		return "", line, false
	}
	name = p.advance().text
	if !p.accept("{") {
		p.wrong("the name of a %s is followed by {, not by %s", what, p.token.describe())
		return "", line, false
	}
	return name, line, true
}

func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return 0 < len(s) && len(s) <= hypercall.FirewallName
}

func (p *parser) set() {
	name, line, ok := p.begin("set")
	if !ok {
		return
	}
	if o := p.rules.setOf(name); o != nil {
		p.fail(line, "there is a set %s in line %d already", name, o.line)
	}
	s := &set{name: name, line: line, number: -1}
	p.elements(func(w string) string {
		if strings.ContainsAny(w, ".:") {
			if s.ports != nil {
				return "addresses and ports can not be in one set"
			}
			return s.addAddr(w)
		}
		if s.prefixes != nil {
			return "addresses and ports can not be in one set"
		}
		return s.addPort(w)
	})
	p.rules.sets = append(p.rules.sets, s)
}

func (f *ruleset) setOf(name string) *set {
	for _, s := range f.sets {
		if s.name == name {
			return s
		}
	}
	return nil
}

// elements reads what is between braces, the first of which has been taken. add returns what is wrong with an element.
func (p *parser) elements(add func(string) string) {
	n := 0
	for {
		p.skipLines()
		if p.accept("}") {
			if n == 0 {
				p.fail(p.token.line, "there is nothing between { and }")
			}
			return
		}
		if p.token.kind != tokenWord {
			p.fail(p.token.line, "there is %s within { and }", p.token.describe())
			p.skip(1)
			return
		}
		t := p.advance()
		if w := add(t.text); w != "" {
			p.fail(t.line, "%s", w)
		}
		n++
		p.skipLines()
		if !p.token.is("}") && !p.accept(",") {
			p.fail(p.token.line, "elements are separated by commas; there is %s", p.token.describe())
			p.skip(1)
			return
		}
	}
}

func (p *parser) chain() {
	name, line, ok := p.begin("chain")
	if !ok {
		return
	}
	for _, o := range p.rules.chains {
		if o.name == name {
			p.fail(line, "there is a chain %s in line %d already", name, o.line)
		}
	}
	c := &chain{name: name, line: line}
	p.rules.chains = append(p.rules.chains, c)
	for len(p.errors) < maxErrors {
		for p.token.kind == tokenLine || p.token.is(";") {
			p.advance()
		}
		switch {
		case p.token.kind == tokenEnd:
			p.fail(line, "the chain %s is not closed: there is no }", name)
			return
		case p.accept("}"):
			return
		case p.token.is("policy"):
			p.policy(c)
		default:
			p.rule(c)
		}
		if !p.token.ends() {
			p.wrong("a rule ends with its verdict; there is %s behind it%s", p.token.describe(), hint(p.token.text))
		}
	}
}

func (p *parser) policy(c *chain) {
	line := p.advance().line
	switch {
	case c.policy != 0:
		p.fail(line, "the chain has a policy in line %d already", c.policy)
	case c.hook() < 0:
		p.fail(line, "a chain that is jumped to has no policy: it returns")
	}
	c.policy = line
	switch {
	case p.accept("accept"):
	case p.accept("drop"):
		c.drop = true
	default:
		p.wrong("a policy is accept or drop, not %s", p.token.describe())
	}
}

func (p *parser) rule(c *chain) {
	r := &rule{line: p.token.line, proto: -1}
	errors := len(p.errors)
	seen := map[string]bool{}
	for !p.token.ends() && len(p.errors) == errors {
		t := p.token
		if t.kind != tokenWord {
			p.wrong("there is %s where a condition, an action or a verdict stands", t.describe())
			return
		}
		if seen[t.text] || isProto(t.text) && r.proto >= 0 {
			p.wrong("%s stands twice in a rule", quote(t.text))
			return
		}
		seen[t.text] = true
		switch p.advance(); {
		case p.condition(r, t.text), p.action(r, t.text):
		case p.verdict(r, t.text):
			c.rules = append(c.rules, r)
			return
		default:
			p.fail(t.line, "%s is no condition, action or verdict%s", quote(t.text), hint(t.text))
		}
	}
	p.skip(0)
	c.rules = append(c.rules, r)
}
