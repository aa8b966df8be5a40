package build

import (
	"context"
	"slices"
)

// Test runs `go test` with args, its flags and packages, on a derived GOROOT. Each test binary is an image and is run
// by exec, a command line to which the go command adds the path of the binary and its arguments, in the directory of
// the package. A failure of the tests is a *[CommandError] with the go command's exit code.
func Test(ctx context.Context, cfg Config, exec, args []string) error {
	parsed := parseFlags(slices.Concat(cfg.Flags, args))
	s, err := newSession(&cfg, parsed)
	if err != nil {
		return err
	}
	if _, ok := last(parsed, "exec"); ok {
		return unsupported("-exec is what runs the tests in guests; use go test for another one")
	}
	quoted, err := joinQuoted(exec)
	if err != nil {
		return err
	}
	t, r, err := s.prepare(ctx, s.dir)
	if err != nil {
		return err
	}
	defer r.release()
	// Ours come first, as flags may follow packages and -args ends them.
	command := slices.Concat([]string{"test", "-exec=" + quoted}, s.guestFlags(t), flagStrings(without(s.flags, "trimpath", "tags")))
	return s.run(ctx, t, r, s.dir, command)
}
