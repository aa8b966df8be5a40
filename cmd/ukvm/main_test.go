package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// ukvm runs a command line.
func ukvm(words ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &err, exit: func(code int) { panic("exit") }}
	defer a.close()
	code = a.run(words)
	return code, out.String(), err.String()
}

// file makes a file and returns its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMistakes has command lines that fail before anything is built or run.
func TestMistakes(t *testing.T) {
	t.Setenv("UKVM_CACHE", t.TempDir())
	text := file(t, "#!/bin/sh\n")
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"frobnicate", 125, "ukvm run frobnicate"},
		{"bulid", 125, "is it build?"},
		{"help frobnicate", 125, "no command"},
		{"--frob", 125, "--help"},
		{"version x", 125, "takes no arguments"},
		{"run", 125, "name an image or a Go package"},
		{"run --frob x", 125, "unknown flag: --frob"},
		{"run -z x", 125, "unknown shorthand flag: 'z'"},
		{"run -m", 125, "needs an argument"},
		{"run -m 1M x", 125, "too small"},
		{"run -m lots x", 125, "is not a size"},
		{"run -p 80 x", 125, "write -p 80:80"},
		{"run -p 80:80 --net none x", 125, "add --net user"},
		{"run --net bridge x", 125, "user, tap=NAME, packet=IFACE or none"},
		{"run -e =1 x", 125, "has no name"},
		{"run --env-file /nonexistent x", 125, "no such file"},
		{"run --copy here x", 125, "write HOST:GUEST"},
		{"run --copy /nonexistent:/x x", 125, "no such file"},
		{"run --stop-timeout soon x", 125, "--stop-timeout"},
		{"run -C /nonexistent x", 125, "no such file"},
		{"run ./x arg", 125, "ukvm run ./x -- arg"},
		{"run -tags x " + text, 125, "is built already"},
		{"run /nonexistent", 127, "does not exist"},
		{"run ./nonexistent.go", 127, "does not exist"},
		{"run /dev/null", 126, "is not a file"},
		{"test -m 1M .", 125, "too small"},
		{"test -m", 125, "needs an argument"},
		{"test -coverprofile=c.out .", 125, "-coverprofile"},
		{"test ./... -test.cpuprofile c.out", 125, "-cpuprofile"},
		{"test -fuzz Parse", 125, "-fuzz"},
		{"test-exec", 125, "test binary"},
		{"completion", 125, "bash, zsh, fish or powershell"},
		{"completion csh", 125, "bash, zsh, fish or powershell"},
	} {
		code, stdout, stderr := ukvm(strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("ukvm %s: code %d, said %q and printed %q, want code %d and %q", c.line, code, stderr, stdout, c.code, c.want)
		}
		if !strings.HasPrefix(stderr, "ukvm: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("ukvm %s: said %q, not one sentence of ukvm's", c.line, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	_, all, _ := ukvm()
	for _, words := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		if code, out, err := ukvm(words...); code != 0 || out != all || err != "" {
			t.Errorf("ukvm %q: code %d, %q, %q", words, code, out, err)
		}
	}
	for _, name := range []string{"run", "build", "test", "env", "doctor", "version", "completion"} {
		if !strings.Contains(all, "  "+name+" ") {
			t.Errorf("%s is not in the help text", name)
		}
		_, want, _ := ukvm("help", name)
		code, out, err := ukvm(name, "--help")
		if code != 0 || out != want || err != "" {
			t.Errorf("ukvm %s --help: code %d, %q, %q", name, code, out, err)
		}
		for _, part := range []string{"\nUsage:\n  ukvm " + name, "\nExample:\n  "} {
			if !strings.Contains(out, part) {
				t.Errorf("ukvm %s --help has no %q", name, part)
			}
		}
		for line := range strings.Lines(out) {
			if len(line) > helpWidth+1 {
				t.Errorf("ukvm %s --help: too long: %q", name, line)
			}
		}
	}
	if strings.Contains(all, testExec) {
		t.Errorf("%s is shown", testExec)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, script, stderr := ukvm("completion", shell)
		if code != 0 || stderr != "" || !strings.Contains(script, "ukvm") || !strings.Contains(script, cobra.ShellCompRequestCmd) {
			t.Errorf("%s: code %d, %q, %d bytes", shell, code, stderr, len(script))
			continue
		}
		path, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue
		}
		check := exec.Command(path, "-n", file(t, script))
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s does not take the script: %v\n%s", shell, err, out)
		}
	}
	for line, want := range map[string]string{
		"do": "doctor", "run --st": "--stats", "completion po": "powershell", "build -": "--output",
	} {
		_, out, _ := ukvm(append([]string{cobra.ShellCompRequestCmd}, strings.Fields(line)...)...)
		if !strings.Contains(out, want) {
			t.Errorf("%q is completed to %q, want %q", line, out, want)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Setenv("PATH", "/nonexistent")
	code, out, _ := ukvm("version")
	if code != 0 || !strings.HasPrefix(out, "ukvm       ") || !strings.Contains(out, "\ngo         none: ") {
		t.Errorf("code %d, %q", code, out)
	}
	code, out, _ = ukvm("version", "-json")
	var v versions
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v.Version == "" || v.Interface == 0 || v.GoError == "" {
		t.Errorf("code %d, %q, %v", code, out, err)
	}
}

func TestPrepare(t *testing.T) {
	for line, want := range map[string]struct{ flags, words string }{
		"run -tags a ./x -net none -- -tags b": {"-tags a", "run ./x --net none -- -tags b"},
		"run --json -race x":                   {"-race", "run --json x"},
		"build -json -ldflags=-s -o f x":       {"-json -ldflags=-s", "build -o f x"},
		"env -json -mod=mod":                   {"-mod=mod", "env --json"},
		"test -tags a -m 2G":                   {"", "test -tags a -m 2G"},
		"doctor -json":                         {"", "doctor --json"},
		"-h":                                   {"", "-h"},
		"__complete run -tags":                 {"", "__complete run -tags"},
	} {
		a := &app{}
		words := a.prepare(a.rootCommand(), strings.Fields(line))
		if !slices.Equal(a.goFlags, strings.Fields(want.flags)) || !slices.Equal(words, strings.Fields(want.words)) {
			t.Errorf("%s: flags %q and %q, want %q and %q", line, a.goFlags, words, want.flags, want.words)
		}
	}
}

func TestLeadingFlags(t *testing.T) {
	for line, want := range map[string][2]string{
		"-v ./...":                         {"", "-v ./..."},
		"-m 2G -v -m 3G":                   {"-m 2G", "-v -m 3G"},
		"-mod=mod ./...":                   {"", "-mod=mod ./..."},
		"-e A=1 --net=user -net user -q .": {"-e A=1 --net=user --net user -q", "."},
		"--copy a:/b -exec x":              {"--copy a:/b", "-exec x"},
		"-trace out -json":                 {"", "-trace out -json"},
		"-m":                               {"-m", ""},
	} {
		var g guestFlags
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		g.register(fs, testMemory, testNet, "")
		own, rest := leadingFlags(fs, strings.Fields(line))
		if !slices.Equal(own, strings.Fields(want[0])) || !slices.Equal(rest, strings.Fields(want[1])) {
			t.Errorf("%s: %q and %q, want %q", line, own, rest, want)
		}
	}
}

// TestWords checks that flags handed on mean the same in another directory.
func TestWords(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var g, again guestFlags
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	g.register(fs, testMemory, testNet, "")
	if err := fs.Parse(strings.Fields("-m 2G -e A=1 -e B --env-file e --copy x/:/y/ --copy /a:/b --net user --dns 9.9.9.9 --firewall f.fw --host-loopback --stats -q")); err != nil {
		t.Fatal(err)
	}
	words, err := g.words()
	if err != nil {
		t.Fatal(err)
	}
	fs = pflag.NewFlagSet("test", pflag.ContinueOnError)
	again.register(fs, testMemory, testNet, "")
	if err := fs.Parse(words); err != nil {
		t.Fatal(err)
	}
	g.envFiles, g.copies, g.firewall = []string{dir + "/e"}, []string{dir + "/x:/y/", "/a:/b"}, dir+"/f.fw"
	if a, b := dump(t, &g), dump(t, &again); a != b {
		t.Errorf("%s became %s", a, b)
	}
}

func dump(t *testing.T, g *guestFlags) string {
	t.Helper()
	return strings.Join(slices.Concat([]string{g.memory, g.firewall}, g.env, g.envFiles, g.copies, g.nets, g.dns), " ") +
		strings.Repeat("!", map[bool]int{true: 1}[g.hostLoopback]+map[bool]int{true: 1}[g.stats]+map[bool]int{true: 1}[g.quiet])
}

func TestTestEnviron(t *testing.T) {
	got := testEnviron([]string{"PATH=/bin", "GOROOT=/go", "GO_X=1", "GOPATH=/p", "SECRET=1", "TZ=UTC"}, "/src/p", []string{"HOME=/home/x"})
	if want := []string{"TMPDIR=/tmp", "PWD=/src/p", "GOROOT=/go", "GO_X=1", "TZ=UTC"}; !slices.Equal(got, want) {
		t.Errorf("environment is %q, want %q", got, want)
	}
}

func TestGoMessages(t *testing.T) {
	var out strings.Builder
	m := &goMessages{w: &out}
	for _, part := range []string{"go: downlo", "ading x v1\n# pkg\ngo: no required module", " provides x; to add it:\n\tgo get x\nmore"} {
		if n, err := m.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "go: downloading x v1\n"; out.String() != want {
		t.Errorf("shown at once: %q, want %q", out.String(), want)
	}
	if got, want := m.reason(), "no required module provides x; to add it: go get x"; got != want {
		t.Errorf("reason is %q, want %q", got, want)
	}
	if m.sentence() {
		t.Error("several lines are a sentence")
	}
	one := &goMessages{w: &out, quiet: true}
	fmt.Fprint(one, "go: downloading x v1\ngo: no main packages to build\n")
	if !one.sentence() || one.reason() != "no main packages to build" {
		t.Errorf("one line is no sentence: %q", one.reason())
	}
	m.release()
	if !strings.HasSuffix(out.String(), "# pkg\ngo: no required module provides x; to add it:\n\tgo get x\nmore") {
		t.Errorf("shown in the end: %q", out.String())
	}
}

func TestShellQuote(t *testing.T) {
	got, err := exec.Command("sh", "-c", "printf %s "+shellQuote("it's $HOME\n\"x\"")).Output()
	if err != nil || string(got) != "it's $HOME\n\"x\"" {
		t.Errorf("the shell reads %q, %v", got, err)
	}
}
