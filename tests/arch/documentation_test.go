package arch

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments: every package has one, in one file, and it begins as the go command's documentation has it.
func TestPackageComments(t *testing.T) {
	type comment struct {
		name, text string
		count      int
		files      int
	}
	all := map[string]*comment{}
	for _, tests := range []bool{false, true} {
		for _, f := range files(t, tests) {
			c := all[f.dir]
			if c == nil {
				c = &comment{name: f.Name.Name}
				all[f.dir] = c
			}
			if tests && c.files > 0 {
				continue // only packages of tests alone have it there
			}
			if !tests {
				c.files++
			}
			if f.Doc != nil && !strings.HasSuffix(f.Name.Name, "_test") {
				c.count++
				c.text = f.Doc.Text()
			}
		}
	}
	for dir, c := range all {
		want := "Package " + c.name + " "
		if c.name == "main" {
			want = ""
		}
		switch {
		case c.count == 0:
			t.Errorf("%s: no package comment", dir)
		case c.count > 1:
			t.Errorf("%s: %d package comments", dir, c.count)
		case !strings.HasPrefix(c.text, want):
			t.Errorf("%s: the package comment begins %.30q", dir, c.text)
		}
	}
}

// TestDocumented: every exported identifier of a package that others can import has a comment.
func TestDocumented(t *testing.T) {
	for _, f := range files(t, false) {
		if f.Name.Name == "main" || f.in("tests") {
			continue
		}
		for i, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if !inGroup(f, i) && d.Name.IsExported() && exportedReceiver(d) && !implements(d) {
					t.Errorf("%s: %s has no comment", f.at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				undocumented(t, f, d)
			}
		}
	}
}

// inGroup reports whether a declaration has a comment, or follows without an empty line upon others that have one
// together: "the fields of …".
func inGroup(f *file, i int) bool {
	for ; ; i-- {
		d, ok := f.Decls[i].(*ast.FuncDecl)
		if !ok || d.Doc != nil {
			return ok
		}
		if i == 0 || fset.Position(f.Decls[i-1].End()).Line+1 != fset.Position(d.Pos()).Line {
			return false
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	if s, ok := e.(*ast.StarExpr); ok {
		e = s.X
	}
	if i, ok := e.(*ast.IndexExpr); ok {
		e = i.X
	}
	id, ok := e.(*ast.Ident)
	return ok && id.IsExported()
}

// implements reports whether a method is one whose meaning an interface of the standard library gives.
func implements(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String", "Is"}, d.Name.Name)
}

func undocumented(t *testing.T, f *file, d *ast.GenDecl) {
	if d.Tok == token.IMPORT {
		return
	}
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				t.Errorf("%s: %s has no comment", f.at(s), s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, n := range s.Names {
				if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					t.Errorf("%s: %s has no comment", f.at(n), n.Name)
				}
			}
		}
	}
}

// TestFileSizes: no file is longer than 500 lines, and no test longer than 900; those over 600 are listed.
func TestFileSizes(t *testing.T) {
	for _, name := range slices.Concat(names(t, ".go"), names(t, ".s")) {
		n, most := strings.Count(read(t, name), "\n"), 500
		if strings.HasSuffix(name, "_test.go") {
			most = 900
		}
		if n > most {
			t.Errorf("%s has %d lines, more than %d", name, n, most)
		} else if n > 600 {
			t.Logf("%s has %d lines", name, n)
		}
	}
}
