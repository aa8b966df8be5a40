package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// requests measures requests a second of examples/web: natively over loopback, and in a guest over each network. All of
// it happens in a network namespace of its own.
func requests(w *world) (rows []row, err error) {
	image, err := w.image("examples/web")
	if err != nil {
		return nil, err
	}
	err = inNamespace(func() error {
		rows, err = w.requests(image)
		return err
	})
	return rows, err
}

// conns are the connections at once, where a load does not say otherwise. With more of them a guest answers more before it has
// to leave for the next request.
const conns = 32

func (w *world) requests(image string) ([]row, error) {
	// Contenders: an address, and what serves there.
	contenders := []struct {
		name, addr string
		env, words []string
	}{
		{"native", "127.0.0.1:8001", []string{"PORT=8001", "GOMAXPROCS=1"}, []string{image}},
		{"ukvm, user network", "127.0.0.1:8002", nil,
			[]string{w.ukvm, "run", "-q", "-m", "256M", "-p", "127.0.0.1:8002:8080", image}},
		{"ukvm, TAP", "10.99.0.2:8080", nil,
			[]string{w.ukvm, "run", "-q", "-m", "256M", "--net", "tap=bench0,ip=10.99.0.2/24", image}},
	}
	var fs []func() (float64, error)
	for _, c := range contenders {
		fs = append(fs, func() (v float64, err error) {
			s, err := serve(c.env, c.words...)
			if err != nil {
				return 0, err
			}
			defer func() {
				if e := s.stop(); err == nil {
					err = e
				}
			}()
			if err := answers(c.addr); err != nil {
				return 0, fmt.Errorf("%s: %w", c.name, err)
			}
			if _, err := load(c.addr, conns, 300*time.Millisecond); err != nil { // to warm up
				return 0, fmt.Errorf("%s: %w", c.name, err)
			}
			return load(c.addr, conns, time.Second)
		})
	}
	values, err := alternate(w.n, fs...)
	if err != nil {
		return nil, err
	}
	rows := []row{w.row("native", values[0], "requests/s")}
	for i, c := range contenders[1:] {
		rows = append(rows, w.row(c.name, values[i+1], "requests/s").against("native", values[0]))
	}
	return rows, nil
}

// answers waits until something listens.
func answers(addr string) (err error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
	}
	return err
}

// inNamespace runs f on a thread in a new network namespace, whose loopback is up. Processes that f starts live there, and
// so do sockets of f itself, not of goroutines that it starts.
func inNamespace(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network namespace (this needs root): %w", err)
			}
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !os.IsNotExist(err) {
				return err
			}
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(lo); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-done
}
