package cli

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

// says is a program that prints a text and whether it runs in a guest: there is no other process 1 than itself there.
func says(text string) string {
	return "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() { fmt.Println(\"" + text + "\", os.Getpid() == 1) }\n"
}

// TestLayouts runs programs from every kind of place. (Package build tests them with a stand-in for the guest's system;
// here they are images, which run in guests and natively.)
func TestLayouts(t *testing.T) {
	ukvmtest.Command(t)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"app/go.mod":                        "module example.org/app\n\ngo 1.25\n\nrequire example.org/dep v1.0.0\n",
		"app/main.go":                       strings.Replace(says("x"), "\"x\"", "dep.Name", 1),
		"app/cmd/tool/main.go":              says("tool"),
		"app/vendor/modules.txt":            "# example.org/dep v1.0.0\n## explicit; go 1.25\nexample.org/dep\n",
		"app/vendor/example.org/dep/dep.go": "package dep\n\nconst Name = \"vendored\"\n",

		"work/go.work":   "go 1.25\n\nuse (\n\t./a\n\t./b\n)\n",
		"work/a/go.mod":  "module example.org/a\n\ngo 1.25\n",
		"work/a/main.go": strings.Replace(says("x"), "\"x\"", "b.Name", 1),
		"work/b/go.mod":  "module example.org/b\n\ngo 1.25\n",
		"work/b/b.go":    "package b\n\nconst Name = \"neighbour\"\n",

		"loose/one.go": says("one"),
	})
	for name, imported := range map[string]string{"app/main.go": "example.org/dep", "work/a/main.go": "example.org/b"} {
		path := filepath.Join(dir, name)
		writeFiles(t, dir, map[string]string{name: strings.Replace(readFile(t, path), "\t\"fmt\"\n", "\t\"fmt\"\n\t\""+imported+"\"\n", 1)})
	}
	proxy := t.TempDir()
	serve(t, proxy, "example.org/served", "v1.2.3", map[string]string{"go.mod": "module example.org/served\n\ngo 1.25\n", "cmd/app/main.go": says("served")})
	modules := t.TempDir()
	t.Cleanup(func() { removeAll(modules) })
	env := []string{"GOPROXY=file://" + proxy, "GONOSUMDB=*", "GOMODCACHE=" + modules}
	for _, c := range []struct{ dir, pkg, want string }{
		{"app", ".", "vendored"},
		{"app", "example.org/app/cmd/tool", "tool"},
		{".", "./app/cmd/tool", "tool"},
		{"work/a", ".", "neighbour"},
		{"work", "example.org/a", "neighbour"},
		{"loose", "one.go", "one"},
		{"loose", "example.org/served/cmd/app@v1.2.3", "served"},
	} {
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "-q", c.pkg}, Dir: filepath.Join(dir, c.dir), Env: env})
		if r.Code != 0 || r.Stdout != c.want+" true\n" || r.Stderr != "" {
			t.Errorf("run %s in %s: code %d, printed %q, said %q", c.pkg, c.dir, r.Code, r.Stdout, r.Stderr)
		}
		image := filepath.Join(t.TempDir(), "image")
		r = ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"build", "-q", "-o", image, c.pkg}, Dir: filepath.Join(dir, c.dir), Env: env})
		if r.Code != 0 || r.Stdout+r.Stderr != "" {
			t.Errorf("build %s in %s: code %d, printed %q, said %q", c.pkg, c.dir, r.Code, r.Stdout, r.Stderr)
			continue
		}
		if r := ukvmtest.Run(t, ukvmtest.Cmd{Path: image}); r.Code != 0 || r.Stdout != c.want+" false\n" {
			t.Errorf("%s runs natively: code %d, printed %q", c.pkg, r.Code, r.Stdout)
		}
		if r := ukvmtest.Ukvm(t, "run", image); r.Code != 0 || r.Stdout != c.want+" true\n" {
			t.Errorf("%s runs in a guest: code %d, printed %q, said %q", c.pkg, r.Code, r.Stdout, r.Stderr)
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
	writeFiles(t, proxy, map[string]string{
		at + "list":            version + "\n",
		at + version + ".info": `{"Version":"` + version + `","Time":"2026-01-01T00:00:00Z"}`,
		at + version + ".mod":  files["go.mod"],
		at + version + ".zip":  b.String(),
	})
}

// TestFlagsOfGo passes flags of go build on, to run and to build.
func TestFlagsOfGo(t *testing.T) {
	ukvmtest.Command(t)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"go.mod":  "module example.org/x\n\ngo 1.25\n",
		"main.go": "package main\n\nimport \"fmt\"\n\nvar linked, tags string\n\nfunc main() { fmt.Println(tags + linked) }\n",
		"a.go":    "//go:build a\n\npackage main\n\nfunc init() { tags += \"a\" }\n",
		"u.go":    "//go:build ukvm\n\npackage main\n\nfunc init() { tags += \"u\" }\n",
	})
	for line, want := range map[string]string{
		"":                                       "u",
		"-tags a":                                "au",
		"-tags=a -trimpath":                      "au",
		"-ldflags=-s\u00a0-X\u00a0main.linked=L": "uL",
		"-ldflags -X=main.linked=L -tags a":      "auL",
		"-gcflags=-N\u00a0-l":                    "u",
	} {
		var flags []string
		for _, f := range strings.Split(line, " ") {
			if f != "" {
				flags = append(flags, strings.ReplaceAll(f, "\u00a0", " "))
			}
		}
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: append(append([]string{"run", "-q"}, flags...), "."), Dir: dir})
		if r.Code != 0 || r.Stdout != want+"\n" || r.Stderr != "" {
			t.Errorf("%q: code %d, printed %q, said %q; want %s", flags, r.Code, r.Stdout, r.Stderr, want)
		}
	}
	r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "-race", "."}, Dir: dir})
	checkSentence(t, "-race", r, 125, "race")
}

// TestReproducible builds a program in two places at once, with a cache that is new to both, and once more with the
// cache of all tests: the images are the same to the byte.
func TestReproducible(t *testing.T) {
	ukvmtest.Command(t)
	cache := t.TempDir()
	environment := []string{"UKVM_CACHE=" + cache}
	if ukvmtest.Soak() {
		// The go command's cache is new, too: it compiles the standard library.
		environment = append(environment, "GOCACHE="+t.TempDir())
	}
	source := map[string]string{"go.mod": "module example.org/web\n\ngo 1.25\n", "main.go": readFile(t, ukvmtest.Root()+"/examples/web/main.go")}
	var images []string
	var builds []*ukvmtest.Process
	for i, env := range [][]string{environment, environment, nil} {
		dir := t.TempDir()
		writeFiles(t, dir, source)
		images = append(images, filepath.Join(dir, "image"))
		builds = append(builds, ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"build", "-q", "-o", images[i], "."}, Dir: dir, Env: env, Timeout: 10 * time.Minute}))
	}
	for i, b := range builds {
		if r := b.Wait(); r.Code != 0 || r.Stdout+r.Stderr != "" {
			t.Fatalf("build %d: code %d, said %q", i, r.Code, r.Stderr)
		}
	}
	first := readFile(t, images[0])
	for _, image := range images[1:] {
		if readFile(t, image) != first {
			t.Errorf("%s differs from %s", image, images[0])
		}
	}
	if root := ukvmtest.Root(); strings.Contains(first, cache) || strings.Contains(first, filepath.Dir(images[0])) || strings.Contains(first, root) {
		t.Error("paths of this machine are in the image")
	}
}

// TestEnv builds an image by plain go build in the environment that ukvm env prints.
func TestEnv(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"go.mod": "module example.org/x\n\ngo 1.25\n", "main.go": says("by hand")})
	script := `eval "$("$0" env)" && go build -o image . && ./image && "$0" run ./image && "$0" run -q .`
	r := ukvmtest.Run(t, ukvmtest.Cmd{Path: "/bin/sh", Args: []string{"-c", script, ukvmtest.Command(t)}, Dir: dir})
	if r.Code != 0 || r.Stdout != "by hand false\nby hand true\nby hand true\n" || r.Stderr != "" {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
}

// TestBrokenCache spoils what ukvm keeps, between builds that do not notice.
func TestBrokenCache(t *testing.T) {
	ukvmtest.Command(t)
	cache := t.TempDir()
	t.Cleanup(func() { removeAll(cache) })
	build := func(what string) {
		t.Helper()
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: []string{"run", "-q", "./examples/hello"}, Env: []string{"UKVM_CACHE=" + cache}, Timeout: 10 * time.Minute})
		if r.Code != 0 || r.Stdout != "Hello, world!\n" || r.Stderr != "" {
			t.Errorf("%s: code %d, printed %q, said %q", what, r.Code, r.Stdout, r.Stderr)
		}
	}
	build("a new cache")
	only := func(pattern string) string {
		t.Helper()
		found, _ := filepath.Glob(filepath.Join(cache, pattern))
		if len(found) == 0 {
			t.Fatalf("nothing in the cache is called %s", pattern)
		}
		return found[0]
	}
	spoil := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		build(what)
	}
	spoil("an image cut short", os.Truncate(only("image/*/hello"), 1000))
	spoil("no images", removeAll(only("image")))
	spoil("half a standard library", removeAll(only("goroot/*/src/net")))
	spoil("a file of the system emptied", os.Truncate(only("goroot/*/src/ukvm/kernel/gate.go"), 0))
	spoil("a patched file deleted", os.Remove(only("goroot/*/src/syscall/syscall_linux.go")))
	spoil("no bin", os.Remove(only("goroot/*/bin")))
}

// TestTestCommand runs tests of a module in guests.
func TestTestCommand(t *testing.T) {
	ukvmtest.Command(t)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"go.mod": "module example.org/x\n\ngo 1.25\n",
		"good/good_test.go": `package good

import (
	"os"
	"testing"
)

func TestGuest(t *testing.T) {
	if os.Getpid() != 1 {
		t.Error("not in a guest")
	}
}

func TestData(t *testing.T) {
	b, err := os.ReadFile("testdata/file")
	if err != nil || string(b) != "data" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestEnvironment(t *testing.T) {
	if v := os.Getenv("X"); v != "y" {
		t.Skipf("X is %q", v)
	}
	t.Log("X is y")
}
`,
		"good/testdata/file": "data",
		"bad/bad_test.go":    "package bad\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Error(\"on purpose\") }\n",
		"broken/x_test.go":   "package broken\n\nfunc f() { undefined() }\n",
	})
	for _, c := range []struct {
		line   string
		code   int
		prints []string
	}{
		{"./good", 0, []string{"ok  \texample.org/x/good"}},
		{"-v -count=1 -run=TestGuest ./good", 0, []string{"--- PASS: TestGuest"}},
		{"-e X=y -v ./good", 0, []string{"--- PASS: TestEnvironment", "X is y"}},
		{"./good ./bad", 1, []string{"ok  \texample.org/x/good", "on purpose", "FAIL\texample.org/x/bad"}},
		{"./broken", 1, []string{"[build failed]"}},
		{"-json -run=TestData ./good", 0, []string{`"Action":"pass","Package":"example.org/x/good","Test":"TestData"`}},
	} {
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: append([]string{"test"}, strings.Fields(c.line)...), Dir: dir, Timeout: 10 * time.Minute})
		for _, want := range c.prints {
			if !strings.Contains(r.Stdout, want) {
				t.Errorf("%s: no %q in %q; said %q", c.line, want, r.Stdout, r.Stderr)
			}
		}
		if r.Code != c.code {
			t.Errorf("%s: code %d, want %d; said %q", c.line, r.Code, c.code, r.Stderr)
		}
	}
}

// goVersion is what the go command here says of itself.
func goVersion(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "env", "GOVERSION")
	cmd.Env, cmd.Dir = ukvmtest.Environ(), ukvmtest.Root()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
