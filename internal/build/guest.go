package build

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Import paths of the operating system: in this module, and in a derived GOROOT.
const (
	modulePath = "ukvm.dev"
	guestPath  = modulePath + "/guest"
	derivedDir = "ukvm" // below src, and so the first element of import paths
)

// A guest is the operating system's source, ready to be put below src/ukvm.
type guest struct {
	files    map[string]string // path below src → text
	packages map[string]bool   // names below ukvm/: kernel, hypercall, net/wire, …
}

// loadGuest reads the operating system from a tree with the directories guest and hypercall, as in this module. It takes
// what belongs into the standard library: packages kernel, posix, net and driver/sharedev, what the facade guest itself imports, and what
// these import. Other packages below guest are ordinary packages for programs. Package kernel must be there.
func loadGuest(tree fs.FS) (*guest, error) {
	g := &guest{map[string]string{}, map[string]bool{}}
	queue := []string{"kernel", "posix", "net", "driver/sharedev"}
	facade, err := readPackage(tree, "guest")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range facade {
		queue = append(queue, f.guestImports()...)
	}
	for i := 0; i < len(queue); i++ {
		name := queue[i]
		if slices.Contains(queue[:i], name) {
			continue
		}
		files, err := readPackage(tree, sourceDir(name))
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("no files for guests: %w", fs.ErrNotExist)
		}
		optional := 1 <= i && i <= 3 // a kernel alone makes programs that only compute
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read guest package %s: %w", name, err)
		}
		g.packages[name] = true
		for _, f := range files {
			g.files[path.Join(derivedDir, name, path.Base(f.path))] = f.rewritten()
			queue = append(queue, f.guestImports()...)
		}
	}
	return g, nil
}

// sourceDir is the directory of package ukvm/NAME in the tree.
func sourceDir(name string) string {
	if name == "hypercall" {
		return name
	}
	return path.Join("guest", name)
}

// A sourceFile is a file for guests, with its build tag resolved.
type sourceFile struct {
	path    string
	text    string
	imports []*ast.ImportSpec
	offset  func(token.Pos) int
}

// readPackage reads the files of a directory that are for guests: Go, assembly and headers, but tests.
func readPackage(tree fs.FS, dir string) ([]*sourceFile, error) {
	entries, err := fs.ReadDir(tree, dir)
	if err != nil {
		return nil, err
	}
	var files []*sourceFile
	for _, e := range entries {
		name := e.Name()
		ext := path.Ext(name)
		if e.IsDir() || ext != ".go" && ext != ".s" && ext != ".h" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := fs.ReadFile(tree, path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		text, keep, err := resolveTag(string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(dir, name), err)
		}
		if !keep {
			continue
		}
		f := &sourceFile{path: path.Join(dir, name), text: text}
		if ext == ".go" {
			fset := token.NewFileSet()
			syntax, err := parser.ParseFile(fset, f.path, text, parser.ImportsOnly)
			if err != nil {
				return nil, err
			}
			f.imports = syntax.Imports
			f.offset = func(p token.Pos) int { return fset.Position(p).Offset }
		}
		files = append(files, f)
	}
	return files, nil
}

// derivedImport is the path in a derived GOROOT of a package of the operating system; ok is false for other packages.
func derivedImport(importPath string) (derived string, ok bool) {
	if importPath == modulePath+"/hypercall" {
		return derivedDir + "/hypercall", true
	}
	if name, ok := strings.CutPrefix(importPath, guestPath+"/"); ok {
		return derivedDir + "/" + name, true
	}
	return importPath, strings.HasPrefix(importPath, derivedDir+"/")
}

// guestImports returns the names below ukvm/ of the packages the file imports.
func (f *sourceFile) guestImports() []string {
	var names []string
	for _, spec := range f.imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			if p, ok := derivedImport(p); ok {
				names = append(names, strings.TrimPrefix(p, derivedDir+"/"))
			}
		}
	}
	return names
}

// rewritten returns the text with its import paths as they are in a derived GOROOT.
func (f *sourceFile) rewritten() string {
	var edits []edit
	for _, spec := range f.imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if d, ok := derivedImport(p); ok && d != p {
			edits = append(edits, edit{f.offset(spec.Path.Pos()), f.offset(spec.Path.End()), strconv.Quote(d)})
		}
	}
	return applyEdits(f.text, edits)
}
