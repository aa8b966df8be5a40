package arch

import (
	"go/ast"
	"go/build/constraint"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// minor is the Go release that programs and this module need: 1.25.
const minor = 25

// TestLanguage: the module is written in the language of that release, and uses nothing that came with a later one.
func TestLanguage(t *testing.T) {
	mod := read(t, "go.mod")
	m := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindStringSubmatch(mod)
	if m == nil || m[1] != strconv.Itoa(minor) || strings.Contains(mod, "\ntoolchain") {
		t.Errorf("go.mod is for Go 1.%q", m)
	}
	newer := newerAPI(t)
	for _, f := range append(files(t, false), files(t, true)...) {
		for _, group := range f.Comments {
			for _, c := range group.List {
				x, err := constraint.Parse(c.Text)
				if err != nil || !constraint.IsGoBuild(c.Text) || c.Pos() > f.Package {
					continue
				}
				if v := constraint.GoVersion(x); v != "" && v != "go1" {
					t.Errorf("%s: %s", f.at(c), c.Text)
				}
			}
		}
		paths := map[string]string{}
		for _, i := range f.Imports {
			p, _ := strconv.Unquote(i.Path.Value)
			name := p[strings.LastIndexByte(p, '/')+1:]
			if i.Name != nil {
				name = i.Name.Name
			}
			paths[name] = p
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil && newer[paths[x.Name]+"."+s.Sel.Name] {
					t.Errorf("%s: %s.%s came after Go 1.%d", f.at(n), x.Name, s.Sel.Name, minor)
				}
			}
			return true
		})
	}
}

// newerAPI is what packages of the standard library export since later releases, as the lists in GOROOT/api have it.
func newerAPI(t *testing.T) map[string]bool {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	newer := map[string]bool{}
	line := regexp.MustCompile(`^pkg ([\w/]+), (?:func|const|var|type) (\w+)`)
	for n := minor + 1; ; n++ {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "api", "go1."+strconv.Itoa(n)+".txt"))
		if err != nil {
			break
		}
		for l := range strings.Lines(string(b)) {
			// Types of those releases also are there with their fields; an old type with new ones is no new type.
			if m := line.FindStringSubmatch(l); m != nil && !strings.Contains(l, " struct, ") && !strings.Contains(l, " interface, ") {
				newer[m[1]+"."+m[2]] = true
			}
		}
	}
	return newer
}
