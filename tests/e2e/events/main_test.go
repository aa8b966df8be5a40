// Package events has the tests of the event-driven interface from outside: the examples that use it, in guests and, the
// same file, natively; and programs that import the facade from modules, vendor directories and workspaces.
package events

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

// patience is how long a test waits for what must happen.
const patience = time.Minute

var published = regexp.MustCompile(`ukvm: port \d+ of the guest is port (\d+) here`)

// serve runs an example in a guest with a port of it published, and returns the address.
func serve(t *testing.T, example, port string, words ...string) (p *ukvmtest.Process, addr string) {
	args := append([]string{"run", "-p", "127.0.0.1:0:" + port}, words...)
	p = ukvmtest.Start(t, ukvmtest.Cmd{Args: append(args, ukvmtest.Image(t, "examples/"+example))})
	p.Await("listening on port ")
	m := published.FindStringSubmatch(p.Stderr())
	if m == nil {
		t.Fatalf("no port is published:\n%s", p.Stderr())
	}
	return p, "127.0.0.1:" + m[1]
}

// end ends a process in order.
func end(t *testing.T, p *ukvmtest.Process) {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	if r := p.Wait(); r.Code != 0 || r.Stdout != "" {
		t.Errorf("code %d, output %q, standard error:\n%s", r.Code, r.Stdout, r.Stderr)
	}
}

// dial connects, and bounds how long the test waits for the peer.
func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// pattern is n bytes that do not repeat soon.
func pattern(n int) []byte {
	b := make([]byte, 0, n+20)
	for i := 0; len(b) < n; i++ {
		b = strconv.AppendInt(b, int64(i)*7919, 36)
	}
	return b[:n]
}

// freePort is a port of loopback that nobody uses at the moment.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}
