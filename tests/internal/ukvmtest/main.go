package ukvmtest

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/kvmtest"
)

// scratch is a directory for what the tests of a process share: the command, images.
var scratch string

// Main runs the tests of a package and returns the code to exit with. It fails if a process that they started is left.
func Main(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "ukvm-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	// Unprivileged users reach the command and the images through it.
	if err := os.Chmod(scratch, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if signal.Ignored(unix.SIGHUP) {
		// The tests run under nohup(1). What they start must not inherit that: a signal that is caught here is not
		// ignored there.
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	}
	code := m.Run()
	if left := children(os.Getpid()); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "the tests have left processes behind: %s\n", strings.Join(left, ", "))
		return max(code, 1)
	}
	return code
}

// children names the child processes of a process.
func children(pid int) (names []string) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(b)) {
			comm, _ := os.ReadFile("/proc/" + child + "/comm")
			names = append(names, child+" "+strings.TrimSpace(string(comm)))
		}
	}
	return names
}

// Soak says whether tests run all they have, and not a sample.
func Soak() bool { return os.Getenv("UKVM_SOAK") == "1" }

// Figure reports something measured: a line of the test's log that tests/soak collects.
func Figure(t testing.TB, name string, value float64, unit string) {
	t.Helper()
	t.Logf("figure: %s = %.4g %s", name, value, unit)
}

// Root is the module's directory.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Command returns the path of the ukvm command, built once for the process that runs the tests. It skips the test where
// there is no KVM (see kvmtest.Require).
func Command(t testing.TB) string {
	t.Helper()
	kvmtest.Require(t)
	return CommandWithoutKVM(t)
}

// CommandWithoutKVM is Command for tests that run no guest.
func CommandWithoutKVM(t testing.TB) string {
	t.Helper()
	path, err := buildCommand()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildCommand = sync.OnceValues(func() (string, error) {
	if scratch == "" {
		return "", fmt.Errorf("BUG: TestMain does not call ukvmtest.Main")
	}
	path := filepath.Join(scratch, "ukvm")
	build := exec.Command("go", "build", "-o", path, "./cmd/ukvm")
	build.Dir = Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build ukvm: %w\n%s", err, out)
	}
	return path, nil
})

// images are the images built so far, or under way.
var images struct {
	mu sync.Mutex
	m  map[string]func() (string, error)
}

// Image returns the path of an image of a package, given as a path relative to the module's directory, such as
// "examples/web", or as an absolute one. It is built with flags once for the process that runs the tests.
func Image(t testing.TB, pkg string, flags ...string) string {
	t.Helper()
	ukvm := Command(t)
	key := pkg + " " + strings.Join(flags, " ")
	images.mu.Lock()
	if images.m == nil {
		images.m = map[string]func() (string, error){}
	}
	build := images.m[key]
	if build == nil {
		name := fmt.Sprintf("%s-%d.img", filepath.Base(pkg), len(images.m))
		build = sync.OnceValues(func() (string, error) { return buildImage(ukvm, pkg, name, flags) })
		images.m[key] = build
	}
	images.mu.Unlock()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func buildImage(ukvm, pkg, name string, flags []string) (string, error) {
	if !filepath.IsAbs(pkg) {
		pkg = "./" + pkg
	}
	path := filepath.Join(scratch, name)
	words := append([]string{"build", "-o", path}, flags...)
	build := exec.Command(ukvm, append(words, pkg)...)
	build.Dir = Root()
	build.Env = Environ()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build an image of %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Environ is the environment for ukvm commands that build.
func Environ() []string {
	env := os.Environ()
	if toolchain := os.Getenv("UKVM_TEST_TOOLCHAIN"); toolchain != "" {
		env = append(env, "GOTOOLCHAIN="+toolchain)
	}
	return env
}
