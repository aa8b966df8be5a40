package std

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// required are the packages whose tests must pass in guests, but for at most maxShare of them.
var required = strings.Fields(`
	bufio bytes cmp container/... context crypto/aes crypto/sha256 compress/... encoding/... errors expvar fmt hash/...
	html/template image/... io iter maps math/... net/netip net/textproto net/url regexp/... slices sort strconv strings
	sync sync/atomic text/... time unicode/...`)

// network are those that show the network stack at work, likewise.
var network = strings.Fields(`
	net net/http net/http/httptest net/http/httputil net/rpc/... net/smtp net/mail crypto/tls`)

const maxShare = 0.02

// more are packages beyond those: what they need is there, by and large.
var more = strings.Fields(`
	archive/... crypto crypto/cipher crypto/des crypto/dsa crypto/ec... crypto/ed25519 crypto/h... crypto/m... crypto/p...
	crypto/r... crypto/s... crypto/x509 database/sql/... debug/... embed flag go/ast go/constant go/doc/... go/format
	go/parser go/printer go/scanner go/token go/version html index/suffixarray internal/poll internal/synctest io/fs
	io/ioutil log/... mime/... net/http/c... net/http/fcgi net/http/httptrace net/http/internal/... net/http/pprof os
	os/signal os/user path path/filepath reflect runtime runtime/debug runtime/metrics runtime/pprof testing/... unique
	weak`)

// setting is what a package's tests need beside its name.
type setting struct {
	way
	source []string // what is to be there of the standard library's source beside the package, directories below src
	timing bool     // tests with bounds on real time: those that fail while others run are run again, once, alone
	apart  []apart
}

// way is how tests are run.
type way struct {
	ukvm     []string // flags of ukvm test
	gotest   []string // flags of go test
	args     []string // flags of the test's binary
	internet bool     // with the network that package net's tests take for the Internet, unless it is in short mode; see newInternet
}

// apart are tests of a package that need something else than the others, and are run by themselves.
type apart struct {
	way
	release int // of Go, from which on they do
	tests   []string
}

// settings are those of packages that need some.
var settings = map[string]setting{
	"context":        {timing: true},
	"crypto/ed25519": {way: way{gotest: short}}, // else it downloads a module
	"crypto/sha3":    {way: way{ukvm: []string{"-m=3G"}}},
	"crypto/tls": {timing: true, apart: []apart{
		{tests: strings.Fields("TestVerifyHostname TestRealResumption"), way: way{internet: true}},
		{
			// They run themselves once more in a process with this setting, which a guest has not.
			release: 26, way: way{ukvm: []string{"-e=GODEBUG=fips140=only"}},
			tests: strings.Fields(`TestFIPSServerCipherSuites TestFIPSServerCurves TestFIPSServerProtocolVersion
				TestFIPSServerSignatureAndHash`),
		},
	}},
	"crypto/x509":  {way: way{gotest: short}},           // else it downloads a module
	"encoding/xml": {way: way{ukvm: []string{"-m=3G"}}}, // 17 million elements in each other: 1.9 GB natively too
	"hash/maphash": {way: way{ukvm: []string{"-m=3G"}}}, // 1.7 GB natively too
	"net": {
		timing: true,
		way: way{
			// A test reads /etc/services, which guests do not have; one sends a file of 2 GiB.
			ukvm: []string{"--copy=" + services + ":/etc/services", "-m=6G"},
			args: []string{"-ipv6"}, internet: true,
		},
		// It skips itself unless tests that may fail for reasons of the real Internet are asked for.
		apart: []apart{{tests: []string{"TestLookupLongTXT"}, way: way{args: []string{"-flaky"}, internet: true}}},
	},
	"net/http":      {timing: true},
	"go/parser":     {source: []string{"go/printer"}},
	"os/signal":     {timing: true},
	"path/filepath": {source: []string{"unicode"}},
	"runtime":       {way: way{ukvm: []string{"-m=3G"}}, timing: true},
	"runtime/pprof": {way: way{ukvm: []string{"-m=3G"}}, timing: true}, // one of its tests makes a heap of 1 GB
	"time":          {timing: true},
}

var short = []string{"-short"}

// services is a file as Linux systems have it, which guests do not.
var services = filepath.Join(ukvmtest.Root(), "tests/std/testdata/services")

// sample are packages for each run of the tests, with flags of go test. They take a minute on two idle cores.
var sample = []struct {
	pkg   string
	flags []string
}{
	{"strings", nil}, {"sync", nil}, {"context", nil}, {"time", []string{"-short"}}, {"encoding/json", nil},
	{"compress/flate", []string{"-short"}}, {"text/template", nil}, {"regexp", []string{"-short"}}, {"net/netip", nil},
	{"net", []string{"-short"}}, {"net/http", []string{"-short"}}, {"net/http/httptest", nil}, {"net/http/httputil", nil},
	{"net/rpc", nil}, {"net/rpc/jsonrpc", nil}, {"net/smtp", nil}, {"net/mail", nil},
}

// pkg is a package of the standard library that has tests.
type pkg struct {
	path     string
	declared []string // its functions that are tests; examples, which only run if they have output, are not among them
	external []string // those of them that want hosts of the Internet
}

// goCommand is the go command, in the release that images are built with.
func goCommand(words ...string) *exec.Cmd {
	cmd := exec.Command("go", words...)
	cmd.Dir = ukvmtest.Root()
	cmd.Env = append(ukvmtest.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	return cmd
}

// list returns those of the packages that have tests.
func list(t testing.TB, patterns ...string) (packages []pkg) {
	t.Helper()
	cmd := goCommand(append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		files := append(p.TestGoFiles, p.XTestGoFiles...)
		if len(files) == 0 {
			continue
		}
		found := pkg{path: p.ImportPath}
		for _, name := range files {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			found.read(string(text))
		}
		packages = append(packages, found)
	}
	if len(packages) == 0 {
		t.Fatalf("no tests in %q", patterns)
	}
	return packages
}

// read adds the tests of a file.
func (p *pkg) read(text string) {
	at := declaration.FindAllStringSubmatchIndex(text, -1)
	for i, m := range at {
		name := text[m[2]:m[3]]
		p.declared = append(p.declared, name)
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		if body, _, _ := strings.Cut(text[m[1]:end], "\n}"); strings.Contains(body, "ustHaveExternalNetwork(t)") {
			p.external = append(p.external, name)
		}
	}
}

// declaration is one of a test. TestMain has another parameter.
var declaration = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)(?:[^a-z(]\w*)?)\(\w+ \*(?:testing\.)?[TF]\)`)

// release is the Go release that images are built with: 26 for 1.26.
func release(t testing.TB) int {
	t.Helper()
	out, err := goCommand("env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	return minor(t, strings.TrimSpace(string(out)))
}

// minor is the 26 of go1.26.8 and of go1.26.
func minor(t testing.TB, version string) int {
	t.Helper()
	m := regexp.MustCompile(`^go1\.(\d+)`).FindStringSubmatch(version)
	if m == nil {
		t.Fatalf("%q is no Go release", version)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
