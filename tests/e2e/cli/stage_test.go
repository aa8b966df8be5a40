package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/tests/internal/ukvmtest"
)

// A stage is a place where a command sees another /dev than the machine's, perhaps as another user. The test's own binary
// sets it up: it is started with stageVariable, makes a mount namespace of its own, mounts its own /dev there, and
// becomes the command. Nothing outside of that namespace changes, and it ends with the command.
const stageVariable = "UKVM_TEST_STAGE"

// Kinds of stages: what is in /dev, and the user.
const (
	noKVM     = "no /dev/kvm"
	closedKVM = "/dev/kvm for root alone, as nobody"
	openKVM   = "/dev/kvm for all, as nobody"
)

// nobody is a user without rights.
const nobody = 65534

// onStage makes a command line one that runs on a stage.
func onStage(t testing.TB, kind string, c ukvmtest.Cmd) ukvmtest.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can take rights away: the tests run without any already")
	}
	if c.Path == "" {
		c.Path = ukvmtest.Command(t)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.Env = append([]string{stageVariable + "=" + kind}, c.Env...)
	c.Args = append([]string{c.Path}, c.Args...)
	c.Path = self
	return c
}

// stage sets the stage and becomes the command.
func stage() {
	runtime.LockOSThread()
	if err := setStage(os.Getenv(stageVariable)); err != nil {
		fmt.Fprintln(os.Stderr, "set the stage:", err)
		os.Exit(99)
	}
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, stageVariable+"=") {
			env = append(env, kv)
		}
	}
	err := unix.Exec(os.Args[1], os.Args[1:], env)
	fmt.Fprintln(os.Stderr, "become", os.Args[1]+":", err)
	os.Exit(99)
}

func setStage(kind string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("dev", "/dev", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	unix.Umask(0)
	type device struct {
		name         string
		mode         uint32
		major, minor uint32
	}
	devices := []device{{"null", 0o666, 1, 3}, {"zero", 0o666, 1, 5}, {"urandom", 0o666, 1, 9}}
	switch kind {
	case closedKVM:
		devices = append(devices, device{"kvm", 0o600, 10, 232})
	case openKVM:
		devices = append(devices, device{"kvm", 0o666, 10, 232})
	}
	for _, d := range devices {
		if err := unix.Mknod("/dev/"+d.name, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return err
		}
	}
	unix.Umask(0o22)
	if kind == noKVM {
		return nil
	}
	return errors.Join(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), unix.Setgroups(nil),
		unix.Setresgid(nobody, nobody, nobody), unix.Setresuid(nobody, nobody, nobody))
}

// home makes a directory of nobody's.
func home(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ukvm-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeAll(dir); err != nil {
			t.Error(err)
		}
	})
	// The go command would go on to write there after its end.
	writeFiles(t, dir, map[string]string{".config/go/telemetry/mode": "off\n"})
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// nobodysEnvironment has no path of the tests' own user.
func nobodysEnvironment(home string) []string {
	return []string{"HOME=" + home, "USER=nobody", "TMPDIR=", "XDG_CACHE_HOME=", "UKVM_CACHE=", "GOCACHE=", "GOMODCACHE=", "GOPATH=",
		"GOENV=off", "GOTMPDIR=", "GOFLAGS="}
}

// rights are the lines of /proc/PID/status that say what a process may do.
func rights(t testing.TB, pid int) map[string]string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		all[name] = strings.TrimSpace(value)
	}
	return all
}
