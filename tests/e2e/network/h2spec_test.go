package network

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestH2spec has h2spec test the guest's HTTP/2 server, and the same file's natively: the results are the same.
func TestH2spec(t *testing.T) {
	tool := buildH2spec(t)
	kinds := sample([]kind{overTAP}, fast)
	sections := sample([]string{"generic", "hpack", "http2/6"}, []string{"generic", "hpack", "http2"})
	native := newWorld(t, natively, options{})
	in(t, kinds, options{}, func(t *testing.T, guest *world) {
		for _, words := range [][]string{nil, {"--tls", "--insecure"}} {
			sides := []h2specSide{{w: native, tool: tool, words: words}, {w: guest, tool: tool, words: words}}
			compareH2spec(t, sides, sections)
		}
	})
}

// natively runs the guests' program on the host, in a namespace of its own.
var natively = kind{"native", func(t testing.TB, image string, _ options) *world {
	ns := netiftest.NewNetNS(t)
	var p *ukvmtest.Process
	do(ns, func() { p = ukvmtest.Start(t, ukvmtest.Cmd{Path: image, Timeout: time.Hour}) })
	p.Await("ready\n")
	w := inNamespace(ns, "127.0.0.1", "127.0.0.1")
	w.pid = p.Pid()
	w.stop = func(t testing.TB) {
		p.Signal(syscall.SIGTERM)
		r := p.Wait()
		if r.Code != 0 {
			t.Errorf("natively it has ended with code %d", r.Code)
		}
		checkOutput(t, r.Stdout, r.Stderr)
	}
	return w
}}

// buildH2spec builds h2spec, which has a module of its own in the directory h2spec.
func buildH2spec(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "h2spec")
	build := exec.Command("go", "build", "-o", path, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir, build.Env = "h2spec", append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build h2spec: %v\n%s", err, out)
	}
	return path
}

// h2specSide is a server for h2spec to test.
type h2specSide struct {
	w     *world
	tool  string
	words []string                   // flags for h2spec
	seen  map[h2specTest]h2specMarks // what has become of tests so far
}

// h2specTest is one of h2spec's tests: the section of its specification, and what it does.
type h2specTest struct{ section, does string }

// h2specMarks are the outcomes that a test has had, in all its runs.
type h2specMarks struct{ passed, failed, skipped bool }

func (a h2specMarks) overlap(b h2specMarks) bool {
	return a.passed && b.passed || a.failed && b.failed || a.skipped && b.skipped
}

// compareH2spec runs sections of h2spec on two sides. Some of its tests depend on which of two goroutines of the server comes
// first, so the sections of those that differ are run again, a few times, until both sides have had the same result.
func compareH2spec(t *testing.T, sides []h2specSide, sections []string) {
	t.Helper()
	const rounds = 8
	name := fmt.Sprintf("%s %v", sides[1].w.name, sides[1].words)
	for round := 0; round < rounds && len(sections) > 0; round++ {
		var wg sync.WaitGroup
		for i := range sides {
			wg.Go(func() { sides[i].run(t, sections) })
		}
		wg.Wait()
		sections = nil
		for test, marks := range sides[0].seen {
			if !marks.overlap(sides[1].seen[test]) && !slices.Contains(sections, test.section) {
				sections = append(sections, test.section)
			}
		}
	}
	passed := 0
	native, guest := sides[0].seen, sides[1].seen
	for test, marks := range native {
		if !marks.overlap(guest[test]) {
			t.Errorf("%s: %s: %s: %+v, natively %+v", name, test.section, test.does, guest[test], marks)
		}
		if guest[test].passed {
			passed++
		}
	}
	for test := range maps.Keys(guest) {
		if _, ok := native[test]; !ok {
			t.Errorf("%s: %s: %s: runs only against the guest", name, test.section, test.does)
		}
	}
	// Of the few that net/http's server does not pass none is the network's.
	if passed < 60 || passed*10 < len(native)*9 {
		t.Errorf("%s: %d tests of %d pass", name, passed, len(native))
	}
	ukvmtest.Figure(t, "h2spec/"+name+" passed of "+fmt.Sprint(len(native)), float64(passed), "tests")
}

// run runs sections, and notes the outcomes.
func (s *h2specSide) run(t *testing.T, sections []string) {
	port := contract.PortWeb
	if len(s.words) > 0 {
		port = contract.PortTLS
	}
	host, port2, err := net.SplitHostPort(s.w.address(port))
	if err != nil {
		t.Error(err)
		return
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	// Seconds for what a server should say: tests that it fails take all of them.
	words := slices.Concat([]string{"--timeout=4", "--host=" + host, "--port=" + port2, "--path=/hello", "--junit-report=" + report}, s.words, sections)
	c := ukvmtest.Cmd{Path: s.tool, Args: words, Timeout: 10 * time.Minute}
	var p *ukvmtest.Process
	if s.w.ns != nil {
		do(s.w.ns, func() { p = ukvmtest.Start(t, c) })
	} else {
		p = ukvmtest.Start(t, c)
	}
	r := p.Wait()
	text, err := os.ReadFile(report)
	if err != nil || r.Code > 1 { // 1: some have failed
		t.Errorf("h2spec: code %d, %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
		return
	}
	if err := s.note(text); err != nil {
		t.Errorf("h2spec's report: %v\n%s", err, text)
	}
}

// note takes in a report.
func (s *h2specSide) note(report []byte) error {
	var suites struct {
		Suites []struct {
			Cases []struct {
				Section string    `xml:"package,attr"`
				Does    string    `xml:"classname,attr"`
				Error   *struct{} `xml:"error"`
				Failure *struct{} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(report, &suites); err != nil {
		return err
	}
	if s.seen == nil {
		s.seen = map[h2specTest]h2specMarks{}
	}
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			test := h2specTest{c.Section, strings.TrimSpace(c.Does)}
			marks := s.seen[test]
			switch {
			case c.Error != nil || c.Failure != nil:
				marks.failed = true
			case c.Skipped != nil:
				marks.skipped = true
			default:
				marks.passed = true
			}
			s.seen[test] = marks
		}
	}
	return nil
}

// TestH2specReport reads reports in which a test passes and then does not, one fails and one is skipped.
func TestH2specReport(t *testing.T) {
	const report = `<testsuites><testsuite><testcase package="http2/1" classname="a">%s</testcase>
		<testcase package="http2/1" classname="b"><error>no</error></testcase></testsuite>
		<testsuite><testcase package="http2/2" classname="a "><skipped></skipped></testcase></testsuite></testsuites>`
	var s h2specSide
	for _, inner := range []string{"", "<error>GOAWAY</error>"} {
		if err := s.note(fmt.Appendf(nil, report, inner)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[h2specTest]h2specMarks{
		{"http2/1", "a"}: {passed: true, failed: true}, {"http2/1", "b"}: {failed: true}, {"http2/2", "a"}: {skipped: true},
	}
	if !maps.Equal(s.seen, want) {
		t.Errorf("%+v, want %+v", s.seen, want)
	}
	a, b, c := want[h2specTest{"http2/1", "a"}], want[h2specTest{"http2/1", "b"}], want[h2specTest{"http2/2", "a"}]
	if !a.overlap(b) || !a.overlap(h2specMarks{passed: true}) || b.overlap(h2specMarks{passed: true}) || a.overlap(c) || !c.overlap(c) {
		t.Error("overlap")
	}
}
