package std

import (
	_ "embed"
	"slices"
	"strings"
	"testing"
)

// Each line of exclude.txt is a package, a test, from or up to which Go release it is there ("go1.26+", "go1.25-") if not
// in all, and the reason.
//
//go:embed exclude.txt
var excludeList string

// exclusion is a test that is left out.
type exclusion struct{ pkg, test, reason string }

// exclusions are those for a Go release.
func exclusions(t testing.TB, release int) (all []exclusion) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(excludeList) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		here := true
		if len(words) > 2 && strings.HasPrefix(words[2], "go1.") {
			version := words[2]
			switch version[len(version)-1] {
			case '+':
				here = release >= minor(t, version)
			case '-':
				here = release <= minor(t, version)
			default:
				t.Fatalf("exclude.txt: %q: neither from nor up to a release", line)
			}
			words = slices.Delete(words, 2, 3)
		}
		if len(words) < 3 {
			t.Fatalf("exclude.txt: %q gives no reason", line)
		}
		key := words[0] + " " + words[1]
		if seen[key] {
			t.Fatalf("exclude.txt: %s is there twice", key)
		}
		seen[key] = true
		if here {
			all = append(all, exclusion{words[0], words[1], strings.Join(words[2:], " ")})
		}
	}
	return all
}

// of are the tests of a package that are left out.
func of(all []exclusion, pkg string) (tests []string) {
	for _, e := range all {
		if e.pkg == pkg {
			tests = append(tests, e.test)
		}
	}
	return tests
}

// TestExclusions checks that what is left out exists, and that it is not more than it may be. It runs nothing.
func TestExclusions(t *testing.T) {
	all := exclusions(t, release(t))
	declared := map[string]bool{}
	for _, p := range list(t, slices.Concat(required, network, more)...) {
		declared[p.path+" "] = true
		for _, test := range p.declared {
			declared[p.path+" "+test] = true
		}
	}
	for _, e := range all {
		switch {
		case !declared[e.pkg+" "]:
			t.Errorf("exclude.txt: %s: no such package is tested", e.pkg)
		case !declared[e.pkg+" "+e.test]:
			t.Errorf("exclude.txt: %s has no test %s", e.pkg, e.test)
		}
	}
	for name, patterns := range map[string][]string{"required": required, "network": network} {
		tests, out := 0, 0
		for _, p := range list(t, patterns...) {
			tests += len(p.declared)
			out += len(of(all, p.path))
		}
		if share := float64(out) / float64(tests); share > maxShare {
			t.Errorf("%d of %d tests of the %s packages are left out, %.1f %%; at most %.0f %% may be", out, tests, name, 100*share, 100*maxShare)
		}
		t.Logf("%s packages: %d of %d tests are left out", name, out, tests)
	}
}
