package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// patience is how long a test waits for what must happen. Nothing takes a tenth of it on an idle machine.
const patience = time.Minute

// world is a guest that serves, and what lies between it and the test.
type world struct {
	name string
	ring int // descriptors that the link has once it is busy (netif/tap/ring.go)

	// dial connects to a port of the guest.
	dial func(ctx context.Context, network string, port int) (net.Conn, error)

	// address is that of a TCP port of the guest for programs on the host's side; nil where there is none.
	address func(port int) string

	// listenAt and listenPacketAt make sockets on the host's side, at any free port if that is 0. The guest reaches them
	// as host.
	listenAt       func(t testing.TB, port int) net.Listener
	listenPacketAt func(t testing.TB, port int) net.PacketConn // nil where that cannot be
	host           string

	pid  int              // of the process with the monitor
	ns   *netiftest.NetNS // where the sockets are; nil: this process's
	cut  func(bool)       // carries nothing any more, or again; nil where that cannot be
	stop func(t testing.TB)

	client *http.Client // keeps connections
}

// options are what a test wants to be different.
type options struct {
	memory string   // as of -m; empty: the default
	flags  []string // of the command line: user network only
}

// A kind makes worlds of one kind.
type kind struct {
	name  string
	start func(t testing.TB, image string, o options) *world
}

var (
	overUser     = kind{"user", startUser}
	overTAP      = kind{"tap", startTAP}
	overPacket   = kind{"packet", startPacket}
	overLossy    = kind{"lossy", startLossy}
	overEmbedded = kind{"embedded", startEmbedded}

	fast = []kind{overUser, overTAP, overPacket}
	all  = []kind{overUser, overTAP, overPacket, overLossy, overEmbedded}
)

// image is the program for guests.
func image(t testing.TB) string { return ukvmtest.Image(t, "tests/e2e/network/guest") }

// in runs f in a new world of each kind.
func in(t *testing.T, kinds []kind, o options, f func(t *testing.T, w *world)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { f(t, newWorld(t, k, o)) })
	}
}

// newWorld starts a guest. When the test ends so does the guest, on SIGTERM and with nothing to complain about, and
// nothing of it is left.
func newWorld(t *testing.T, k kind, o options) *world {
	t.Helper()
	path := image(t)
	netiftest.Leaks(t)
	w := k.start(t, path, o)
	w.name = k.name
	w.client = &http.Client{Transport: w.transport()}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.stop(t)
	})
	return w
}

// transport reaches the guest under whatever name.
func (w *world) transport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			n, err := strconv.Atoi(port)
			if err != nil {
				return nil, err
			}
			return w.dial(ctx, network, n)
		},
		MaxIdleConns: 2000, MaxIdleConnsPerHost: 2000,
		ReadBufferSize: 64 << 10, WriteBufferSize: 64 << 10,
	}
}

// connect is dial for tests that cannot go on without.
func (w *world) connect(t testing.TB, port int) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := w.dial(ctx, "tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// request makes a request to the guest; out, if not nil, takes the JSON or the bytes (*[]byte) of the answer.
func (w *world) request(client *http.Client, method, path string, in, out any) error {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case io.Reader:
		body = in
	default:
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequest(method, "http://guest"+path, body)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, path, err)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, b)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = b
		return nil
	}
	return json.Unmarshal(b, out)
}

func (w *world) get(t testing.TB, path string, out any) {
	t.Helper()
	if err := w.request(w.client, http.MethodGet, path, nil, out); err != nil {
		t.Fatal(err)
	}
}

func (w *world) post(t testing.TB, path string, in, out any) {
	t.Helper()
	if err := w.request(w.client, http.MethodPost, path, in, out); err != nil {
		t.Fatal(err)
	}
}

// stats is what the guest says of itself.
func (w *world) stats(t testing.TB) (s contract.Stats) {
	t.Helper()
	w.get(t, "/stats", &s)
	return s
}

// files is how many descriptors the monitor's process has.
func (w *world) files(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// state is what must not grow.
type state struct {
	guest contract.Stats
	files int
}

// rest is the state with no connection but one for questions.
func (w *world) rest(t testing.TB) (s state) {
	t.Helper()
	w.client.CloseIdleConnections()
	eventually(t, func() error {
		s = state{w.stats(t), w.files(t)}
		if s.guest.Conns != 1 || s.guest.Sockets != 0 || s.guest.Holds != 0 {
			return fmt.Errorf("the guest still has connections: %+v", s.guest)
		}
		return nil
	})
	return s
}

// backTo waits until everything is as it was before, in the guest and in the monitor.
func (w *world) backTo(t testing.TB, before state) {
	t.Helper()
	const slack = 512 << 10 // bytes of heap: connections in TIME-WAIT, pools
	eventually(t, func() error {
		now := w.rest(t)
		if now.guest.Goroutines > before.guest.Goroutines || now.guest.Files > before.guest.Files ||
			now.guest.Heap > before.guest.Heap+slack || now.files > before.files+w.ring {
			return fmt.Errorf("something is left: now %+v, before %+v", now, before)
		}
		return nil
	})
}

func (w *world) listen(t testing.TB) net.Listener         { return w.listenAt(t, 0) }
func (w *world) listenPacket(t testing.TB) net.PacketConn { return w.listenPacketAt(t, 0) }

// at is the address of a socket on the host's side, as the guest writes it.
func (w *world) at(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return net.JoinHostPort(w.host, port)
}

// isErrno reports whether err is that of a system call.
func isErrno(err error, want syscall.Errno) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && errno == want
}

// eventually waits until f returns nil.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(wait)
	}
}

// checkOutput checks what the guest has printed in all: nothing but what it prints when all is well.
func checkOutput(t testing.TB, stdout, stderr string) {
	t.Helper()
	if stdout != "ready\nbye\n" {
		t.Errorf("standard output: %q", stdout)
	}
	for line := range strings.Lines(stderr) {
		if !published.MatchString(line) {
			t.Errorf("standard error: %s", line)
		}
	}
}
