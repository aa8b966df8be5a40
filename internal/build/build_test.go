package build

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// says is a main package that prints a constant.
func says(text string) string {
	return "package main\n\nfunc main() { println(\"" + text + "\") }\n"
}

func module(path string) string { return "module " + path + "\n\ngo 1.25\n" }

// TestLayouts builds programs from all module layouts there are.
func TestLayouts(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{
		"app/go.mod":                        module("example.org/app") + "\nrequire example.org/dep v1.0.0\n",
		"app/main.go":                       "package main\n\nimport \"example.org/dep\"\n\nfunc main() { println(\"vendor\", dep.Name) }\n",
		"app/cmd/tool/main.go":              says("tool"),
		"app/vendor/modules.txt":            "# example.org/dep v1.0.0\n## explicit; go 1.25\nexample.org/dep\n",
		"app/vendor/example.org/dep/dep.go": "package dep\n\nconst Name = \"vendored\"\n",

		"work/go.work":   "go 1.25\n\nuse (\n\t./a\n\t./b\n)\n",
		"work/a/go.mod":  module("example.org/a"),
		"work/a/main.go": "package main\n\nimport \"example.org/b\"\n\nfunc main() { println(\"work\", b.Name) }\n",
		"work/b/go.mod":  module("example.org/b"),
		"work/b/b.go":    "package b\n\nconst Name = \"neighbour\"\n",

		"loose/one.go":   says("one"),
		"loose/two/a.go": "package main\n\nfunc main() { println(two) }\n",
		"loose/two/b.go": "package main\n\nconst two = \"two\"\n",
	})
	for _, c := range []struct {
		dir      string
		flags    []string
		packages []string
		name     string
		want     string
	}{
		{"app", nil, nil, "app", "vendor vendored"},
		{"app", nil, []string{"."}, "app", "vendor vendored"},
		{"app", nil, []string{"./cmd/tool"}, "tool", "tool"},
		{"app", nil, []string{"example.org/app/cmd/tool"}, "tool", "tool"},
		{".", []string{"-C", "app"}, []string{"./cmd/tool"}, "tool", "tool"},
		{".", nil, []string{"./app/cmd/tool"}, "tool", "tool"},
		{"loose", nil, []string{filepath.Join(dir, "app")}, "app", "vendor vendored"},
		{"work/a", nil, nil, "a", "work neighbour"},
		{"work", nil, []string{"./a"}, "a", "work neighbour"},
		{"work", nil, []string{"example.org/a"}, "a", "work neighbour"},
		{"loose", nil, []string{"one.go"}, "one", "one"},
		{"app", nil, []string{"../loose/one.go"}, "one", "one"},
		{"loose/two", nil, []string{"b.go", "a.go"}, "b", "two"},
	} {
		t.Run(c.dir+" "+strings.Join(c.packages, " "), func(t *testing.T) {
			cfg := testConfig(t, filepath.Join(dir, c.dir))
			cfg.Flags = c.flags
			r := mustBuild(t, cfg, c.packages...)
			if out := runs(t, r.Path); out != c.want || r.Name != c.name {
				t.Errorf("%s prints %q, want %s and %q", r.Name, out, c.name, c.want)
			}
		})
	}
}

// TestVersioned builds programs from modules that a proxy serves: here a directory.
func TestVersioned(t *testing.T) {
	integration(t)
	proxy := t.TempDir()
	serve(t, proxy, "example.org/served", "v1.2.3", map[string]string{
		"go.mod":          module("example.org/served"),
		"cmd/app/main.go": says("served"),
		"lib/lib.go":      "package lib\n",
	})
	serve(t, proxy, "example.org/future", "v1.0.0", map[string]string{
		"go.mod":  "module example.org/future\n\ngo 1.99\n",
		"main.go": says("future"),
	})
	cfg := testConfig(t, t.TempDir(), "GOPROXY=file://"+proxy, "GONOSUMDB=*", "GOTOOLCHAIN=local",
		"GOMODCACHE="+filepath.Join(t.TempDir(), "mod"), "GOFLAGS=-modcacherw")
	r := mustBuild(t, cfg, "example.org/served/cmd/app@v1.2.3")
	if out := runs(t, r.Path); out != "served" || r.Name != "app" {
		t.Errorf("%s prints %q", r.Name, out)
	}
	cfg.Env = setenv(cfg.Env, "GOPROXY=off") // now it is in the module cache
	if again := mustBuild(t, cfg, "example.org/served/cmd/app@v1.2.3"); again.Path != r.Path {
		t.Errorf("%s and %s", r.Path, again.Path)
	}
	cfg.Env = setenv(cfg.Env, "GOPROXY=file://"+proxy)
	for pkg, missing := range map[string]bool{
		"example.org/served/cmd/none@v1.2.3": true,
		"example.org/served/cmd/app@v9.0.0":  true,
		"example.org/none@latest":            true,
		"example.org/served/lib@v1.2.3":      false, // not a program
		"example.org/future@v1.0.0":          false, // needs another Go
	} {
		_, err := Build(t.Context(), cfg, []string{pkg}, "")
		if err == nil || errors.Is(err, ErrNotFound) != missing {
			t.Errorf("%s: %v, want not found: %v", pkg, err, missing)
		}
		if strings.Contains(pkg, "future") && !strings.Contains(err.Error(), "1.99") {
			t.Errorf("%s: %v does not tell the version", pkg, err)
		}
	}
}

// serve adds a version of a module to a directory that is a module proxy.
func serve(t *testing.T, proxy, path, version string, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(path + "@" + version + "/" + name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	at := path + "/@v/"
	err := writeFiles(proxy, map[string]string{
		at + "list":            version + "\n",
		at + version + ".info": `{"Version":"` + version + `","Time":"2026-01-01T00:00:00Z"}`,
		at + version + ".mod":  files["go.mod"],
		at + version + ".zip":  b.String(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFlagsMerge checks that the user's tags and linker flags reach the build, from the command line and from GOFLAGS.
func TestFlagsMerge(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{
		"go.mod":  module("example.org/x"),
		"main.go": "package main\n\nvar linked string\n\nfunc main() { println(tags + linked) }\n\nvar tags string\n",
		"a.go":    "//go:build a\n\npackage main\n\nfunc init() { tags += \"a\" }\n",
		"b.go":    "//go:build b && ukvm\n\npackage main\n\nfunc init() { tags += \"b\" }\n",
		"c.go":    "//go:build !ukvm\n\npackage main\n\nfunc init() { tags += \"native\" }\n",
	})
	for _, c := range []struct {
		goflags string
		flags   []string
		want    string
	}{
		{"", nil, ""},
		{"-tags=a", nil, "a"},
		{"-tags=a", []string{"-tags", "b"}, "b"},
		{"-tags=a", []string{"-ldflags=-X main.linked=L -s"}, "aL"},
		{"'-ldflags=-X main.linked=M'", []string{"-tags=a,b", "-trimpath=false"}, "abM"},
	} {
		cfg := testConfig(t, dir, "GOFLAGS="+c.goflags)
		cfg.Flags = c.flags
		r := mustBuild(t, cfg)
		if out := runs(t, r.Path); out != c.want {
			t.Errorf("GOFLAGS=%s %q: %q, want %q", c.goflags, c.flags, out, c.want)
		}
		if b, err := os.ReadFile(r.Path); err != nil || bytes.Contains(b, []byte(sharedCache)) || bytes.Contains(b, []byte(dir)) {
			t.Errorf("GOFLAGS=%s %q: paths of this machine in the image: %v", c.goflags, c.flags, err)
		}
	}
	cfg := testConfig(t, dir, "GOFLAGS=-race")
	if _, err := Build(t.Context(), cfg, nil, ""); !errors.Is(err, ErrUnsupported) {
		t.Errorf("-race in GOFLAGS: %v", err)
	}
}

// TestBuildErrors checks what errors say, and of what kind they are.
func TestBuildErrors(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{
		"go.mod":          module("example.org/x"),
		"lib/lib.go":      "package lib\n",
		"broken/main.go":  "package main\n\nfunc main() { undefined() }\n",
		"syntax/main.go":  "package main\n\nfunc main( {\n",
		"imports/main.go": "package main\n\nimport \"example.org/none\"\n\nfunc main() { none.F() }\n",
		"cmd/a/main.go":   says("a"),
		"cmd/b/main.go":   says("b"),
		"empty/README":    "",
	})
	for _, c := range []struct {
		pkg     string
		missing bool
		text    string
	}{
		{"./none", true, "none"},
		{"./none/main.go", true, "none"},
		{"example.org/none", true, "example.org/none"},
		{"example.org/x/none", true, "example.org/x/none"},
		{"none", true, "none"},
		{"./empty", true, "no Go files"},
		{filepath.Join(dir, "none"), true, "none"},
		{"./lib", false, "main"},
		{"./broken", false, "undefined"},
		{"./syntax", false, "main.go:3"},
		{"./imports", false, "example.org/none"},
		{"./cmd/...", false, "name one"},
	} {
		_, err := Build(t.Context(), testConfig(t, dir), []string{c.pkg}, "")
		if err == nil || errors.Is(err, ErrNotFound) != c.missing || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q and not found: %v", c.pkg, err, c.text, c.missing)
		}
	}
	var shown bytes.Buffer
	cfg := testConfig(t, dir)
	cfg.Stderr = &shown
	_, err := Build(t.Context(), cfg, []string{"./broken"}, "")
	var failed *CommandError
	if !errors.As(err, &failed) || failed.ExitCode != 1 || strings.Contains(err.Error(), "undefined") || !strings.Contains(shown.String(), "undefined") {
		t.Errorf("shown %q, error %v", shown.String(), err)
	}
}

// TestRename builds a program that changes its name in between.
func TestRename(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{"go.mod": module("example.org/first"), "main.go": says("x")})
	if r := mustBuild(t, testConfig(t, dir)); r.Name != "first" {
		t.Error(r.Name)
	}
	if err := writeFiles(dir, map[string]string{"go.mod": module("example.org/second")}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "bin") + "/"
	r, err := Build(t.Context(), testConfig(t, dir), nil, out)
	if err != nil || r.Path != out+"second" || runs(t, r.Path) != "x" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCancel checks that a build ends when its context does, with all its processes.
func TestCancel(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{"go.mod": module("example.org/x"), "main.go": says("x")})
	mark := filepath.Join(t.TempDir(), "pid")
	tool := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\necho $$ > "+mark+".new\nmv "+mark+".new "+mark+"\nexec sleep 60\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, dir)
	cfg.Flags = []string{"-a", "-toolexec", tool}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	go func() {
		for modified(mark).IsZero() {
			time.Sleep(time.Millisecond)
		}
		cancel(reason)
	}()
	start := time.Now()
	_, err := Build(ctx, cfg, nil, "")
	if !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
	pid, _ := os.ReadFile(mark)
	for stop := time.Now().Add(5 * time.Second); alive(strings.TrimSpace(string(pid))); time.Sleep(time.Millisecond) {
		if time.Now().After(stop) {
			t.Errorf("process %s still runs", pid)
			break
		}
	}
	if left := list(filepath.Join(sharedCache, "tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// alive reports whether a process runs; one that has ended and that nobody waits for does not.
func alive(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestEnv builds with a plain go command in the environment that Env gives, and with this package in that environment.
func TestEnv(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{"go.mod": module("example.org/x"), "main.go": hello})
	cfg := testConfig(t, dir, "GOFLAGS=-tags=a '-ldflags=-s -w'")
	settings, err := Env(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(settings, "GOFLAGS='-ldflags=-s -w' -trimpath -tags=a,ukvm") {
		t.Errorf("%q", settings)
	}
	cfg.Env = setenv(cfg.Env, settings...)
	cmd := exec.Command("go", "build", "-o", "plain", ".")
	cmd.Dir, cmd.Env = dir, cfg.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	plain := filepath.Join(dir, "plain")
	if err := checkImage(plain); err != nil {
		t.Error(err)
	}
	r := mustBuild(t, cfg)
	a, _ := os.ReadFile(plain)
	b, _ := os.ReadFile(r.Path)
	if !bytes.Equal(a, b) {
		t.Error("Build gives another image in that environment")
	}
	again, err := Env(t.Context(), cfg)
	if err != nil || !slices.Equal(again, settings) {
		t.Errorf("again: %q, %v", again, err)
	}
}

// TestTest runs tests, of a module and of the standard library, by a program that shows how it is called.
func TestTest(t *testing.T) {
	integration(t)
	dir := tree(t, map[string]string{
		"go.mod":        module("example.org/x"),
		"p/p.go":        "package p\n",
		"p/p_test.go":   "package p\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestData(t *testing.T) {\n\tif _, err := os.Stat(\"testdata/x\"); err != nil {\n\t\tt.Fatal(err)\n\t}\n}\n",
		"p/testdata/x":  "",
		"bad/b_test.go": "package bad\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Fatal(\"bad\") }\n",
		"it's exec":     "#!/bin/sh\necho \"exec $1\"\nshift\nexec \"$@\"\n",
	})
	program := filepath.Join(dir, "it's exec")
	if err := os.Chmod(program, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		cfg := testConfig(t, dir)
		cfg.Stdout, cfg.Stderr = &out, &out
		err := Test(t.Context(), cfg, []string{program, "two words"}, args)
		return out.String(), err
	}
	if out, err := run("-v", "-count=1", "-tags", "a", "./p"); err != nil || !strings.Contains(out, "exec two words") || !strings.Contains(out, "--- PASS: TestData") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err := run("-count=1", "-run", "TestIndex|TestReader", "bytes", "os")
	if err != nil || strings.Count(out, "ok  \t") != 2 {
		t.Errorf("standard library: %v\n%s", err, out)
	}
	out, err = run("./bad")
	var failed *CommandError
	if !errors.As(err, &failed) || failed.ExitCode != 1 || !strings.Contains(out, "--- FAIL: TestBad") {
		t.Errorf("a test that fails: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"-race", "./p"}, {"-exec=x", "./p"}} {
		if _, err := run(args...); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
