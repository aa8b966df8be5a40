package std

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

func TestSample(t *testing.T) {
	if ukvmtest.Soak() {
		t.Skip("TestRequired and TestNetwork run all of it")
	}
	ukvmtest.Command(t)
	all := exclusions(t, release(t))
	tests := 0
	for _, s := range sample {
		p := list(t, s.pkg)[0]
		t.Run(s.pkg, func(t *testing.T) {
			n, _ := check(t, p, of(all, s.pkg), s.flags...)
			tests += n
		})
	}
	ukvmtest.Figure(t, "tests of the standard library in guests", float64(tests), "tests")
}

// TestInternet runs the tests that want hosts of the Internet, with hosts of the tests' own.
func TestInternet(t *testing.T) {
	if ukvmtest.Soak() {
		t.Skip("TestNetwork runs them too")
	}
	ukvmtest.Command(t)
	all := exclusions(t, release(t))
	for _, p := range list(t, "net", "crypto/tls") {
		t.Run(p.path, func(t *testing.T) {
			left := of(all, p.path)
			wanted := slices.DeleteFunc(slices.Clone(p.external), func(name string) bool { return slices.Contains(left, name) })
			r := pass(t, p, settings[p.path].beside(way{internet: true, args: []string{"-flaky"}}, nil), "-run="+alternatives(wanted))
			if got := r.names("pass"); len(got) != len(wanted) {
				t.Errorf("%d tests want the Internet and %d have passed: %s", len(wanted), len(got), strings.Join(got, " "))
			}
		})
	}
}

func TestRequired(t *testing.T) { checkShare(t, "required", required) }

func TestNetwork(t *testing.T) { checkShare(t, "network", network) }

func TestMore(t *testing.T) { checkAll(t, "more", more) }

// checkShare is checkAll for packages of whose tests no more than maxShare may be left out.
func checkShare(t *testing.T, name string, patterns []string) {
	t.Helper()
	tests, out := checkAll(t, name, patterns)
	if share := float64(out) / float64(tests+out); share > maxShare {
		t.Errorf("%d of %d tests are left out, %.1f %%; at most %.0f %% may be", out, tests+out, 100*share, 100*maxShare)
	}
}

// checkAll checks packages, if all there is is to be checked, and reports how many tests have run and are left out.
func checkAll(t *testing.T, name string, patterns []string) (tests, out int) {
	t.Helper()
	if !ukvmtest.Soak() {
		t.Skip("set UKVM_SOAK=1 to run this")
	}
	ukvmtest.Command(t)
	all := exclusions(t, release(t))
	packages := list(t, patterns...)
	skipped := 0
	for i, p := range packages {
		t.Run(p.path, func(t *testing.T) {
			fmt.Fprintf(os.Stderr, "%d of %d: %s\n", i+1, len(packages), p.path)
			left := of(all, p.path)
			out += len(left)
			n, skip := check(t, p, left)
			tests, skipped = tests+n, skipped+len(skip)
			if len(skip) > 0 {
				t.Logf("%d of %d tests skip themselves, as natively: %s", len(skip), n, strings.Join(skip, " "))
			}
		})
	}
	ukvmtest.Figure(t, name+" packages of the standard library", float64(len(packages)), "packages")
	ukvmtest.Figure(t, name+" packages: tests run in guests", float64(tests), "tests")
	ukvmtest.Figure(t, name+" packages: of those, tests that skip themselves natively too", float64(skipped), "tests")
	ukvmtest.Figure(t, name+" packages: tests left out", float64(out), "tests")
	ukvmtest.Figure(t, name+" packages: share left out", 100*float64(out)/float64(tests+out), "%")
	return tests, out
}
