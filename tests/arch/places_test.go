package arch

import (
	"fmt"
	"go/ast"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// imports reports whether a file imports a package.
func (f *file) imports(path string) bool {
	for _, i := range f.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == path {
			return true
		}
	}
	return false
}

// TestUnsafe: unsafe code is in monitor/kvm, monitor/guestmem and the OS's two low layers, else in files that say so.
// Everywhere but in the OS, where it is the trade, each function that uses it says what makes it safe.
func TestUnsafe(t *testing.T) {
	for _, f := range files(t, false) {
		if !f.imports("unsafe") || f.in("tests") { // guests of tests do what is forbidden
			continue
		}
		named := strings.HasSuffix(f.name, "_unsafe.go")
		switch {
		case f.in("guest/kernel", "guest/posix"):
			continue
		case !named && !f.in("monitor/kvm", "monitor/guestmem"):
			t.Errorf("%s imports unsafe", f.name)
		}
		if f.says(nil, "Safety, for all of these:") {
			continue
		}
		for _, d := range f.Decls {
			if use := unsafeUse(d); use != nil && !f.says(d, "Safety:") {
				t.Errorf("%s: no Safety: comment", f.at(use))
			}
		}
	}
}

// unsafeUse finds what is more than the size of something.
func unsafeUse(d ast.Decl) (use ast.Node) {
	ast.Inspect(d, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "unsafe" && !strings.HasSuffix(s.Sel.Name, "of") {
				use = n
			}
		}
		return true
	})
	return use
}

// says reports whether a comment in or before a declaration, or anywhere if that is nil, contains text.
func (f *file) says(d ast.Decl, text string) bool {
	start, end := f.FileStart, f.FileEnd
	if d != nil {
		start, end = d.Pos(), d.End()
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil {
			start = d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			start = d.Doc.Pos()
		}
	}
	for _, c := range f.Comments {
		if c.Pos() >= start && c.End() <= end && strings.Contains(c.Text(), text) {
			return true
		}
	}
	return false
}

// TestDirectives: linkname, and what else turns off rules of the language, is in guest/kernel and guest/posix only, and
// every nosplit has its reason.
func TestDirectives(t *testing.T) {
	for _, f := range files(t, false) {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if !strings.HasPrefix(c.Text, "//go:") {
					continue
				}
				switch word, _, _ := strings.Cut(strings.TrimPrefix(c.Text, "//go:"), " "); word {
				case "build", "embed", "generate":
				case "nosplit":
					if !strings.Contains(group.Text(), "nosplit because") && !f.in("tests") {
						t.Errorf("%s: no reason for nosplit", f.at(c))
					}
				case "noinline":
					if !f.in("tests") {
						t.Errorf("%s: %s", f.at(c), c.Text)
					}
				default:
					if !f.in("guest/kernel", "guest/posix", "tests") {
						t.Errorf("%s: %s", f.at(c), c.Text)
					}
				}
			}
		}
	}
}

var text = regexp.MustCompile(`(?m)^TEXT\s+[^(]*·(\w+)\(SB\),\s*(\S+)`)

// TestAssembly: it is in guest/kernel and guest/posix only; each function has its prototype in a comment, and each file
// a reason for NOSPLIT. OUT instructions are in guest/kernel only.
func TestAssembly(t *testing.T) {
	seen := 0
	for _, name := range names(t, ".s") {
		dir := name[:strings.LastIndexByte(name, '/')]
		if within(dir, "tests") {
			continue
		}
		if dir != "guest/kernel" && dir != "guest/posix" {
			t.Errorf("%s: assembly does not belong there", name)
		}
		s := read(t, name)
		for _, m := range text.FindAllStringSubmatchIndex(s, -1) {
			seen++
			function := s[m[2]:m[3]]
			before := s[:m[0]]
			comment := before[strings.LastIndex(before, "\n\n")+1:]
			if !strings.Contains(comment, "// func "+function+"(") {
				t.Errorf("%s: no prototype of %s in the comment before it", name, function)
			}
			if strings.Contains(s[m[4]:m[5]], "NOSPLIT") && !strings.Contains(s, "NOSPLIT because") {
				t.Errorf("%s: no reason for NOSPLIT", name)
			}
		}
		if dir != "guest/kernel" && regexp.MustCompile(`\bOUT[BWLS]|\$0x(ef|ee|e7|e6|6e|6f)\b`).MatchString(s) {
			t.Errorf("%s: an OUT instruction", name)
		}
	}
	if seen < 10 {
		t.Errorf("only %d functions in assembly", seen)
	}
}

// TestIoctls: they are in monitor/kvm, and where something else has no other interface.
func TestIoctls(t *testing.T) {
	allowed := map[string]string{
		"monitor/kvm":         "KVM",
		"netif/tap":           "a TAP device is opened with them, and its header chosen",
		"monitor/terminal.go": "whether a stream is a terminal",
	}
	used := map[string]bool{}
	for _, f := range files(t, false) {
		if f.in("guest", "tests", "examples") { // programs of guests
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(s.Sel.Name, "Ioctl") && s.Sel.Name != "SYS_IOCTL" {
				return true
			}
			for place := range allowed {
				if f.in(place) {
					used[place] = true
					return true
				}
			}
			t.Errorf("%s: %s", f.at(n), s.Sel.Name)
			return true
		})
	}
	for place, reason := range allowed {
		if !used[place] {
			t.Errorf("%s makes no ioctls (any more): %s", place, reason)
		}
	}
}

// TestExit: only cmd/ukvm, examples and what serves tests end the process or print to its streams on their own.
func TestExit(t *testing.T) {
	for _, f := range files(t, false) {
		if f.in("cmd/ukvm", "tests", "examples") {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if !ok {
				return true
			}
			call := fmt.Sprintf("%s.%s", x.Name, s.Sel.Name)
			switch {
			case call == "os.Exit", call == "syscall.Exit", strings.HasPrefix(call, "log.Fatal"), strings.HasPrefix(call, "log.Panic"),
				strings.HasPrefix(call, "log.Print"), call == "fmt.Print", call == "fmt.Printf", call == "fmt.Println", call == "signal.Notify" && f.in("monitor"):
				if f.imports("os") || f.imports("syscall") || f.imports("log") || f.imports("fmt") {
					t.Errorf("%s: %s", f.at(n), call)
				}
			}
			return true
		})
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				registers := map[string]string{
					"guest/kernel/hook.go": "the system-call hook",
					"guest/net/start.go":   "the socket family",
				}
				if registers[f.name] == "" && !f.in("guest/driver") {
					t.Errorf("%s: func init: registration by linking is for the system-call hook, the socket family and guest drivers", f.at(fn))
				}
			}
		}
	}
}

// TestNoGlobalState: package variables of the host's library are set once, where they are declared.
func TestNoGlobalState(t *testing.T) {
	vars := map[string]map[string]bool{} // by directory
	library := func(f *file) bool { return f.in("monitor", "devices", "netif", "blk", "hostdir") }
	for _, f := range files(t, false) {
		if !library(f) {
			continue
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				v, ok := s.(*ast.ValueSpec)
				if !ok || g.Tok.String() != "var" {
					continue
				}
				for _, n := range v.Names {
					if vars[f.dir] == nil {
						vars[f.dir] = map[string]bool{}
					}
					vars[f.dir][n.Name] = n.Name != "_"
					if len(v.Values) == 0 && n.Name != "_" {
						t.Errorf("%s: %s has no value of its own", f.at(n), n.Name)
					}
				}
			}
		}
	}
	for _, f := range files(t, false) {
		if !library(f) {
			continue
		}
		global := func(e ast.Expr) bool {
			for {
				switch x := e.(type) {
				case *ast.SelectorExpr:
					e = x.X
				case *ast.IndexExpr:
					e = x.X
				case *ast.ParenExpr:
					e = x.X
				case *ast.Ident:
					if x.Obj != nil { // resolved within the file
						_, isVar := x.Obj.Decl.(*ast.ValueSpec)
						return isVar && x.Obj == f.Scope.Lookup(x.Name)
					}
					return vars[f.dir][x.Name]
				default:
					return false
				}
			}
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if global(l) {
						t.Errorf("%s: a package variable is changed", f.at(n))
					}
				}
			case *ast.IncDecStmt:
				if global(n.X) {
					t.Errorf("%s: a package variable is changed", f.at(n))
				}
			case *ast.UnaryExpr:
				if n.Op.String() == "&" && global(n.X) {
					t.Errorf("%s: the address of a package variable", f.at(n))
				}
			}
			return true
		})
	}
}
