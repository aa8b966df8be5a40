package arch

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

const module = "ukvm.dev"

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

// pkg is a package of this module, in the variant for the host or for guests.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Error      *struct{ Err string }
}

// path is the import path without the module's.
func (p *pkg) path() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// under reports whether the package is dir or lies below it.
func (p *pkg) under(dirs ...string) bool {
	for _, d := range dirs {
		if within(p.path(), d) {
			return true
		}
	}
	return false
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

var load = sync.OnceValues(func() ([]*pkg, error) {
	var all []*pkg
	for _, tags := range []string{"", "ukvm"} {
		// With -e, as packages ukvm/..., which the facade imports for guests, are in derived GOROOTs only.
		cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps,Error", "-tags="+tags, "./...")
		cmd.Dir, cmd.Stderr = ukvmtest.Root(), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, err
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			p := new(pkg)
			if err := d.Decode(p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if p.Error != nil {
				return nil, errors.New(p.Error.Err)
			}
			for i, path := range p.Imports {
				if name, ok := strings.CutPrefix(path, "ukvm/"); ok {
					p.Imports[i] = module + "/guest/" + name
				}
			}
			all = append(all, p)
		}
	}
	return all, nil
})

// packages are all packages of this module, each as a host has it and as a guest has it.
func packages(t *testing.T) []*pkg {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d packages", len(all))
	}
	return all
}

// file is a Go file that is no test, parsed.
type file struct {
	name string // from the module's directory on
	dir  string // the same of its directory
	*ast.File
}

var fset = token.NewFileSet()

func (f *file) at(n ast.Node) string {
	p := fset.Position(n.Pos())
	p.Filename = f.name
	return p.String()
}

// names are all files whose name ends so, from the module's directory on, but for testdata.
func names(t *testing.T, suffix string) (l []string) {
	t.Helper()
	root := ukvmtest.Root()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(rel, suffix):
			l = append(l, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// parsed are the files that have been read, by name.
var parsed = map[string]*file{}

// files are the Go files of the tree, tests or all others.
func files(t *testing.T, tests bool) (l []*file) {
	t.Helper()
	for _, name := range names(t, ".go") {
		if strings.HasSuffix(name, "_test.go") != tests {
			continue
		}
		if parsed[name] == nil {
			a, err := parser.ParseFile(fset, filepath.Join(ukvmtest.Root(), name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			parsed[name] = &file{name: name, dir: filepath.Dir(name), File: a}
		}
		l = append(l, parsed[name])
	}
	if len(l) < 100 {
		t.Fatalf("only %d files", len(l))
	}
	return l
}

func (f *file) in(dirs ...string) bool {
	for _, d := range dirs {
		if within(f.dir, d) || f.name == d {
			return true
		}
	}
	return false
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(ukvmtest.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
