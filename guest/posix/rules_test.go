package posix

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ukvm.dev/guest/kernel"
)

// belowOS are the packages this one may import: in the derived GOROOT package os imports it, so they must not import
// os.
var belowOS = []string{
	"errors", "math", "math/bits", "path", "runtime", "slices", "strconv", "strings", "sync", "sync/atomic",
	"syscall", "time", "unsafe",
	"ukvm.dev/guest/kernel", "ukvm.dev/guest/posix/cpio", "ukvm.dev/guest/posix/memfs", "ukvm.dev/guest/posix/vnode",
	"ukvm.dev/hypercall",
}

func TestImports(t *testing.T) {
	for _, dir := range []string{".", "cpio", "memfs", "vnode"} {
		for _, f := range parseDir(t, dir) {
			for _, spec := range f.Imports {
				if p, _ := strconv.Unquote(spec.Path.Value); !slices.Contains(belowOS, p) {
					t.Errorf("%s imports %s", dir, p)
				}
			}
		}
	}
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skip("no go command:", err)
	}
	for p := range strings.FieldsSeq(string(out)) {
		switch p {
		case "os", "fmt", "internal/poll", "net/netip", "unique": // the last two's own tests are the reason
			t.Error("depends on", p)
		}
	}
}

func parseDir(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// argUse is which of its arguments a handler uses as pointers and as integers, one bit each.
type argUse struct {
	pointers, integers uint8
	calls              []string // functions it hands its arguments on to
}

// TestPointers sees that each handler uses exactly those arguments as pointers that the table says are, and that it
// never uses the integer twin of one.
func TestPointers(t *testing.T) {
	uses := map[string]*argUse{}
	var table []*ast.KeyValueExpr
	for _, f := range parseDir(t, ".") {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				uses[d.Name.Name] = usesOf(d)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && v.Names[0].Name == "calls" {
						for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
							table = append(table, e.(*ast.KeyValueExpr))
						}
					}
				}
			}
		}
	}
	names := map[string]string{} // by handler, from the same table that the compiler has read
	for _, kv := range table {
		e := kv.Value.(*ast.CompositeLit)
		name, _ := strconv.Unquote(e.Elts[0].(*ast.BasicLit).Value)
		handler := e.Elts[2].(*ast.Ident).Name
		names[name] = handler
	}
	seen := 0
	for nr, c := range calls {
		if c.serve == nil {
			continue
		}
		seen++
		u := total(uses, names[c.name], nil)
		if missing := u.pointers &^ c.pointers; missing != 0 {
			t.Errorf("%s (%d): arguments %06b are used as pointers but not called so", c.name, nr, missing)
		}
		if twins := u.integers & c.pointers; twins != 0 && c.name != "fcntl" && c.name != "ioctl" {
			t.Errorf("%s (%d): arguments %06b are pointers but used as integers", c.name, nr, twins)
		}
	}
	if seen < 120 || seen != len(table) {
		t.Errorf("looked at %d calls of %d", seen, len(table))
	}
}

func usesOf(d *ast.FuncDecl) *argUse {
	u := &argUse{}
	param := ""
	for _, p := range d.Type.Params.List {
		if id, ok := p.Type.(*ast.Ident); ok && id.Name == "args" {
			param = p.Names[0].Name
		}
	}
	if param == "" || d.Body == nil {
		return u
	}
	assigned := map[*ast.SelectorExpr]bool{}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				if s, ok := l.(*ast.SelectorExpr); ok {
					assigned[s] = true
				}
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == param && !assigned[n] {
				bit := uint8(1) << (n.Sel.Name[1] - '1')
				if n.Sel.Name[0] == 'p' {
					u.pointers |= bit
				} else {
					u.integers |= bit
				}
			}
		case *ast.CallExpr:
			for _, a := range n.Args {
				if x, ok := a.(*ast.Ident); ok && x.Name == param {
					switch f := n.Fun.(type) {
					case *ast.Ident:
						u.calls = append(u.calls, f.Name)
					case *ast.SelectorExpr:
						u.calls = append(u.calls, f.Sel.Name)
					}
				}
			}
		}
		return true
	})
	return u
}

func total(uses map[string]*argUse, name string, above []string) argUse {
	u := uses[name]
	if u == nil || slices.Contains(above, name) {
		return argUse{}
	}
	sum := *u
	for _, c := range u.calls {
		more := total(uses, c, append(above, name))
		sum.pointers |= more.pointers
		sum.integers |= more.integers
	}
	return sum
}

// TestEscapes asks the compiler what goes to the heap: nothing that may hold a pointer into user memory.
func TestEscapes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the compiler")
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Skip("no go command:", err)
	}
	known := []string{"mounts", "grown"} // a list of mounts, a table of descriptors
	re := regexp.MustCompile(`(?m)^\./(\S+\.go):\d+:\d+: (moved to heap: (\w+)|func literal escapes to heap)`)
	found := 0
	for _, m := range re.FindAllStringSubmatch(string(out), -1) {
		found++
		if strings.HasPrefix(m[1], "proc") || strings.HasPrefix(m[1], "etc") {
			continue // texts are made by functions in tables; they see no user memory
		}
		if !slices.Contains(known, m[3]) {
			t.Error(m[0])
		}
	}
	if found == 0 {
		t.Error("the compiler says nothing")
	}
}

func TestOffer(t *testing.T) {
	var hooked [len(kernel.Hooked)]uint8
	offer(&hooked)
	for n, c := range calls {
		if c.serve == nil && hooked[n] != 0 || c.serve != nil && hooked[n] != offered|c.pointers {
			t.Errorf("call %d: %#x", n, hooked[n])
		}
	}
	s, _ := newTestSystem(nil)
	for _, nr := range []uintptr{60, 231, 435, 511, 512, 1 << 40} {
		if _, _, ok := s.call(nr, args{}); ok {
			t.Errorf("call %d is served", nr)
		}
	}
}
