package kernel

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// The rules of the package comment, in so far as the source shows them. tests/arch looks at what the compiler and the
// linker have made of it.

// source type-checks a package as a guest has it.
func source(t *testing.T, fset *token.FileSet, dir, path string, imports types.Importer) ([]*ast.File, *types.Info, *types.Package) {
	t.Helper()
	ctx := build.Default
	ctx.BuildTags, ctx.CgoEnabled = []string{"ukvm"}, false
	p, err := ctx.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, dir+"/"+name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: imports, Sizes: types.SizesFor("gc", "amd64"), IgnoreFuncBodies: path != "kernel"}
	pkg, err := conf.Check(path, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	return files, info, pkg
}

type only map[string]*types.Package

func (o only) Import(path string) (*types.Package, error) {
	if p := o[path]; p != nil {
		return p, nil
	}
	return nil, &strconv.NumError{Func: "import", Num: path, Err: os.ErrPermission}
}

// TestSource looks for what allocates, blocks, or needs the runtime in other ways.
func TestSource(t *testing.T) {
	fset := token.NewFileSet()
	imports := only{"unsafe": types.Unsafe}
	_, _, imports["ukvm.dev/hypercall"] = source(t, fset, "../../hypercall", "hypercall", only{})
	files, info, _ := source(t, fset, ".", "kernel", imports) // fails if anything else is imported
	if len(files) < 20 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				return false
			}
			bad := ""
			switch n := n.(type) {
			case *ast.GoStmt:
				bad = "go statement"
			case *ast.DeferStmt:
				bad = "defer"
			case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
				bad = "channel"
			case *ast.MapType:
				bad = "map"
			case *ast.InterfaceType, *ast.TypeAssertExpr, *ast.TypeSwitchStmt:
				bad = "interface"
			case *ast.FuncLit:
				bad = "function literal"
			case *ast.UnaryExpr:
				if _, lit := n.X.(*ast.CompositeLit); n.Op == token.AND && lit {
					bad = "address of a literal"
				}
			case *ast.BinaryExpr:
				if tv := info.Types[n]; n.Op == token.ADD && tv.Value == nil && isString(tv.Type) {
					bad = "string concatenation"
				}
			case *ast.RangeStmt:
				switch info.Types[n.X].Type.Underlying().(type) {
				case *types.Map, *types.Chan, *types.Signature:
					bad = "range over what is no array, slice, string or number"
				}
			case *ast.CallExpr:
				bad = badCall(info, n)
			case *ast.AssignStmt:
				for _, l := range n.Lhs {
					if id, ok := l.(*ast.Ident); ok && id.Name == "_" {
						continue
					}
					if pointers(info.TypeOf(l)) && !local(info, l) {
						bad = "a pointer is stored"
					}
				}
			}
			if bad != "" {
				t.Errorf("%s: %s", fset.Position(n.Pos()), bad)
			}
			return true
		})
	}
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

// badCall names what is wrong with a call: a builtin that allocates or panics, or a conversion that does.
func badCall(info *types.Info, n *ast.CallExpr) string {
	if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok {
		if b, ok := info.Uses[id].(*types.Builtin); ok {
			if !slices.Contains([]string{"len", "cap", "copy", "clear", "min", "max"}, b.Name()) {
				return "builtin " + b.Name()
			}
			return ""
		}
	}
	tv := info.Types[n.Fun]
	if !tv.IsType() || info.Types[n].Value != nil {
		return ""
	}
	if from := info.TypeOf(n.Args[0]); isString(tv.Type) != isString(from) {
		return "conversion from or to a string"
	}
	if types.IsInterface(tv.Type) {
		return "conversion to an interface"
	}
	return ""
}

// pointers reports whether the collector looks for pointers in a type.
func pointers(t types.Type) bool {
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return t.Kind() == types.String || t.Kind() == types.UnsafePointer
	case *types.Array:
		return pointers(t.Elem())
	case *types.Struct:
		for i := range t.NumFields() {
			if pointers(t.Field(i).Type()) {
				return true
			}
		}
		return false
	}
	return true
}

// local reports whether an assignment's left side is a variable of a function, or part of one.
func local(info *types.Info, l ast.Expr) bool {
	switch l := l.(type) {
	case *ast.Ident:
		obj := info.ObjectOf(l)
		return obj == nil || obj.Parent() == nil || obj.Parent() != obj.Pkg().Scope()
	case *ast.SelectorExpr:
		return info.Selections[l] != nil && !info.Selections[l].Indirect() && local(info, l.X)
	}
	return false
}

// TestNoEscapes compiles the package as part of the runtime: the compiler then reports what would be allocated on the
// heap.
func TestNoEscapes(t *testing.T) {
	cmd := exec.Command("go", "build", "-o", os.DevNull, "-tags=ukvm", "-gcflags=ukvm.dev/guest/kernel=-+", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
