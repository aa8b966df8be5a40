package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// Environ makes a guest's environment of what -e and --env-file say: the files' lines first, then the settings. Both are
// NAME=VALUE, or NAME alone for the value that host has for it; if it has none, neither has the guest. Of several values for
// a name the last counts.
func Environ(settings, files []string, host func(string) (string, bool)) ([]string, error) {
	var all []string
	for _, file := range files {
		lines, err := envFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	for _, s := range settings {
		if name, _, _ := strings.Cut(s, "="); name == "" {
			return nil, fmt.Errorf("-e %q has no name: write NAME=VALUE, or NAME for the host's value", s)
		}
	}
	all = append(all, settings...)

	var env []string
	place := map[string]int{} // of a name in env
	for _, s := range all {
		name, _, ok := strings.Cut(s, "=")
		if !ok {
			value, found := host(name)
			if !found {
				continue
			}
			s = name + "=" + value
		}
		if i, ok := place[name]; ok {
			env[i] = s
			continue
		}
		place[name] = len(env)
		env = append(env, s)
	}
	return env, nil
}

// envFile returns the settings in a file, one a line. Empty lines and lines that begin with # are left out. Values are
// taken as they are, quotes included.
func envFile(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read --env-file: %w", err)
	}
	defer f.Close()
	var lines []string
	in := bufio.NewScanner(f)
	for number := 1; in.Scan(); number++ {
		line := strings.TrimLeft(in.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		if key, _, _ := strings.Cut(line, "="); key == "" || strings.ContainsAny(key, " \t") {
			return nil, fmt.Errorf("read --env-file: %s:%d: %q is no name: write NAME=VALUE", name, number, key)
		}
		lines = append(lines, line)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read --env-file %s: %w", name, err)
	}
	return lines, nil
}
