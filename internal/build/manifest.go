package build

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// manifestName is the file in a derived GOROOT that says what must be in it. It is written last, so a derived GOROOT
// without one is not complete.
const manifestName = "ukvm.manifest"

// manifestTitle is the first line of a manifest; it changes when the format or the way of copying does.
const manifestTitle = "ukvm derived GOROOT 1"

// A manifest describes a derived GOROOT.
//
//	ukvm derived GOROOT 1
//	origin /usr/local/go
//	link bin
//	…
//	dir runtime
//	1234 proc.go
//	…
//	end
type manifest struct {
	origin string                      // the GOROOT it was made from
	links  []string                    // what is a symbolic link to the same path there
	dirs   map[string]map[string]int64 // directory below src → file → size in bytes
}

// newManifest describes a tree of the given files.
func newManifest(origin string, links []string, files []copiedFile) *manifest {
	m := &manifest{origin, links, map[string]map[string]int64{}}
	for _, f := range files {
		dir := path.Dir(f.path)
		if m.dirs[dir] == nil {
			m.dirs[dir] = map[string]int64{}
		}
		m.dirs[dir][path.Base(f.path)] = f.size
	}
	return m
}

// write writes the manifest into root.
func (m *manifest) write(root string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\norigin %s\n", manifestTitle, m.origin)
	for _, link := range m.links {
		fmt.Fprintf(&b, "link %s\n", link)
	}
	for _, dir := range sortedKeys(m.dirs) {
		fmt.Fprintf(&b, "dir %s\n", dir)
		for _, name := range sortedKeys(m.dirs[dir]) {
			fmt.Fprintf(&b, "%d %s\n", m.dirs[dir][name], name)
		}
	}
	b.WriteString("end\n")
	return os.WriteFile(filepath.Join(root, manifestName), []byte(b.String()), 0o666)
}

// readManifest reads the manifest of root. The error is fs.ErrNotExist if there is none.
func readManifest(root string) (*manifest, error) {
	f, err := os.Open(filepath.Join(root, manifestName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := &manifest{dirs: map[string]map[string]int64{}}
	lines := bufio.NewScanner(f)
	var files map[string]int64
	for n := 0; lines.Scan(); n++ {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		size, err := strconv.ParseInt(word, 10, 64)
		switch {
		case n == 0:
			if lines.Text() != manifestTitle {
				return nil, fmt.Errorf("read manifest of %s: unknown format", root)
			}
		case n == 1 && word == "origin":
			m.origin = rest
		case word == "link":
			m.links = append(m.links, rest)
		case word == "dir":
			files = map[string]int64{}
			m.dirs[rest] = files
		case word == "end":
			return m, nil
		case err != nil || files == nil:
			return nil, fmt.Errorf("read manifest of %s: bad line %d", root, n+1)
		default:
			files[rest] = size
		}
	}
	return nil, fmt.Errorf("read manifest of %s: it ends too early", root)
}

// verify checks that all links are there, all files with their sizes, and no other source files.
func (m *manifest) verify(ctx context.Context, root string) error {
	for _, link := range m.links {
		if target, err := os.Readlink(filepath.Join(root, link)); err != nil {
			return err
		} else if target != filepath.Join(m.origin, link) {
			return fmt.Errorf("%s: leads elsewhere", filepath.Join(root, link))
		}
	}
	dirs := sortedKeys(m.dirs)
	return inParallel(ctx, len(dirs), func(i int) error {
		return verifyDir(filepath.Join(root, "src", dirs[i]), m.dirs[dirs[i]])
	})
}

func verifyDir(dir string, files map[string]int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := 0
	for _, e := range entries {
		size, ok := files[e.Name()]
		if !ok {
			if isSource(e) {
				return fmt.Errorf("%s: does not belong here", filepath.Join(dir, e.Name()))
			}
			continue
		}
		found++
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() != size || !info.Mode().IsRegular() {
			return fmt.Errorf("%s: damaged", filepath.Join(dir, e.Name()))
		}
	}
	if found != len(files) {
		return fmt.Errorf("%s: %d files are missing", dir, len(files)-found)
	}
	return nil
}

// isSource reports whether the go command would take e for a part of a package. Tests of the standard library may leave
// other things in its directories.
func isSource(e fs.DirEntry) bool {
	return e.Type().IsRegular() && slices.Contains([]string{".go", ".s", ".h", ".syso"}, path.Ext(e.Name()))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
