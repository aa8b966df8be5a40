package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A command is a run of a go command.
type command struct {
	path   string
	args   []string // args[0] names the subcommand
	dir    string
	env    []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// Times a go command is given.
const (
	interruptGrace = 3 * time.Second // to remove its work directory, after an interrupt
	maxOutput      = 64 << 10        // bytes of its messages that an error keeps
)

// run runs the command in a process group of its own and waits for it. When ctx is done the whole group is interrupted,
// and killed if it has not ended soon after. A failure is a *CommandError.
func (c *command) run(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	kept := tail{limit: maxOutput}
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir = c.dir
	cmd.Env = setenv(c.env, "PWD="+c.dir)
	cmd.Stdin, cmd.Stdout = c.stdin, c.stdout
	cmd.Stderr = &kept
	if c.stderr != nil {
		cmd.Stderr = io.MultiWriter(c.stderr, &kept)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = interruptGrace // for the pipes, should a process survive that holds them
	err := cmd.Start()
	if err == nil {
		stop := watch(ctx, cmd.Process.Pid)
		err = cmd.Wait()
		stop()
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	e := &CommandError{
		Command:  filepath.Base(c.path) + " " + c.args[0],
		ExitCode: -1,
		Output:   kept.String(),
		Shown:    c.stderr != nil,
		Err:      err,
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		e.ExitCode = exit.ExitCode()
	}
	return e
}

// watch ends process group pid when ctx is done. The returned function ends the watch.
func watch(ctx context.Context, pid int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		syscall.Kill(-pid, syscall.SIGINT)
		select {
		case <-done:
		case <-time.After(interruptGrace):
		}
		syscall.Kill(-pid, syscall.SIGKILL) // also what the go command has left behind
	}()
	return func() {
		close(done)
		<-ended
	}
}

// output runs the command and returns what it prints.
func (c *command) output(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	c.stdout = &out
	err := c.run(ctx)
	return out.Bytes(), err
}

// A tail keeps the end of what is written to it.
type tail struct {
	limit int
	buf   []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// String is what is kept, from the start of a line.
func (t *tail) String() string {
	s := string(t.buf)
	if t.cut {
		_, s, _ = strings.Cut(s, "\n")
		s = "…\n" + s
	}
	return s
}

// lookGo finds the user's go command in the PATH of env.
func lookGo(env []string, name, dir string) (string, error) {
	if name == "" {
		name = "go"
	}
	if strings.ContainsRune(name, '/') {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	for _, d := range filepath.SplitList(getenv(env, "PATH")) {
		if !filepath.IsAbs(d) {
			continue // as exec.LookPath refuses it
		}
		if path, err := exec.LookPath(filepath.Join(d, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find the go command: no %s in PATH; install Go 1.25 or later", name)
}
