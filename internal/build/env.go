package build

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Env returns the settings ("NAME=value") with which a plain `go build` in cfg's directory produces an image, and makes
// the derived GOROOT if need be. They are good until 30 days have passed without a use of this package, or another Go
// toolchain or ukvm is installed.
//
// If the go command in PATH is of another release than the toolchain that the directory asks for, PATH is among them.
func Env(ctx context.Context, cfg Config) ([]string, error) {
	s, err := newSession(&cfg, parseFlags(cfg.Flags))
	if err != nil {
		return nil, err
	}
	t, r, err := s.prepare(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	defer r.release()
	fields, err := splitQuoted(t.settings.GOFLAGS)
	if err != nil {
		return nil, err
	}
	flags := append(without(parseFlags(fields), "trimpath", "tags"), parseFlags(s.guestFlags(t))...)
	goflags, err := joinQuoted(flagStrings(flags))
	if err != nil {
		return nil, err
	}
	settings := append(r.settings(), "GOFLAGS="+goflags)

	var plain goSettings
	if err := s.ask(ctx, os.TempDir(), &plain, "GOTOOLCHAIN=local", "GOROOT=", "GOWORK=off"); err != nil {
		return nil, err
	}
	if plain.GOVERSION != t.Version {
		path := []string{filepath.Join(r.dir, "bin")}
		for _, d := range filepath.SplitList(getenv(s.env, "PATH")) {
			if d != path[0] {
				path = append(path, d)
			}
		}
		settings = append(settings, "PATH="+strings.Join(path, string(filepath.ListSeparator)))
	}
	return settings, nil
}
