package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ukvm.dev"
)

// Config says what to build with. The zero value builds in the current directory as `go build` would. A Config is not
// changed by use and may be used by several goroutines at once if its writers may.
type Config struct {
	Dir   string   // where the go command runs; "" is the current directory (-C in Flags comes on top)
	Env   []string // its environment; nil is that of this process
	Flags []string // flags of go build, as the user gave them
	Go    string   // the user's go command; "" is go, looked up in PATH
	Cache string   // "" is UKVM_CACHE in Env, or else ukvm in the user's cache directory

	Stdin    io.Reader // of the tests' exec command; nil is empty
	Stdout   io.Writer // what the go command prints; nil discards it
	Stderr   io.Writer // its messages, as they come; nil leaves them to CommandError
	Progress io.Writer // one line at a time about work that takes seconds; may be nil

	// Source is the operating system's source, with the directories guest and hypercall; nil is the one of this module.
	Source fs.FS
}

// source is c.Source or its default.
func (c *Config) source() fs.FS {
	if c.Source != nil {
		return c.Source
	}
	return ukvm.Source
}

// dir is c.Dir as an absolute path.
func (c *Config) dir() (string, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	return dir, nil
}

// environ is c.Env or its default.
func (c *Config) environ() []string {
	if c.Env != nil {
		return c.Env
	}
	return os.Environ()
}

// CacheDir returns where everything is kept.
func (c *Config) CacheDir() (string, error) {
	env := c.environ()
	if c.Cache != "" {
		return filepath.Abs(c.Cache)
	}
	if dir := getenv(env, "UKVM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := getenv(env, "XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ukvm"), nil
	}
	if home := getenv(env, "HOME"); home != "" {
		return filepath.Join(home, ".cache", "ukvm"), nil
	}
	return "", errors.New("no cache directory: set UKVM_CACHE or HOME")
}

// progress writes a line to c.Progress.
func (c *Config) progress(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, format+"\n", args...)
	}
}

// getenv returns the value of the last setting of a variable in env.
func getenv(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// setenv returns env with the settings ("NAME=value") added, in place of any other of these names.
func setenv(env []string, settings ...string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if !named(settings, name) {
			out = append(out, kv)
		}
	}
	return append(out, settings...)
}

func named(settings []string, name string) bool {
	for _, s := range settings {
		if strings.HasPrefix(s, name+"=") {
			return true
		}
	}
	return false
}
