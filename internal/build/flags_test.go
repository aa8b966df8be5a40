package build

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseFlags(t *testing.T) {
	got := parseFlags([]string{"-v", "--tags", "a,b", "-ldflags=-s -w", "./...", "-run", "-x", "-count", "1", "-args", "-tags", "c"})
	want := []string{"-v", "-tags=a,b", "-ldflags=-s -w", "./...", "-run=-x", "-count=1", "-args", "-tags", "c"}
	if s := flagStrings(got); !slices.Equal(s, want) {
		t.Errorf("%q", s)
	}
	if v, _ := last(got, "tags"); v != "a,b" {
		t.Errorf("tags %q", v)
	}
	if s := flagStrings(without(got, "tags", "v")); slices.Contains(s, "-v") || len(s) != len(want)-2 {
		t.Errorf("without: %q", s)
	}
}

func TestSplitFlags(t *testing.T) {
	args := []string{"-p", "80:80", "-tags", "a", "./app", "-m=64M", "--ldflags=-s -w", "-race", "tags", "--", "-tags", "b"}
	flags, rest := SplitFlags(args)
	if want := []string{"-tags", "a", "--ldflags=-s -w", "-race"}; !slices.Equal(flags, want) {
		t.Errorf("flags %q", flags)
	}
	if want := []string{"-p", "80:80", "./app", "-m=64M", "tags", "--", "-tags", "b"}; !slices.Equal(rest, want) {
		t.Errorf("rest %q", rest)
	}
}

func TestMergeTags(t *testing.T) {
	for args, want := range map[string]string{
		"":                          "ukvm",
		"-tags=a":                   "a,ukvm",
		"-tags=a|-tags=b,c":         "b,c,ukvm",
		"-tags=a b":                 "a,b,ukvm",
		"-tags|a,ukvm":              "a,ukvm",
		"-tags=":                    "ukvm",
		"-trimpath|-tags=netgo,a,a": "netgo,a,ukvm",
	} {
		if got := mergeTags(parseFlags(strings.FieldsFunc(args, func(r rune) bool { return r == '|' }))); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func TestRefuse(t *testing.T) {
	for args, refused := range map[string]bool{
		"-race": true, "-race=true": true, "-msan": true, "-asan": true, "-linkshared": true, "-buildmode=pie": true,
		"-buildmode c-archive": true, "-compiler=gccgo": true, "-n": true,
		"-race=false": false, "-race -race=false": false, "-buildmode=exe": false, "-cover": false, "-compiler gc": false,
	} {
		err := refuse(parseFlags(strings.Fields(args)))
		if errors.Is(err, ErrUnsupported) != refused {
			t.Errorf("%s: %v", args, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than a sentence: %v", args, err)
		}
	}
}

func TestAbsoluteFiles(t *testing.T) {
	flags := parseFlags([]string{"-modfile=x.mod", "-pgo=auto", "-pgo=p", "-overlay", "/o", "-tags=a"})
	want := []string{"-modfile=/d/x.mod", "-pgo=auto", "-pgo=/d/p", "-overlay=/o", "-tags=a"}
	if got := flagStrings(absoluteFiles(flags, "/d")); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestQuoted(t *testing.T) {
	for _, fields := range [][]string{
		nil, {"a"}, {"a", "b c"}, {"", "x"}, {`it's`}, {`say "x"`}, {"-exec=/a b/c", "tab\there"},
	} {
		s, err := joinQuoted(fields)
		if err != nil {
			t.Error(err)
		}
		if got, err := splitQuoted(s); err != nil || !slices.Equal(got, fields) {
			t.Errorf("%q: %s: %q, %v", fields, s, got, err)
		}
	}
	if _, err := joinQuoted([]string{`a'b"c`}); err == nil {
		t.Error("no error for both kinds of quotes")
	}
	if _, err := splitQuoted(`a 'b`); err == nil {
		t.Error("no error for an open quote")
	}
}

func TestToolchainCheck(t *testing.T) {
	root := goroot(t)
	ok := goSettings{GOOS: "linux", GOARCH: "amd64", GOHOSTOS: "linux", GOHOSTARCH: "amd64"}
	for _, c := range []struct {
		version      string
		goos, goarch string
		refused      bool
	}{
		{"go1.25.0", "linux", "amd64", false},
		{"go1.26.8 X:nodwarf5", "linux", "amd64", false},
		{"devel go1.28-0123456789 Mon", "linux", "amd64", false},
		{"go1.27-devel_0123", "linux", "amd64", false},
		{"go1.24.9", "linux", "amd64", true},
		{"go1.9", "linux", "amd64", true},
		{"unknown", "linux", "amd64", true},
		{"go1.26.0", "windows", "amd64", true},
		{"go1.26.0", "linux", "arm64", true},
	} {
		tc := Toolchain{Version: c.version, Root: root, settings: ok}
		tc.settings.GOOS, tc.settings.GOARCH = c.goos, c.goarch
		if err := tc.check(); errors.Is(err, ErrUnsupported) != c.refused {
			t.Errorf("%s %s/%s: %v", c.version, c.goos, c.goarch, err)
		}
	}
}
