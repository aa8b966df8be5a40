// Package firewall has the test of `ukvm run --firewall`: a guest on a TAP device in a namespace of the test's, and what
// the test's sockets there see of it.
package firewall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }

const rules = `
set host { 10.78.0.1 }

chain input {
    policy drop
    state established, related accept
    state invalid count invalid drop
    tcp dport 80 saddr @host count web accept
    iif eth0 tcp dport 82 count refused reject
    tcp dport 83 count prohibited log "nobody" reject with prohibited
    udp dport 53 limit 1/hour burst 3 count names accept
    tcp dport 81 count silent
}

chain output {
    tcp dport 9000 reject with prohibited
    tcp dport 9001 reject
}
`

// patience is how long what must happen may take; silence how long a dropped packet is waited for. Nothing that answers
// takes a hundredth of it.
const (
	patience = time.Minute
	silence  = 3 * time.Second
)

// world is a guest behind a firewall, with a namespace on the other side of it.
type world struct {
	t      *testing.T
	ns     *netiftest.NetNS
	p      *ukvmtest.Process
	client *http.Client
}

func start(t *testing.T, rules string) *world {
	t.Helper()
	image := ukvmtest.Image(t, "tests/e2e/firewall/guest")
	file := filepath.Join(t.TempDir(), "rules.fw")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	ns := netiftest.NewNetNS(t)
	netiftest.Leaks(t)
	w := &world{t: t, ns: ns}
	w.in(func() error {
		w.p = ukvmtest.Start(t, ukvmtest.Cmd{Path: ukvmtest.Command(t), Timeout: time.Hour, Args: []string{
			"run", "--stats", "--firewall", file, "--net", "tap=tap8,ip=10.78.0.2/24", image,
		}})
		return nil
	})
	w.p.Await("ready\n")
	w.client = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return w.dial("tcp", 80, patience)
	}}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.p.Signal(syscall.SIGTERM)
		// The last rules' counters are among what the monitor reads of the guest when that has ended, and so are gauges.
		if r := w.p.Wait(); r.Code != 0 || !strings.Contains(r.Stderr, "filter.eightyfour.packets 1") || !strings.Contains(r.Stderr, " tcp.conn_incoming ") ||
			!someSockets.MatchString(r.Stderr) {
			t.Errorf("%+v", r)
		}
	})
	return w
}

// someSockets is a gauge: the guest's listeners are there until its end.
var someSockets = regexp.MustCompile(`\bsockets\.open [1-9]`)

// in runs f in the namespace.
func (w *world) in(f func() error) {
	w.t.Helper()
	if err := w.ns.Run(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) dial(network string, port int, limit time.Duration) (c net.Conn, err error) {
	if e := w.ns.Run(func() error {
		c, err = net.DialTimeout(network, fmt.Sprintf("10.78.0.2:%d", port), limit)
		return nil
	}); e != nil {
		return nil, e
	}
	return c, err
}

func (w *world) get(path string) string {
	w.t.Helper()
	r, err := w.client.Get("http://guest" + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) counters() (all map[string]uint64) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.get("/counters")), &all); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// knock connects to a port and returns what comes of it: nil, an errno, or ETIMEDOUT if there is silence.
func (w *world) knock(port int) error {
	limit := patience
	if port == 81 || port == 84 {
		limit = silence
	}
	c, err := w.dial("tcp", port, limit)
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case err == nil:
		c.Close()
		return nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return syscall.ETIMEDOUT
	case errors.As(err, &errno):
		return errno
	}
	return err
}

// TestFirewall: an allowed port answers, a dropped one is silent, a rejected one refuses at once, and counters tell.
func TestFirewall(t *testing.T) {
	w := start(t, rules)
	for port, want := range map[int]error{
		80: nil, 81: syscall.ETIMEDOUT, 82: syscall.ECONNREFUSED, 83: syscall.EHOSTUNREACH, 84: syscall.ETIMEDOUT,
	} {
		if err := w.knock(port); err != want {
			t.Errorf("port %d: %v, want %v", port, err, want)
		}
	}
	c, err := w.dial("udp", 53, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 100)
	fmt.Fprint(c, "question")
	c.SetDeadline(time.Now().Add(patience))
	if n, err := c.Read(b); err != nil || string(b[:n]) != "question" {
		t.Errorf("%q, %v", b[:n], err)
	}
	for to, want := range map[string]string{"10.78.0.1:9000": "unreachable", "10.78.0.1:9001": "refused", "10.78.0.1:9002": "refused"} {
		if got := w.get("/dial?to=" + to); got != want {
			t.Errorf("the guest dials %s: %s, want %s", to, got, want)
		}
	}
	n := w.counters()
	for name, want := range map[string][2]uint64{ // least and most
		"filter.web.packets":        {2, 2}, // the SYNs of knock and get
		"filter.refused.packets":    {1, 1},
		"filter.prohibited.packets": {1, 10},
		"filter.silent.packets":     {2, 10}, // SYNs are repeated
		"filter.names.packets":      {1, 1},
		"filter.invalid.packets":    {0, 0},
		"filter.input_rejected":     {2, 10},
		"filter.output_rejected":    {2, 2},
		"conntrack.entries":         {4, 10}, // what is open, and what has ended lately
		"tcp.conn_incoming":         {2, 2},
	} {
		if got, ok := n[name]; !ok || got < want[0] || got > want[1] {
			t.Errorf("%s: %d (%v), want %d to %d", name, got, ok, want[0], want[1])
		}
	}
	if dropped := n["ip4.input_dropped"]; dropped != n["filter.input_dropped"]+n["filter.input_rejected"] || n["filter.silent.bytes"] != 60*n["filter.silent.packets"] {
		t.Errorf("%v", n)
	}
	const line = `ukvm: filter: input: nobody 10.78.0.1:`
	if !strings.Contains(w.p.Stderr(), line) {
		t.Errorf("nothing is logged: %s", w.p.Stderr())
	}

	if got := w.get("/open"); got != "<nil>" {
		t.Errorf("other rules: %s", got)
	}
	for port, want := range map[int]error{80: nil, 81: nil, 82: nil, 83: nil, 84: syscall.ECONNREFUSED} {
		if err := w.knock(port); err != want {
			t.Errorf("with other rules, port %d: %v, want %v", port, err, want)
		}
	}
	if n := w.counters(); n["filter.eightyfour.packets"] != 1 || n["conntrack.entries"] != 0 {
		t.Errorf("%v", n)
	}
}

// TestErrors: what is wrong with a file is said before anything starts, with its lines.
func TestErrors(t *testing.T) {
	image := ukvmtest.Image(t, "tests/e2e/firewall/guest")
	file := filepath.Join(t.TempDir(), "rules.fw")
	for _, c := range []struct{ rules, want string }{
		{"chain input {\n  tcp dport http accept\n}\n", `ukvm: ` + file + `:2: "http" is no port or range of ports` + "\n"},
		{"chain input {\n  iif eth7 drop\n}\n", `ukvm: ` + file + `:2: there is no network card "eth7"` + "\n"},
	} {
		if err := os.WriteFile(file, []byte(c.rules), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := ukvmtest.Ukvm(t, "run", "--firewall", file, image); r.Code != 125 || r.Stdout != "" || r.Stderr != c.want {
			t.Errorf("%+v, want %q", r, c.want)
		}
	}
	if r := ukvmtest.Ukvm(t, "run", "--firewall", file+".not", image); r.Code != 125 || !strings.Contains(r.Stderr, "no such file") {
		t.Errorf("%+v", r)
	}
}
