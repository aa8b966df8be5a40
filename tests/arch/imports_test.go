package arch

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// host and guest are the two trees; hypercall lies between them.
var host = []string{"cmd", "monitor", "devices", "netif", "hostdir", "blk", "internal"}

// TestContract: hypercall imports nothing.
func TestContract(t *testing.T) {
	for _, p := range packages(t) {
		if p.path() == "hypercall" && len(p.Imports) > 0 {
			t.Errorf("hypercall imports %q", p.Imports)
		}
	}
}

// TestTrees: host and guest never import each other, and neither imports examples or tests.
func TestTrees(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, module) {
				continue
			}
			imported := &pkg{ImportPath: i}
			switch {
			case p.under(host...) && imported.under("guest"), p.under("guest") && imported.under(host...):
				t.Errorf("%s imports %s: host and guest share hypercall only", p.path(), imported.path())
			case !p.under("tests", "examples") && imported.under("tests", "examples"):
				t.Errorf("%s imports %s", p.path(), imported.path())
			case p.under("examples") && !imported.under("monitor", "netif", "guest"), p.under("examples") && strings.Contains(i, "/internal/"):
				t.Errorf("%s imports %s, which its readers cannot", p.path(), imported.path())
			}
		}
	}
}

// TestHostdir: what stands between a guest and the host's files depends on nothing that is easier to change.
func TestHostdir(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		if p.path() != "hostdir" {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if strings.Contains(strings.Split(i, "/")[0], ".") && i != "golang.org/x/sys/unix" {
				t.Errorf("hostdir imports %s", i)
			}
		}
	}
	if seen == 0 {
		t.Error("there is no package hostdir")
	}
}

// layers of the guest, from below; a package imports those of its own layer and lower ones. posix sees file systems and
// sockets as interfaces.
var layers = [][]string{
	{"guest/kernel"},
	{"guest/posix"},
	{"guest/net", "guest/fs", "guest/driver"},
	{"guest"}, // the facade
	{"guest/http", "guest/stats", "guest/profile", "guest/log"},
}

func layerOf(p *pkg) int {
	layer := -1
	for i, l := range layers {
		for _, dir := range l {
			if p.path() == dir || dir != "guest" && p.under(dir) {
				layer = i
			}
		}
	}
	return layer
}

// TestLayers: packages of the guest import downwards only.
func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		if !p.under("guest") {
			continue
		}
		mine := layerOf(p)
		if mine < 0 {
			t.Errorf("%s is in no layer", p.path())
		}
		for _, i := range p.Imports {
			if q := (&pkg{ImportPath: i}); strings.HasPrefix(i, module) && q.under("guest") && layerOf(q) > mine {
				t.Errorf("%s imports %s, which lies above it", p.path(), q.path())
			}
		}
	}
}

// belowOS are the packages of the standard library that do not depend on os, which imports posix in the derived GOROOT.
var belowOS = strings.Fields(`bufio bytes cmp container/heap container/list container/ring context crypto/subtle
	crypto/sha3 encoding encoding/ascii85 encoding/base32 encoding/base64 encoding/binary encoding/pem errors hash
	hash/adler32 hash/crc32 hash/crc64 hash/fnv hash/maphash io io/fs iter maps math math/bits math/cmplx math/rand
	math/rand/v2 net/netip path reflect regexp regexp/syntax runtime runtime/metrics slices sort strconv
	strings structs sync sync/atomic syscall time unicode unicode/utf16 unicode/utf8 unique unsafe weak compress/bzip2
	index/suffixarray`)

// osImports are what os imports in the derived GOROOT, and what that imports.
var osImports = []string{"guest/posix", "guest/fs/hostfs", "guest/driver/sharedev"}

// belowNet are those that may lie below net, in addition: none of net's own and none of those above it.
func belowNet(path string) bool {
	return path != "net" && !strings.HasPrefix(path, "net/") && path != "crypto/tls" && path != "crypto/x509" ||
		path == "net/netip"
}

// TestStandardLibrary: what goes into the derived GOROOT imports only what lies below the package that imports it.
func TestStandardLibrary(t *testing.T) {
	for _, p := range packages(t) {
		if !p.under("guest/kernel", "guest/posix", "guest/net", "guest/driver", "guest/fs", "hypercall") {
			continue
		}
		for _, i := range p.Imports {
			std := !strings.Contains(strings.Split(i, "/")[0], ".")
			switch {
			case !std && !strings.HasPrefix(i, module):
				t.Errorf("%s imports %s: the OS is made of the standard library only", p.path(), i)
			case !std:
			case p.under("guest/kernel") && i != "unsafe" && i != "sync": // sync: addr_host.go
				t.Errorf("%s imports %s", p.path(), i)
			case p.under(osImports...) && !slices.Contains(belowOS, i):
				t.Errorf("%s imports %s, which does not lie below os", p.path(), i)
			case !belowNet(i):
				t.Errorf("%s imports %s, which does not lie below net", p.path(), i)
			}
		}
		for _, i := range p.Deps {
			if p.under(osImports...) && (i == "os" || i == "fmt" || i == "internal/poll") || !belowNet(i) && i != "net/netip" {
				t.Errorf("%s depends on %s", p.path(), i)
			}
		}
	}
}

// TestBelowOS sees that the list of packages below os is right for this release of Go.
func TestBelowOS(t *testing.T) {
	out, err := exec.Command("go", append([]string{"list", "-f", "{{.ImportPath}} {{.Deps}}"}, belowOS...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(belowOS) {
		t.Errorf("%d packages, want %d", len(lines), len(belowOS))
	}
	for _, line := range lines {
		path, deps, _ := strings.Cut(line, " ")
		if slices.Contains(strings.Fields(strings.Trim(deps, "[]")), "os") {
			t.Errorf("%s depends on os", path)
		}
	}
}
