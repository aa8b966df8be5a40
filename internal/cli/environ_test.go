package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func host(name string) (string, bool) {
	v, ok := map[string]string{"HOME": "/home/ada", "EMPTY": ""}[name]
	return v, ok
}

func TestEnviron(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("# comment\n\nA=1\n  B= two \nHOME\nNONE\nQ=\"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		settings, files, want []string
	}{
		{nil, nil, nil},
		{[]string{"A=1", "B=", "C=x=y"}, nil, []string{"A=1", "B=", "C=x=y"}},
		{[]string{"HOME", "EMPTY", "NONE"}, nil, []string{"HOME=/home/ada", "EMPTY="}},
		{[]string{"A=1", "B=2", "A=3"}, nil, []string{"A=3", "B=2"}},
		{[]string{"B=3"}, []string{file}, []string{"A=1", "B=3", "HOME=/home/ada", "Q=\"x\""}},
	} {
		got, err := Environ(c.settings, c.files, host)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Environ(%q, %q) = %q, %v, want %q", c.settings, c.files, got, err, c.want)
		}
	}
}

func TestEnvironErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("A=1\nexport B=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		settings, files []string
		want            string
	}{
		{[]string{"=x"}, nil, "has no name"},
		{[]string{""}, nil, "has no name"},
		{nil, []string{bad}, "bad:2"},
		{nil, []string{bad + "x"}, "no such file"},
	} {
		if got, err := Environ(c.settings, c.files, host); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Environ(%q, %q) = %q, %v, want %q", c.settings, c.files, got, err, c.want)
		}
	}
}
