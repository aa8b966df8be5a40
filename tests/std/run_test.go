package std

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// result is what became of tests and examples: "pass", "fail", "skip", or "" if one has not ended.
type result map[string]string

// names are the tests with one of the outcomes.
func (r result) names(outcomes ...string) (names []string) {
	for name, outcome := range r {
		if slices.Contains(outcomes, outcome) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// events reads the output of go test -json: the outcome of each test at the top, and what those that do not pass print.
func events(t testing.TB, stdout string) (r result, failures string) {
	t.Helper()
	r = result{}
	output := map[string]*strings.Builder{}
	for d := json.NewDecoder(strings.NewReader(stdout)); d.More(); {
		var e struct{ Action, Test, Output string }
		if err := d.Decode(&e); err != nil {
			t.Fatalf("go test -json printed something else: %v", err)
		}
		name, _, sub := strings.Cut(e.Test, "/")
		switch e.Action {
		case "output", "build-output":
			if output[name] == nil {
				output[name] = &strings.Builder{}
			}
			output[name].WriteString(e.Output)
		case "run":
			if !sub {
				r[name] = ""
			}
		case "pass", "fail", "skip":
			if !sub && name != "" {
				r[name] = e.Action
			}
		}
	}
	for _, name := range r.names("fail", "") {
		failures += tail(output[name])
	}
	return r, failures + tail(output[""])
}

// tail is the end of what was printed.
func tail(b *strings.Builder) string {
	const most = 4000
	if b == nil {
		return ""
	}
	return b.String()[max(0, b.Len()-most):]
}

// alternatives is a pattern for -run and -skip.
func alternatives(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

// testTime is how long the tests of a package may take: many times what they do, as there may be other work.
const testTime = 40 * time.Minute

// guests runs the tests of a package in a guest, those that flags of go test choose.
func guests(t testing.TB, p pkg, w way, flags ...string) (r result, failures string, code int) {
	t.Helper()
	own := []string{"test", "-q"}
	for _, name := range settings[p.path].source {
		dir := filepath.Join(derived(t)["GOROOT"], "src", name)
		own = append(own, "--copy="+dir+":"+dir)
	}
	var ns *netiftest.NetNS
	if w.internet {
		n := newInternet(t)
		ns = n.ns
		own = append(own, n.flags()...)
	} else {
		own = append(own, "--net=none")
	}
	// The tests were vetted where they come from.
	words := slices.Concat(own, w.ukvm,
		[]string{"-json", "-count=1", "-vet=off", fmt.Sprintf("-timeout=%v", testTime)}, w.gotest, flags, []string{p.path}, w.after())
	c := run(t, ns, ukvmtest.Cmd{Args: words, Dir: outside(t), Timeout: testTime + 10*time.Minute})
	r, failures = events(t, c.Stdout)
	return r, failures + c.Stderr, c.Code
}

// after are the words behind a package's name.
func (w way) after() []string {
	if len(w.args) == 0 {
		return nil
	}
	return append([]string{"-args"}, w.args...)
}

// beside is w with what another way adds to it, and flags of go test. In short mode no test asks for the Internet.
func (w way) beside(other way, flags []string) way {
	w = way{
		ukvm:     slices.Concat(w.ukvm, other.ukvm),
		gotest:   slices.Concat(w.gotest, other.gotest, flags),
		args:     slices.Concat(w.args, other.args),
		internet: w.internet || other.internet,
	}
	w.internet = w.internet && !w.short()
	return w
}

// short says whether tests are asked to be quick.
func (w way) short() bool { return slices.Contains(w.gotest, "-short") }

// run runs a command in a network namespace; nil is that of the tests.
func run(t testing.TB, ns *netiftest.NetNS, cmd ukvmtest.Cmd) ukvmtest.Result {
	t.Helper()
	if ns == nil {
		return ukvmtest.Run(t, cmd)
	}
	var process *ukvmtest.Process
	if cmd.Path == "" {
		cmd.Path = ukvmtest.Command(t) // which is built outside, where there are modules
	}
	ns.Do(t, func() error {
		process = ukvmtest.Start(t, cmd)
		return nil
	})
	return process.Wait()
}

// check runs the tests of a package but those left out, with flags of go test, and returns how many tests and examples
// have run, and which of them skip themselves, in guests and natively.
func check(t *testing.T, p pkg, out []string, flags ...string) (tests int, skipped []string) {
	skip := slices.Clone(out)
	var aparts []apart
	for _, a := range settings[p.path].apart {
		if release(t) >= a.release {
			aparts = append(aparts, a)
			skip = append(skip, a.tests...)
		}
	}
	usual := settings[p.path].way
	r := pass(t, p, usual.beside(way{}, flags), "-skip="+alternatives(skip))
	for _, a := range aparts {
		maps.Copy(r, pass(t, p, usual.beside(a.way, flags), "-run="+alternatives(a.tests)))
	}
	for _, name := range p.declared {
		if _, ran := r[name]; !ran && !slices.Contains(out, name) {
			t.Errorf("%s has not run", name)
		}
	}
	return len(r), r.names("skip")
}

// pass runs those tests of a package in a guest that a flag of go test chooses, and expects them to pass, or to skip
// themselves as they do natively; not for want of the Internet, if it is there.
func pass(t *testing.T, p pkg, w way, choice string) result {
	r, failures, code := guests(t, p, w, choice)
	if failed := r.names("fail"); code != 0 && len(failed) > 0 && len(r.names("")) == 0 && settings[p.path].timing {
		t.Logf("once more, alone: %s", strings.Join(failed, " "))
		var again result
		again, failures, code = guests(t, p, w, "-run="+alternatives(failed))
		for _, name := range failed {
			r[name] = again[name]
		}
	}
	if failed := r.names("fail", ""); code != 0 || len(failed) > 0 {
		t.Errorf("code %d, failed: %s\n%s", code, strings.Join(failed, " "), failures)
	}
	skipped := r.names("skip")
	if w.internet {
		for _, name := range skipped {
			if slices.Contains(p.external, name) {
				t.Errorf("%s wants the Internet and skips itself although there is one", name)
			}
		}
	}
	// In short mode tests look at how many processors there are.
	if len(skipped) > 0 && !w.short() {
		native := natively(t, p, skipped, w)
		for _, name := range skipped {
			if native[name] != "skip" {
				t.Errorf("%s skips itself in a guest and not natively", name)
			}
		}
	}
	return r
}

// natively runs tests of a package without a guest: the same binary, as both come from the same build. They have no
// network but loopback: some ask for hosts on the Internet.
func natively(t testing.TB, p pkg, tests []string, w way) result {
	t.Helper()
	words := slices.Concat([]string{"test", "-json", "-count=1", "-vet=off"}, w.gotest,
		[]string{"-run=" + alternatives(tests), p.path}, w.after())
	cmd := ukvmtest.Cmd{Path: goPath(t), Args: words, Env: []string{"GOPROXY=off"}, Dir: outside(t), Timeout: testTime}
	for name, value := range derived(t) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	c := run(t, netiftest.NewNetNS(t), cmd)
	r, failures := events(t, c.Stdout)
	if c.Code != 0 {
		t.Errorf("natively, code %d:\n%s%s", c.Code, failures, c.Stderr)
	}
	return r
}

// derived are the settings with which the go command builds images.
func derived(t testing.TB) (env map[string]string) {
	t.Helper()
	r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"env", "--json"}, Dir: outside(t)})
	if err := json.Unmarshal([]byte(r.Stdout), &env); err != nil {
		t.Fatalf("ukvm env --json: %v\n%s%s", err, r.Stdout, r.Stderr)
	}
	return env
}

// outside is a directory outside of all modules: in one, the go line of its go.mod makes the standard library behave as in
// that release (https://go.dev/doc/godebug).
func outside(t testing.TB) string { return t.TempDir() }

// goPath is the go command itself, of the release that images are built with, as a derived GOROOT pins it.
func goPath(t testing.TB) string {
	t.Helper()
	out, err := goCommand("env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(string(out)) + "/bin/go"
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}
