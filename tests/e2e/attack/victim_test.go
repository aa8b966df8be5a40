package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/guest/net/wire"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// patience is how long a request may take, and anything else that must happen: an attack costs a client some segments, and
// each of those a second or more.
const patience = time.Minute

const tapName = "tap0"

var (
	guestAddr   = netip.MustParseAddr("10.77.0.2")
	hostAddr    = netip.MustParseAddr("10.77.0.1")
	guestMAC    = wire.MAC{2, 0, 0, 0, 0, 0x77}
	attackerMAC = wire.MAC{2, 0, 0, 0, 0, 0x66}
)

// victim is a guest, and the process with its monitor.
type victim struct {
	t       testing.TB
	ns      *netiftest.NetNS
	process *ukvmtest.Process
	limit   int64 // -m in bytes
	client  *http.Client
}

// newVictim starts a guest with so many bytes of memory, on a TAP device in a namespace of its own.
func newVictim(t *testing.T, memory int64) *victim {
	t.Helper()
	command := ukvmtest.Cmd{
		Path: ukvmtest.Command(t), Timeout: time.Hour,
		Args: []string{"run", "-m", fmt.Sprint(memory), "--stats", "--json", "--net",
			fmt.Sprintf("tap=%s,ip=%v/24,mac=%v", tapName, guestAddr, net.HardwareAddr(guestMAC[:])),
			ukvmtest.Image(t, "tests/e2e/attack/guest")},
	}
	v := &victim{t: t, ns: netiftest.NewNetNS(t), limit: memory}
	v.ns.Do(t, func() error {
		// What the guest answers to strangers must go nowhere, and not come back as an error.
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0); err != nil {
			return err
		}
		v.process = ukvmtest.Start(t, command)
		return nil
	})
	v.process.Await("ready\n")
	v.client = v.newClient(false)
	return v
}

// newClient makes a client that keeps its connections, or makes one for each request.
func (v *victim) newClient(each bool) *http.Client {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return v.dial(ctx) },
		DisableKeepAlives: each,
	}}
	v.t.Cleanup(c.CloseIdleConnections)
	return c
}

// dial connects to the guest's server.
func (v *victim) dial(ctx context.Context) (c net.Conn, err error) {
	e := v.ns.Run(func() error {
		c, err = new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(guestAddr, 80).String())
		return nil
	})
	if e != nil {
		return nil, e
	}
	return c, err
}

// get makes a request.
func (v *victim) get(client *http.Client, path string) ([]byte, error) {
	response, err := client.Get("http://guest" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, response.Status)
	}
	return b, err
}

// ask asks for a number and checks the answer.
func (v *victim) ask(client *http.Client, n int) error {
	b, err := v.get(client, fmt.Sprintf("/number/%d", n))
	if err != nil {
		return err
	}
	if want := strings.Repeat(fmt.Sprintf("%d\n", n), n%500); string(b) != want {
		return fmt.Errorf("number %d: an answer of %d bytes that is not right, want %d", n, len(b), len(want))
	}
	return nil
}

// memory is how much there is of it, in bytes, at one time.
type memory struct {
	Heap, Resident, Conns, Goroutines int64 // as the guest says
	Process                           int64 // resident memory of the monitor's process, which the guest's is part of
}

// held is what the guest has of the host's memory. What it says counts pages that it has given back and that stay bound to
// their addresses, which the host has taken (monitor/blocks.go): it cannot be more than the process has.
func (m memory) held() int64 { return min(m.Resident, m.Process) }

// monitor is what the process has beside the guest's memory.
func (m memory) monitor() int64 { return m.Process - m.held() }

// memory measures. If settle is set, the guest gives back first what it does not use.
func (v *victim) memory(settle bool) (m memory, err error) {
	path := "/memory"
	if settle {
		path += "?settle=1"
	}
	// The guest's memory may change between the two questions, so the process is asked twice: of what it had before and
	// after the guest, the lesser is no more than the guest's and the monitor's at one time.
	earlier, err := v.resident()
	if err != nil {
		return m, err
	}
	b, err := v.get(v.client, path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, err
	}
	later, err := v.resident()
	m.Process = min(earlier, later)
	return m, err
}

// resident is the resident memory of the monitor's process.
func (v *victim) resident() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", v.process.Pid()))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// rest is the memory when everything has been given back, and want connections are left beside that of the question.
func (v *victim) rest(want int64) (m memory) {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		var err error
		v.client.CloseIdleConnections() // questions at the same time make more than one
		if m, err = v.memory(true); err != nil {
			v.t.Fatal(err)
		}
		if m.Conns == want+1 {
			return m
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("after %v the guest has %d connections, want %d", patience, m.Conns, want+1)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// report is what has happened while a guest was under attack.
type report struct {
	requests int
	slowest  time.Duration
	resident int64 // the most there was
	monitor  int64
	conns    int64
}

// check reports what has happened, and checks what holds for every attack: the monitor's memory does not grow by it, but for
// what monitorSlack allows.
func (v *victim) check(t *testing.T, attack string, r, quiet report, before, after memory) {
	t.Helper()
	slack := monitorSlack(v.limit, runtime.NumCPU())
	figure(t, attack, "requests answered", float64(r.requests), "")
	figure(t, attack, "slowest", float64(r.slowest)/float64(time.Millisecond), "ms")
	figure(t, attack, "guest left with", float64(after.held()-before.held())/megabyte, "MiB more")
	figure(t, attack, "monitor grown by", float64(r.monitor-quiet.monitor)/megabyte, "MiB")
	if r.monitor > quiet.monitor+slack || after.monitor() > before.monitor()+slack {
		t.Errorf("the monitor had %d KiB, and has %d; before %d and %d", r.monitor>>10, after.monitor()>>10, quiet.monitor>>10, before.monitor()>>10)
	}
}

func figure(t testing.TB, attack, what string, value float64, unit string) {
	t.Helper()
	ukvmtest.Figure(t, "attack/"+attack+"/"+what, value, unit)
}

// during has clients make requests for as long as attack takes, over a connection that is kept and over new ones, and
// measures memory. Each request must be answered, rightly, and the connection that is kept must hold: attack is told what
// the client's end of it is.
func (v *victim) during(attack func(kept netip.AddrPort)) (r report) {
	v.t.Helper()
	kept, fresh := v.newClient(false), v.newClient(true)
	ends := v.ends(kept)
	if err := v.ask(kept, 0); err != nil {
		v.t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i, client := range []*http.Client{kept, fresh} {
		wg.Go(func() {
			for n := i; ; n += 2 {
				begin := time.Now()
				err := v.ask(client, n)
				mu.Lock()
				r.requests++
				r.slowest = max(r.slowest, time.Since(begin))
				mu.Unlock()
				if err != nil {
					v.t.Errorf("request %d: %v", n, err)
					return
				}
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}
	wg.Go(func() {
		for {
			m, err := v.memory(false)
			if err != nil {
				v.t.Errorf("ask for memory: %v", err)
				return
			}
			r.resident, r.monitor, r.conns = max(r.resident, m.Resident), max(r.monitor, m.monitor()), max(r.conns, m.Conns)
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	attack(<-ends)
	close(done)
	wg.Wait()
	kept.CloseIdleConnections()
	select {
	case again := <-ends:
		v.t.Errorf("the connection did not hold: the client has made another, from %v", again)
	default:
	}
	return r
}

// ends tells of the connections that a client makes from now on what its end of them is.
func (v *victim) ends(c *http.Client) <-chan netip.AddrPort {
	ends := make(chan netip.AddrPort, 2)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := v.dial(ctx)
		if err == nil {
			select {
			case ends <- conn.LocalAddr().(*net.TCPAddr).AddrPort():
			default: // one too many is enough
			}
		}
		return conn, err
	}
	return ends
}

// end ends the guest, as its user would, and returns the guest's own counters.
func (v *victim) end() map[string]uint64 {
	v.t.Helper()
	v.client.CloseIdleConnections()
	v.process.Signal(syscall.SIGTERM)
	r := v.process.Wait()
	var stats struct {
		Guest map[string]uint64
	}
	if err := json.Unmarshal([]byte(r.Stderr), &stats); r.Code != 0 || r.Stdout != "ready\n" || err != nil {
		v.t.Fatalf("code %d, standard output %q, standard error %q, %v", r.Code, r.Stdout, r.Stderr, err)
	}
	return stats.Guest
}
