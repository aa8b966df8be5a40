package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

// The net bench: tests/bench/netguest natively, and in a guest over TAP, over a packet socket on the end of another veth, and
// over the user network; beside them examples/events in a guest, and other servers that are installed. All of it happens in
// network namespaces of its own. The native server is in one, the load in another, with a veth between: as far away as a
// guest behind a TAP is. Over the user network the peer is the native server on loopback, where its clients are too.

// netRun is how long each load lasts, a quarter of it to warm up.
const netRun = 1200 * time.Millisecond

// netContender is a server and how to reach it.
type netContender struct {
	name string
	host string // its address
	http string // its port for HTTP
	run  func() (*server, error)

	peer  int  // index of the contender that it is held against; its own index: none
	brief bool // it is measured by its requests alone
}

// requestRows is how many of netRows, from the first on, are about requests.
const requestRows = 5

// netRows are what is measured of each contender.
var netRows = []struct {
	name, unit string
	measure    func(c *netContender, s *server) (float64, error)
}{
	{"requests, 32 connections", "requests/s", requestLoad(32)},
	{"CPU time a request", "µs", costOfRequest},
	{"requests, 128 connections", "requests/s", requestLoad(128)},
	{"requests, 256 connections", "requests/s", requestLoad(256)},
	{"one connection a request", "requests/s", httpLoad("connections")},
	{"p50 at 2000/s", "µs", httpLoad("p50")},
	{"p99 at 2000/s", "µs", httpLoad("p99")},
	{"bulk to it", "Gbit/s", portLoad("send", "9000")},
	{"bulk from it", "Gbit/s", portLoad("receive", "9001")},
	{"UDP echo", "packets/s", portLoad("echo", "9002")},
}

func requestLoad(conns int) func(*netContender, *server) (float64, error) {
	return func(c *netContender, _ *server) (float64, error) { return load(c.host+":"+c.http, conns, netRun) }
}

func httpLoad(kind string) func(*netContender, *server) (float64, error) {
	return func(c *netContender, _ *server) (float64, error) { return netLoad(kind, c.host+":"+c.http, netRun) }
}

func portLoad(kind, port string) func(*netContender, *server) (float64, error) {
	return func(c *netContender, _ *server) (float64, error) { return netLoad(kind, c.host+":"+port, netRun) }
}

// costOfRequest is the server's processor time over a load, in µs a request. What the kernel does for it in interrupts is
// not in it.
func costOfRequest(c *netContender, s *server) (float64, error) {
	before, err := processorTime(s.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	rate, err := load(c.host+":"+c.http, conns, netRun)
	if err != nil {
		return 0, err
	}
	after, err := processorTime(s.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	return float64((after-before)/time.Nanosecond) / 1e3 / (rate * netRun.Seconds()), nil
}

// network measures the rows of all contenders.
func network(w *world) (rows []row, err error) {
	image, err := w.image("tests/bench/netguest")
	if err != nil {
		return nil, err
	}
	events, err := w.image("examples/events")
	if err != nil {
		return nil, err
	}
	err = inNamespace(func() error {
		far, err := newFarSide("bench", "10.98.0")
		if err != nil {
			return err
		}
		defer far.close()
		rows, err = w.network(image, events, far)
		return err
	})
	return rows, err
}

func (w *world) network(image, events string, far *farSide) ([]row, error) {
	user := []string{w.ukvm, "run", "-q", "-m", "256M"}
	for _, p := range []string{"8080:8080", "9000:9000", "9001:9001", "9002:9002/udp"} {
		user = append(user, "-p", "127.0.0.2:"+p)
	}
	iface, err := far.bare("packet", "10.97.0.1/24")
	if err != nil {
		return nil, err
	}
	contenders := []netContender{
		{"native over veth", far.addr, "8080", func() (*server, error) {
			return far.serve([]string{"GOMAXPROCS=1"}, image)
		}, 0, false},
		{"ukvm, TAP", "10.99.0.2", "8080", func() (*server, error) {
			return serve(nil, w.ukvm, "run", "-q", "-m", "256M", "--net", "tap=bench0,ip=10.99.0.2/24", image)
		}, 0, false},
		{"ukvm, packet", "10.97.0.2", "8080", func() (*server, error) {
			return serve(nil, w.ukvm, "run", "-q", "-m", "256M", "--net", "packet="+iface+",ip=10.97.0.2/24,netns="+far.path, image)
		}, 0, false},
		{"native over loopback", "127.0.0.1", "8080", func() (*server, error) {
			return serve([]string{"GOMAXPROCS=1"}, image)
		}, 3, false},
		{"ukvm, user network", "127.0.0.2", "8080", func() (*server, error) {
			return serve(nil, append(user, image)...)
		}, 3, false},
		{"events in ukvm, TAP", "10.99.0.2", "8080", func() (*server, error) {
			return serve(nil, w.ukvm, "run", "-q", "-m", "256M", "--net", "tap=bench0,ip=10.99.0.2/24", events)
		}, 0, true},
	}
	other, missing := installed(w.dir, far)
	for _, name := range missing {
		fmt.Fprintf(os.Stderr, "bench: %s is not installed and is left out\n", name)
	}
	if path, err := exec.LookPath("runsc"); err == nil {
		other = append(other, gvisorContender(path, w.dir, image))
	} else {
		fmt.Fprintln(os.Stderr, "bench: gVisor's runsc is not installed and is left out")
	}
	return w.compare(append(contenders, other...))
}

// compare measures contenders alternately, and makes rows of the medians.
func (w *world) compare(contenders []netContender) (rows []row, err error) {
	values := make([][][]float64, len(contenders)) // by contender, row, run
	for i := range values {
		values[i] = make([][]float64, len(netRows))
	}
	for n := range w.n + 1 {
		for i := range contenders {
			v, err := contenders[i].once()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].name, err)
			}
			for k := range v {
				if n > 0 { // the first is to warm up
					values[i][k] = append(values[i][k], v[k])
				}
			}
		}
	}
	for k, r := range netRows {
		for i, c := range contenders {
			if len(values[i][k]) == 0 {
				continue
			}
			made := w.row(r.name+", "+c.name, values[i][k], r.unit)
			if c.peer != i {
				made = made.against(contenders[c.peer].name, values[c.peer][k])
			}
			rows = append(rows, made)
		}
	}
	return rows, nil
}

// once starts the contender and measures its rows.
func (c *netContender) once() (values []float64, err error) {
	s, err := c.run()
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := s.stop(); err == nil {
			err = e
		}
	}()
	if err := answers(c.host + ":" + c.http); err != nil {
		return nil, err
	}
	if _, err := load(c.host+":"+c.http, conns, netRun/4); err != nil { // to warm up
		return nil, err
	}
	measured := netRows
	if c.brief {
		measured = measured[:requestRows]
	}
	for _, r := range measured {
		v, err := r.measure(c, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		values = append(values, v)
	}
	return values, nil
}
