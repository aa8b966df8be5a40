package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A session is one call of this package: a Config with its defaults filled in.
type session struct {
	cfg       *Config
	env       []string
	dir       string // where the go command runs, absolute
	cache     string
	goCommand string   // the user's, absolute
	flags     []goFlag // the user's, without -C
}

// newSession fills in the defaults. flags are those of the command line; -C is taken out of them.
func newSession(cfg *Config, flags []goFlag) (*session, error) {
	s := &session{cfg: cfg, env: cfg.environ(), flags: without(flags, "C")}
	var err error
	if s.dir, err = cfg.dir(); err != nil {
		return nil, err
	}
	if c, ok := last(flags, "C"); ok {
		if !filepath.IsAbs(c) {
			c = filepath.Join(s.dir, c)
		}
		s.dir = c
	}
	if info, err := os.Stat(s.dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("build in %s: it is no directory", s.dir)
	}
	if s.cache, err = cfg.CacheDir(); err != nil {
		return nil, err
	}
	s.goCommand, err = lookGo(s.env, cfg.Go, s.dir)
	return s, err
}

// prepare resolves the toolchain as the user's go command does in dir, refuses what guests cannot do, and returns the
// derived GOROOT, which the caller releases.
func (s *session) prepare(ctx context.Context, dir string) (Toolchain, *root, error) {
	t, err := s.resolve(ctx, dir)
	if err != nil {
		return t, nil, err
	}
	if err := refuse(s.effective(t)); err != nil {
		return t, nil, err
	}
	p, err := newPlan(t, s.cfg.source())
	if err != nil {
		return t, nil, err
	}
	r, err := s.openRoot(ctx, p)
	return t, r, err
}

// effective are the flags in effect: those of GOFLAGS and then the command line's.
func (s *session) effective(t Toolchain) []goFlag {
	fields, _ := splitQuoted(t.settings.GOFLAGS) // the go command itself complains
	return append(parseFlags(fields), s.flags...)
}

// settings are the environment variables that make the go command build images with a derived GOROOT.
func (r *root) settings() []string {
	return []string{"GOROOT=" + r.dir, "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}
}

// guestFlags are the flags that all guests are built with, merged with the user's of the same name. They go behind
// those of the user, which the last wins over.
func (s *session) guestFlags(t Toolchain) []string {
	return []string{"-trimpath", "-tags=" + mergeTags(s.effective(t))}
}

// run runs the go command of t on r. args[0] is the subcommand.
func (s *session) run(ctx context.Context, t Toolchain, r *root, dir string, args []string, env ...string) error {
	c := command{
		path:   t.command(),
		args:   args,
		dir:    dir,
		env:    setenv(s.env, append(r.settings(), env...)...),
		stdin:  s.cfg.Stdin,
		stdout: s.cfg.Stdout,
		stderr: s.cfg.Stderr,
	}
	return c.run(ctx)
}

// slow is after how long a build that prints nothing is explained.
const slow = 3 * time.Second

// explainSlow explains a long build. The returned function ends that.
func (s *session) explainSlow(packages []string) (stop func()) {
	if s.cfg.Progress == nil {
		return func() {}
	}
	what := "the program"
	if len(packages) > 0 {
		what = strings.Join(packages, " ")
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-time.After(slow):
			s.cfg.progress("building %s; the first time with new settings compiles the standard library too", what)
		case <-done:
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
