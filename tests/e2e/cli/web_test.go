package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

// freePort is a TCP port of loopback that nobody uses at the moment.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// get fetches a page, on a connection of its own.
func get(t testing.TB, url string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, r.Status, err)
	}
	return string(b)
}

// checkWeb asks examples/web for its pages and ends it with a signal. The guest's own Shutdown waits for a request that
// is under way.
func checkWeb(t *testing.T, p *ukvmtest.Process, url string, end func()) {
	t.Helper()
	p.Await("listening on :8080")
	if page := get(t, url+"/"); !strings.HasPrefix(page, "Hello from linux/amd64, go1.") {
		t.Errorf("the first page is %q", page)
	}
	if page := get(t, url+"/hello/ada"); page != "Hello, ada!\n" {
		t.Errorf("the second page is %q", page)
	}
	slow := make(chan string, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		r, err := http.Get(url + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		slow <- string(b)
	}()
	<-started
	time.Sleep(500 * time.Millisecond) // of the two seconds that the page takes
	end()
	p.Await("shutting down")
	r := p.Wait()
	if page := <-slow; page != "done\n" {
		t.Errorf("the page that was under way is %q", page)
	}
	lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
	if r.Code != 0 || r.Stdout != "" || !strings.HasSuffix(lines[len(lines)-1], " bye") {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
}

// TestFirstCommand is the README's first command, on a free port. The interrupt goes to ukvm: the go command, which gets
// a terminal's Ctrl-C too, waits for it, but then ends with code 1 whatever the program's is.
func TestFirstCommand(t *testing.T) {
	ukvmtest.Command(t) // needs KVM
	port := freePort(t)
	p := ukvmtest.Start(t, ukvmtest.Cmd{Path: "go", Args: []string{"run", "./cmd/ukvm", "run", "-p", fmt.Sprintf("%d:8080", port), "./examples/web"}})
	checkWeb(t, p, fmt.Sprintf("http://127.0.0.1:%d", port), func() {
		if err := syscall.Kill(child(t, p.Pid(), "ukvm"), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	})
}

// child is the child of a process that runs a command.
func child(t testing.TB, pid int, command string) int {
	t.Helper()
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		for _, child := range strings.Fields(readFile(t, list)) {
			if name, err := os.ReadFile("/proc/" + child + "/comm"); err == nil && string(name) == command+"\n" {
				n, _ := strconv.Atoi(child)
				return n
			}
		}
	}
	t.Fatalf("process %d has no child %s", pid, command)
	return 0
}

// TestWebImage runs an image on a port that ukvm chooses, which it says.
func TestWebImage(t *testing.T) {
	p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"run", "-p", "127.0.0.1:0:8080", ukvmtest.Image(t, "examples/web")}})
	checkWeb(t, p, "http://"+published(t, p), func() { p.Signal(syscall.SIGTERM) })
}

// published is the address that ukvm says it has published the guest's port 8080 at.
func published(t testing.TB, p *ukvmtest.Process) string {
	t.Helper()
	p.Await("is port ")
	m := regexp.MustCompile(`ukvm: port 8080 of the guest is port (\d+) here`).FindStringSubmatch(p.Stderr())
	if m == nil {
		t.Fatalf("no port in %q", p.Stderr())
	}
	return "127.0.0.1:" + m[1]
}

// TestUnprivileged serves the web as a user with no rights but to open /dev/kvm.
func TestUnprivileged(t *testing.T) {
	image := ukvmtest.Image(t, "examples/web")
	dir := home(t)
	p := ukvmtest.Start(t, onStage(t, openKVM, ukvmtest.Cmd{
		Args: []string{"run", "-p", "127.0.0.1:0:8080", image}, Dir: dir, Env: nobodysEnvironment(dir),
	}))
	url := "http://" + published(t, p)
	r := rights(t, p.Pid())
	if r["Uid"] != "65534\t65534\t65534\t65534" || strings.Trim(r["CapEff"]+r["CapPrm"], "0") != "" || r["Groups"] != "" || r["NoNewPrivs"] != "1" {
		t.Errorf("the process has rights: %v", r)
	}
	checkWeb(t, p, url, func() { p.Signal(syscall.SIGINT) })
}

// TestUnprivilegedBuild does the same from source, with nothing prepared.
func TestUnprivilegedBuild(t *testing.T) {
	if !ukvmtest.Soak() {
		t.Skip("compiles the standard library: set UKVM_SOAK=1 to run this")
	}
	dir := home(t)
	writeFiles(t, dir, map[string]string{"go.mod": "module example.org/web\n\ngo 1.25\n", "main.go": readFile(t, ukvmtest.Root()+"/examples/web/main.go")})
	p := ukvmtest.Start(t, onStage(t, openKVM, ukvmtest.Cmd{
		Args: []string{"run", "-p", "127.0.0.1:0:8080", "."}, Dir: dir, Env: nobodysEnvironment(dir), Timeout: 10 * time.Minute,
	}))
	checkWeb(t, p, "http://"+published(t, p), func() { p.Signal(syscall.SIGINT) })
}
