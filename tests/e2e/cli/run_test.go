package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

// pipePath is where another process can open a pipe of this one.
func pipePath(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		arguments string
		code      int
		says      string // how standard error begins
	}{
		{"exit 0", 0, ""},
		{"exit 1", 1, ""},
		{"exit 125", 125, ""},
		{"exit 255", 255, ""},
		{"exit 256", 0, ""},
		{"exit -1", 255, ""},
		{"panic", 2, "panic: on purpose\n\ngoroutine 1 "},
		{"kill 15", 143, ""},
		{"kill 1", 129, ""},
		{"kill 9", 137, "ukvm: the program was ended by signal 9 (killed)\n"},
	} {
		r := run(t, nil, strings.Fields(c.arguments)...)
		if r.Code != c.code || r.Stdout != "" || !strings.HasPrefix(r.Stderr, c.says) || c.says == "" && r.Stderr != "" {
			t.Errorf("%s: code %d, printed %q, said %q", c.arguments, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// TestStreams checks that the program's streams are ukvm's, to the byte, and that ukvm's own words go to standard error.
func TestStreams(t *testing.T) {
	r := run(t, nil, "streams")
	if r.Stdout != "this is standard output\n" || r.Stderr != "this is standard error\nno newline at the end" {
		t.Errorf("printed %q, said %q", r.Stdout, r.Stderr)
	}
	r = run(t, []string{"--stats"}, "streams")
	stats := "this is standard error\nno newline at the endukvm: time "
	if r.Stdout != "this is standard output\n" || !strings.HasPrefix(r.Stderr, stats) || !strings.Contains(r.Stderr, "\nukvm: exits     ") {
		t.Errorf("with --stats: printed %q, said %q", r.Stdout, r.Stderr)
	}
	r = run(t, []string{"--trace"}, "streams")
	traced := false
	for line := range strings.Lines(r.Stderr) {
		traced = traced || strings.HasPrefix(line, "ukvm: ") && strings.Contains(line, "call number=")
	}
	if r.Stdout != "this is standard output\n" || !traced {
		t.Errorf("with --trace: printed %q, said %q", r.Stdout, r.Stderr)
	}
}

// TestJSON checks that --stats and --trace are JSON objects, one a line, on request.
func TestJSON(t *testing.T) {
	r := run(t, []string{"--json", "--stats", "--trace"}, "exit", "3")
	if r.Code != 3 || r.Stdout != "" {
		t.Errorf("code %d, printed %q", r.Code, r.Stdout)
	}
	var last map[string]any
	calls := 0
	for line := range strings.Lines(r.Stderr) {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if last["msg"] == "call" {
			calls++
		}
	}
	if last["exits"].(float64) <= 0 || last["memory_bytes"].(float64) != 64<<20 || last["run_seconds"].(float64) <= 0 || calls == 0 {
		t.Errorf("counters %v, %d calls", last, calls)
	}
}

// TestStdin pipes bytes of every value through a program, and gives it none.
func TestStdin(t *testing.T) {
	all := make([]byte, 300_000)
	for i := range all {
		all[i] = byte(i ^ i>>8)
	}
	cat := func(in io.Reader, flags ...string) ukvmtest.Result {
		return ukvmtest.Run(t, ukvmtest.Cmd{Args: words(t, flags, []string{"cat"}), Stdin: in})
	}
	r := cat(bytes.NewReader(all))
	if r.Stdout != string(all) || r.Stderr != "300000 bytes, <nil>\n" {
		t.Errorf("%d bytes came back, said %q", len(r.Stdout), r.Stderr)
	}
	for name, r := range map[string]ukvmtest.Result{
		"nothing": cat(nil), "-i=false": cat(strings.NewReader("secret"), "-i=false"), "--stdin=false": cat(strings.NewReader("secret"), "--stdin=false"),
	} {
		if r.Code != 0 || r.Stdout != "" || r.Stderr != "0 bytes, <nil>\n" {
			t.Errorf("%s: code %d, printed %q, said %q", name, r.Code, r.Stdout, r.Stderr)
		}
	}
	if r := cat(strings.NewReader("x"), "-i"); r.Stdout != "x" {
		t.Errorf("-i: printed %q, said %q", r.Stdout, r.Stderr)
	}
}

// TestSurroundings checks what a program finds around it, and that nothing of the host's is among it.
func TestSurroundings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	writeFiles(t, filepath.Dir(file), map[string]string{"env": "# comment\nFILE=from file\nBOTH=file\nQUOTED=\"q\"\nUKVM_TEST_HOST\n\n"})
	image := guest(t)
	for _, c := range []struct {
		flags []string
		want  []string
	}{
		{nil, []string{fmt.Sprintf("args %q", []string{image, "where", "a b", "", "--", "-x"}), "dir /", "host ukvm"}},
		{[]string{"--dir", "/tmp", "--hostname", "box", "--name", "other"}, []string{"dir /tmp", "host box"}},
		{[]string{"--name", "other", "--dir", "/made/for/it"}, []string{"host other", "dir /made/for/it"}},
		{[]string{"-e", "A=1", "-e", "B=x=y z", "-e", "UKVM_TEST_HOST", "-e", "UKVM_TEST_NOT_THERE", "-e", "EMPTY="},
			[]string{`env "A=1"`, `env "B=x=y z"`, `env "UKVM_TEST_HOST=host's"`, `env "EMPTY="`}},
		{[]string{"--env-file", file, "-e", "BOTH=flag"},
			[]string{`env "FILE=from file"`, `env "BOTH=flag"`, `env "QUOTED=\"q\""`, `env "UKVM_TEST_HOST=host's"`}},
		{[]string{"-e", "GOMEMLIMIT=off"}, []string{`env "GOMEMLIMIT=off"`}},
	} {
		r := ukvmtest.Run(t, ukvmtest.Cmd{Args: words(t, c.flags, []string{"where", "a b", "", "--", "-x"}), Env: []string{"UKVM_TEST_HOST=host's"}})
		if r.Code != 0 {
			t.Errorf("%q: code %d, said %q", c.flags, r.Code, r.Stderr)
			continue
		}
		lines := strings.Split(strings.TrimSuffix(r.Stdout, "\n"), "\n")
		for _, want := range c.want {
			if !strings.Contains("\n"+r.Stdout, "\n"+want+"\n") {
				t.Errorf("%q: no %s in %q", c.flags, want, r.Stdout)
			}
		}
		settings := 0
		for _, line := range lines {
			if strings.HasPrefix(line, "env ") {
				settings++
			}
		}
		expected := 1 // GOMEMLIMIT
		for _, want := range c.want {
			if strings.HasPrefix(want, "env ") && !strings.HasPrefix(want, `env "GOMEMLIMIT`) {
				expected++
			}
		}
		if settings != expected {
			t.Errorf("%q: %d settings in %q, want %d", c.flags, settings, r.Stdout, expected)
		}
	}
}

// TestCopy copies files, directories and links into the guest.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"site/index.html": "<p>", "site/deep/er/file": "deep", "one": "1"})
	if err := os.Symlink("index.html", filepath.Join(dir, "site/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "one"), 0o750); err != nil {
		t.Fatal(err)
	}
	r := run(t, []string{"--copy", dir + "/site:/srv/site", "--copy", dir + "/one:/etc/one", "--copy", dir + "/one:/a/b/c"}, "files", "/srv", "/etc/one", "/a")
	want := `drwxr-xr-x /srv
drwxr-xr-x /srv/site
drwxr-xr-x /srv/site/deep
drwxr-xr-x /srv/site/deep/er
-rw-r--r-- /srv/site/deep/er/file "deep" <nil>
-rw-r--r-- /srv/site/index.html "<p>" <nil>
link /srv/site/link -> index.html <nil>
-rwxr-x--- /etc/one "1" <nil>
drwxr-xr-x /a
drwxr-xr-x /a/b
-rwxr-x--- /a/b/c "1" <nil>
`
	if r.Code != 0 || r.Stdout != want || r.Stderr != "" {
		t.Errorf("code %d, said %q, printed\n%swant\n%s", r.Code, r.Stderr, r.Stdout, want)
	}
	if r := run(t, nil, "files", dir); r.Code != 1 || !strings.Contains(r.Stderr, "no such file") {
		t.Errorf("without --copy: code %d, said %q", r.Code, r.Stderr)
	}
}

// TestManyAtOnce runs guests beside one another, each its own process.
func TestManyAtOnce(t *testing.T) {
	var all []*ukvmtest.Process
	for i := range 12 {
		all = append(all, start(t, nil, "exit", fmt.Sprint(i)))
	}
	for i, p := range all {
		if r := p.Wait(); r.Code != i || r.Stderr != "" {
			t.Errorf("guest %d: code %d, said %q", i, r.Code, r.Stderr)
		}
	}
}
