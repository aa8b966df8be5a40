package udp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAgainstLinux binds, connects and closes at random, all on one port of the loopback interface, here and with real
// sockets; they agree in who gets the port, and in who gets a datagram.
func TestAgainstLinux(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { compare(t, seed) })
	}
}

type twin struct {
	e         *Endpoint
	fd        int
	connected bool
}

func local(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, byte(n)}) }

func compare(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	l := newLab(t)
	var open []*twin
	t.Cleanup(func() {
		for _, w := range open {
			unix.Close(w.fd)
		}
	})
	socket := func(addr netip.Addr, port int) (int, error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: addr.As4(), Port: port}); err != nil {
			unix.Close(fd)
			return -1, err
		}
		return fd, nil
	}
	// A port that nobody has, and senders on other addresses.
	probe, err := socket(netip.AddrFrom4([4]byte{}), 0)
	if err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(probe)
	if err != nil {
		t.Fatal(err)
	}
	p := uint16(name.(*unix.SockaddrInet4).Port)
	unix.Close(probe)
	senders, ports := [3]int{}, [3]uint16{}
	for i := range senders {
		if senders[i], err = socket(local(100+i), 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(senders[i])
		name, _ := unix.Getsockname(senders[i])
		ports[i] = uint16(name.(*unix.SockaddrInet4).Port)
	}
	for step := range 400 {
		switch op := r.IntN(6); {
		case op < 2 && len(open) < 12:
			addr, any := local(1+r.IntN(3)), r.IntN(3) == 0
			w := &twin{e: new(Endpoint)}
			l.box.Open(w.e, 64<<10)
			w.e.ReuseAddr = r.IntN(4) != 0 // no SO_REUSEPORT: which of a group gets a datagram is each system's own choice
			bind := addr
			if any {
				bind, addr = netip.Addr{}, netip.AddrFrom4([4]byte{})
			}
			if w.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
				t.Fatal(err)
			}
			if w.e.ReuseAddr {
				unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			}
			want := unix.Bind(w.fd, &unix.SockaddrInet4{Addr: addr.As4(), Port: int(p)})
			got := w.e.Bind(bind, p)
			if (got == nil) != (want == nil) {
				t.Fatalf("step %d: bind %v, reuse %v: %v, Linux has %v", step, addr, w.e.ReuseAddr, got, want)
			}
			if got != nil {
				unix.Close(w.fd)
				continue
			}
			open = append(open, w)
		case op == 2 && len(open) > 0:
			i := r.IntN(len(open))
			open[i].e.Close()
			unix.Close(open[i].fd)
			open = append(open[:i], open[i+1:]...)
		case op == 3 && len(open) > 0:
			w := open[r.IntN(len(open))]
			if !w.e.bound.IsValid() || w.connected {
				continue // the address that connecting chooses depends on the routes
			}
			i := r.IntN(3)
			if slices.ContainsFunc(open, func(o *twin) bool { return o.e.bound == w.e.bound && o.e.Peer().Addr() == local(100+i) }) {
				continue // which of two with the same addresses gets a datagram depends on Linux's version
			}
			if err := unix.Connect(w.fd, &unix.SockaddrInet4{Addr: local(100 + i).As4(), Port: int(ports[i])}); err != nil {
				t.Fatal(err)
			}
			if err := w.e.Connect(port(local(100+i), ports[i])); err != nil {
				t.Fatal(err)
			}
			w.connected = true
		default:
			i, dst := r.IntN(3), local(1+r.IntN(3))
			text := fmt.Sprint(step)
			if err := unix.Sendto(senders[i], []byte(text), 0, &unix.SockaddrInet4{Addr: dst.As4(), Port: int(p)}); err != nil && err != unix.ECONNREFUSED {
				t.Fatal(err)
			}
			before := l.none
			l.receive(port(local(100+i), ports[i]), port(dst, p), text)
			want := -1
			for k := range open { // loopback delivers before sendto returns; a moment for the case that it does not
				if receivedBy(t, open[k].fd, text) {
					want = k
				}
			}
			got := -1
			for k := range open {
				if take(open[k].e) == text {
					got = k
				}
			}
			if got != want {
				t.Fatalf("step %d: %v to %v: end point %d has it, in Linux %d, of %s", step, local(100+i), dst, got, want, list(open))
			}
			if (got < 0) != (l.none == before+1) {
				t.Fatalf("step %d: delivered to %d, %d unwanted", step, got, l.none-before)
			}
		}
	}
}

func receivedBy(t *testing.T, fd int, text string) bool {
	b := make([]byte, 100)
	for range 3 {
		n, _, err := unix.Recvfrom(fd, b, 0)
		switch {
		case err == nil:
			return string(b[:n]) == text
		case err == unix.EAGAIN:
			return false
		case err == unix.ECONNREFUSED || err == unix.EINTR:
			time.Sleep(time.Microsecond)
		default:
			t.Fatal(err)
		}
	}
	return false
}

func list(open []*twin) (s string) {
	for k, w := range open {
		s += fmt.Sprintf("\n%d: %v peer %v reuse %v", k, w.e.bound, w.e.Peer(), w.e.ReuseAddr)
	}
	return s
}
