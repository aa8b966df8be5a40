package ukvmtest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// defaultTimeout is how long a command may take: much longer than any does, even on a machine with other work.
const defaultTimeout = 2 * time.Minute

// Cmd is a command line to run.
type Cmd struct {
	Path    string        // "" is the ukvm command
	Args    []string      // without the command's name
	Dir     string        // "" is the module's directory
	Env     []string      // added to Environ
	Stdin   io.Reader     // nil is /dev/null
	Stdout  *os.File      // nil is what Result.Stdout collects
	Timeout time.Duration // 0 is two minutes
	UID     uint32        // 0 is the user of the tests
}

// Result is what became of a command.
type Result struct {
	Code           int // as a shell has it: 128+n if signal n has ended it
	Stdout, Stderr string
	Elapsed        time.Duration // wall time
	CPU            time.Duration // user and system time
	MaxRSS         int64         // bytes
}

// Run runs a command to its end.
func Run(t testing.TB, c Cmd) Result {
	t.Helper()
	return Start(t, c).Wait()
}

// Ukvm runs the ukvm command with words.
func Ukvm(t testing.TB, words ...string) Result {
	t.Helper()
	return Run(t, Cmd{Args: words})
}

// Process is a command that runs. It is killed when the test ends.
type Process struct {
	t       testing.TB
	cmd     *exec.Cmd
	out     output
	err     output
	begin   time.Time
	timer   *time.Timer
	expired bool
	done    chan struct{}
	result  Result
	waitErr error
}

// Start starts a command. The test fails if it has not ended when its time is up.
func Start(t testing.TB, c Cmd) *Process {
	t.Helper()
	if c.Path == "" {
		c.Path = Command(t)
	}
	if c.Dir == "" {
		c.Dir = Root()
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	p := &Process{t: t, done: make(chan struct{})}
	p.out.changed, p.err.changed = make(chan struct{}), make(chan struct{})
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Dir, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Dir, c.Stdin, &p.out, &p.err
	if c.Stdout != nil {
		p.cmd.Stdout = c.Stdout
	}
	p.cmd.Env = append(Environ(), c.Env...)
	p.cmd.WaitDelay = 10 * time.Second                      // where a process of its own holds its output open
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's signals are for the tests
	if c.UID != 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.UID, Gid: c.UID}
	}
	p.begin = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	p.timer = time.AfterFunc(c.Timeout, func() {
		mu.Lock()
		p.expired = true
		mu.Unlock()
		p.cmd.Process.Kill()
	})
	go func() {
		p.waitErr = p.cmd.Wait()
		p.timer.Stop()
		mu.Lock()
		expired := p.expired
		mu.Unlock()
		p.finish(expired, c.Timeout)
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// finish fills in the result.
func (p *Process) finish(expired bool, timeout time.Duration) {
	state := p.cmd.ProcessState
	p.result = Result{
		Code: state.ExitCode(), Stdout: p.out.String(), Stderr: p.err.String(),
		Elapsed: time.Since(p.begin), CPU: state.UserTime() + state.SystemTime(),
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		p.result.MaxRSS = usage.Maxrss << 10
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		p.result.Code = 128 + int(status.Signal())
	}
	var exit *exec.ExitError
	switch {
	case expired:
		p.t.Errorf("%q has not ended within %v; it printed\n%s\n%s", p.cmd.Args, timeout, p.result.Stdout, p.result.Stderr)
	case p.waitErr != nil && !errors.As(p.waitErr, &exit):
		p.t.Errorf("%q: %v", p.cmd.Args, p.waitErr)
	}
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal. One that has ended gets none.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// Wait waits for the end.
func (p *Process) Wait() Result {
	<-p.done
	return p.result
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stdout and Stderr are what it has printed so far.
func (p *Process) Stdout() string { return p.out.String() }
func (p *Process) Stderr() string { return p.err.String() }

// Await waits until standard output or error contains text, and fails the test if the process ends first.
func (p *Process) Await(text string) {
	p.t.Helper()
	for {
		out, outChanged := p.out.look()
		err, errChanged := p.err.look()
		if strings.Contains(out, text) || strings.Contains(err, text) {
			return
		}
		select {
		case <-outChanged:
		case <-errChanged:
		case <-p.done:
			if !strings.Contains(p.Stdout(), text) && !strings.Contains(p.Stderr(), text) {
				p.t.Fatalf("%q has ended with code %d without printing %q:\n%s\n%s", p.cmd.Args, p.result.Code, text, p.Stdout(), p.Stderr())
			}
			return
		}
	}
}

// output collects what a process prints.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(b)
}

func (o *output) String() string {
	s, _ := o.look()
	return s
}

func (o *output) look() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String(), o.changed
}
