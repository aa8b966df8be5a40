package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/monitor"
	"ukvm.dev/netif"
	"ukvm.dev/netif/tap"
	"ukvm.dev/netif/user"
)

// The exits bench: how often a guest leaves for the monitor to answer a request, whether by itself or because it is
// interrupted. That is a property of guest and monitor more than of the machine they run on: it says where latency comes
// from when a busy machine says nothing with times.

// exitsGuestEnv makes this command a monitor: the image and the network, "tap" or the port of the host to publish. It runs the
// guest until its input ends, and for each line of that prints its counters.
const exitsGuestEnv = "UKVM_BENCH_EXITS"

// exitsRun is how long each load lasts.
const exitsRun = 2 * time.Second

// exitsLoads are the rates.
var exitsLoads = []struct {
	name     string
	requests func(addr string) (float64, error)
}{
	{"one in 500 ms", func(addr string) (float64, error) { return netLoad("2/s", addr, 3*exitsRun) }},
	{"one in 10 ms", func(addr string) (float64, error) { return netLoad("100/s", addr, exitsRun) }},
	{"2000/s", func(addr string) (float64, error) { return netLoad("2000/s", addr, exitsRun) }},
	{"as many as it can", func(addr string) (float64, error) {
		rate, err := load(addr, conns, exitsRun)
		return rate * exitsRun.Seconds(), err
	}},
}

// exitsKinds are the rows of a load, each a number per request.
var exitsKinds = []struct {
	name  string
	count func(s *monitor.Stats) uint64
}{
	{"exits and interruptions", func(s *monitor.Stats) uint64 { return s.Exits + s.Interrupts }},
	{"  to sleep", func(s *monitor.Stats) uint64 { return s.Polls }},
	{"  other calls", func(s *monitor.Stats) uint64 { return s.Calls - s.Polls }},
	{"  exceptions", func(s *monitor.Stats) uint64 { return s.Exits - s.Calls }},
	{"  interruptions", func(s *monitor.Stats) uint64 { return s.Interrupts }},
}

func exits(w *world) (rows []row, err error) {
	image, err := w.image("tests/bench/netguest")
	if err != nil {
		return nil, err
	}
	err = inNamespace(func() error {
		for _, c := range []struct{ network, words, addr string }{
			{"TAP", "tap", "10.99.0.2:8080"},
			{"user network", "8001", "127.0.0.1:8001"},
		} {
			values := make([][]float64, len(exitsLoads)*len(exitsKinds))
			for range w.n {
				v, err := exitsOf(image, c.words, c.addr)
				if err != nil {
					return fmt.Errorf("%s: %w", c.network, err)
				}
				for i := range v {
					values[i] = append(values[i], v[i])
				}
			}
			for i, v := range values {
				l, k := exitsLoads[i/len(exitsKinds)].name, exitsKinds[i%len(exitsKinds)].name
				rows = append(rows, w.row(c.network+", "+l+", "+k, v, "1/request"))
			}
		}
		return nil
	})
	return rows, err
}

// exitsOf runs a guest, puts each load on it, and returns the values of all kinds for each.
func exitsOf(image, words, addr string) (values []float64, err error) {
	g, err := startExitsGuest(image + " " + words)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := g.stop(); err == nil {
			err = e
		}
	}()
	if err := answers(addr); err != nil {
		return nil, err
	}
	if _, err := load(addr, conns, exitsRun/4); err != nil { // to warm up
		return nil, err
	}
	for _, l := range exitsLoads {
		before, err := g.stats()
		if err != nil {
			return nil, err
		}
		requests, err := l.requests(addr)
		if err != nil {
			return nil, err
		}
		after, err := g.stats()
		if err != nil {
			return nil, err
		}
		for _, k := range exitsKinds {
			values = append(values, float64(k.count(after)-k.count(before))/requests)
		}
	}
	return values, nil
}

// exitsGuestProcess is this command as a monitor.
type exitsGuestProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startExitsGuest(words string) (*exitsGuestProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), exitsGuestEnv+"="+words), os.Stderr
	g := &exitsGuestProcess{cmd: cmd}
	if g.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.out = json.NewDecoder(out)
	return g, pinned(serverCPU, cmd.Start)
}

func (g *exitsGuestProcess) stats() (*monitor.Stats, error) {
	if _, err := g.in.Write([]byte("\n")); err != nil {
		return nil, err
	}
	var s monitor.Stats
	return &s, g.out.Decode(&s)
}

func (g *exitsGuestProcess) stop() error {
	g.in.Close()
	return g.cmd.Wait()
}

// exitsGuest is that command.
func exitsGuest(words string) error {
	var image, network string
	if _, err := fmt.Sscan(words, &image, &network); err != nil {
		return err
	}
	nic, err := exitsNIC(network)
	if err != nil {
		return err
	}
	defer nic.Link.Close()
	vm, err := monitor.New(monitor.Config{Image: image, Memory: 256 << 20, Stderr: os.Stderr, NICs: []monitor.NIC{nic}})
	if err != nil {
		return err
	}
	defer vm.Close()
	go func() {
		out := json.NewEncoder(os.Stdout)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			if err := out.Encode(vm.Stats()); err != nil {
				break
			}
		}
		_ = vm.Signal(unix.SIGTERM)
	}()
	return vm.Run(context.Background())
}

// exitsNIC is a card on a new TAP device, or on a user network with a published port.
func exitsNIC(network string) (monitor.NIC, error) {
	type link interface {
		netif.Link
		Config() netif.Config
	}
	var l link
	var err error
	if network == "tap" {
		l, err = tap.New(tap.Config{Name: "bench0", Addr: netip.MustParsePrefix("10.99.0.2/24")})
	} else {
		var p user.Publish
		if p, err = user.ParsePublish("127.0.0.1:" + network + ":8080"); err == nil {
			l, err = user.New(user.Config{Publish: []user.Publish{p}})
		}
	}
	if err != nil {
		return monitor.NIC{}, err
	}
	return monitor.NIC{Link: l, Config: l.Config()}, nil
}
