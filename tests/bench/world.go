package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// world is what benches share: the ukvm command and the images, built once.
type world struct {
	n      int
	bench  string // the one that runs
	root   string // the module's directory
	dir    string // temporary files
	ukvm   string
	images map[string]string
}

func newWorld(n int) (*world, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "ukvm.dev").Output()
	if err != nil {
		return nil, fmt.Errorf("run it inside the ukvm.dev module: %w", err)
	}
	w := &world{n: n, root: strings.TrimSpace(string(out)), images: map[string]string{}}
	if w.dir, err = os.MkdirTemp("", "ukvm-bench-"); err != nil {
		return nil, err
	}
	w.ukvm = filepath.Join(w.dir, "ukvm")
	build := exec.Command("go", "build", "-o", w.ukvm, "./cmd/ukvm")
	build.Dir, build.Env = w.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		w.close()
		return nil, fmt.Errorf("build ukvm: %w\n%s", err, out)
	}
	return w, nil
}

func (w *world) close() { os.RemoveAll(w.dir) }

// image builds an image of a package of this module.
func (w *world) image(pkg string) (string, error) {
	if path := w.images[pkg]; path != "" {
		return path, nil
	}
	path := filepath.Join(w.dir, strings.ReplaceAll(pkg, "/", "-"))
	build := exec.Command(w.ukvm, "build", "-o", path, "./"+pkg)
	build.Dir, build.Stderr = w.root, os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	w.images[pkg] = path
	return path, nil
}

// row makes a row of the bench that runs.
func (w *world) row(contender string, values []float64, unit string) row {
	return row{Bench: w.bench, Contender: contender, Value: median(values), Unit: unit, N: len(values)}
}

// against compares a row with its peer's values.
func (r row) against(peer string, values []float64) row {
	r.Peer, r.Ratio = peer, r.Value/median(values)
	return r
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Processors: what is measured runs on one, what puts a load on it on another.
const (
	serverCPU = 0
	loadCPU   = 1
)

// pinned runs f on a thread whose processes run on one processor only.
func pinned(cpu int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return err
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("this needs processors %d and %d: %w", serverCPU, loadCPU, err)
	}
	defer unix.SchedSetaffinity(0, &old)
	return f()
}

// output runs a command on a processor and returns what it prints; cpu < 0 is any.
func output(cpu int, env []string, words ...string) (out string, elapsed time.Duration, err error) {
	if cpu < 0 {
		return outputIn("", env, words...)
	}
	err = pinned(cpu, func() (err error) {
		out, elapsed, err = outputIn("", env, words...)
		return err
	})
	return out, elapsed, err
}

// outputIn runs a command in a directory.
func outputIn(dir string, env []string, words ...string) (string, time.Duration, error) {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	err := cmd.Run()
	elapsed := time.Since(begin)
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, stderr.String())
	}
	return stdout.String(), elapsed, err
}

// number is output of a program that prints a number.
func number(cpu int, env []string, words ...string) (float64, error) {
	out, _, err := output(cpu, env, words...)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// alternate calls each function n times, in turn, after once to warm up.
func alternate(n int, fs ...func() (float64, error)) ([][]float64, error) {
	all := make([][]float64, len(fs))
	for i := range n + 1 {
		for k, f := range fs {
			v, err := f()
			if err != nil {
				return nil, err
			}
			if i > 0 {
				all[k] = append(all[k], v)
			}
		}
	}
	return all, nil
}

// server is a process that serves until stop.
type server struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	end    func() error // ends it; SIGTERM does if this is nil
	then   func() error // what to do when it has ended; may be nil
}

// serve starts a command on the servers' processor.
func serve(env []string, words ...string) (*server, error) {
	s := &server{cmd: exec.Command(words[0], words[1:]...), stderr: new(bytes.Buffer)}
	s.cmd.Env, s.cmd.Stderr = append(os.Environ(), env...), s.stderr
	if err := pinned(serverCPU, s.cmd.Start); err != nil {
		return nil, err
	}
	return s, nil
}

// stop ends it in order.
func (s *server) stop() (err error) {
	if s.then != nil {
		defer func() { err = errors.Join(err, s.then()) }()
	}
	end := s.end
	if end == nil {
		end = func() error { return s.cmd.Process.Signal(unix.SIGTERM) }
	}
	if err := end(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(s.cmd.Args, " "), err, s.stderr)
	}
	return nil
}
