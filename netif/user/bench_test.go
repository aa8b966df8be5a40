package user_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"ukvm.dev/netif/user"
)

var benchMTUs = []int{1500, 9000, 16384, 32768, 65520}

// benchLink makes a published link with a thin guest.
func benchLink(b *testing.B, mtu int, offload bool, serve func(*thinConn, int)) *user.Link {
	l := newLink(b, user.Config{MTU: mtu, Publish: []user.Publish{{Guest: 80}}})
	if offload {
		if err := l.SetFeatures(l.Features()); err != nil {
			b.Fatal(err)
		}
	}
	newThinGuest(b, l, serve, offload)
	return l
}

func forMTUs(b *testing.B, f func(b *testing.B, mtu int, offload bool)) {
	for _, mtu := range benchMTUs {
		b.Run(fmt.Sprintf("mtu=%d", mtu), func(b *testing.B) { f(b, mtu, false) })
		b.Run(fmt.Sprintf("mtu=%d,offload", mtu), func(b *testing.B) { f(b, mtu, true) })
	}
}

// BenchmarkToGuest moves 1 MiB a time from a socket of the host to the guest.
func BenchmarkToGuest(b *testing.B) {
	forMTUs(b, func(b *testing.B, mtu int, offload bool) {
		const size = 1 << 20
		got := make(chan int, 1<<16)
		l := benchLink(b, mtu, offload, func(_ *thinConn, n int) { got <- n })
		c, err := net.Dial("tcp", hostPort(l, 0))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		b.SetBytes(size)
		b.ReportAllocs()
		chunk := make([]byte, size)
		b.ResetTimer()
		go func() {
			for range b.N {
				c.Write(chunk)
			}
		}()
		for n := 0; n < b.N*size; {
			n += <-got
		}
	})
}

// BenchmarkToHost moves 1 MiB a time from the guest to a socket of the host.
func BenchmarkToHost(b *testing.B) {
	forMTUs(b, func(b *testing.B, mtu int, offload bool) {
		const size = 1 << 20
		l := benchLink(b, mtu, offload, func(c *thinConn, _ int) { c.unlimited = true })
		c, err := net.Dial("tcp", hostPort(l, 0))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("go"))
		b.SetBytes(size)
		b.ReportAllocs()
		chunk := make([]byte, size)
		b.ResetTimer()
		for range b.N {
			if _, err := io.ReadFull(c, chunk); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
	})
}

// BenchmarkFromGuest moves 1 MiB a time each way on a connection that Linux, as the guest, has made.
func BenchmarkFromGuest(b *testing.B) {
	for name, address := range map[string]string{"IPv4": "192.0.2.1:80", "IPv6": "[2001:db8::1]:80"} {
		b.Run(name, func(b *testing.B) {
			listener := hostListener(b)
			l := newLink(b, user.Config{Dial: dialTo(listener.Addr())})
			g, _ := newKernelGuest6(b, l)
			serve(listener, echo)
			c, err := g.dial("tcp", address)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			const size = 1 << 20
			b.SetBytes(2 * size)
			go func() {
				for chunk := make([]byte, size); ; {
					if _, err := c.Write(chunk); err != nil {
						return
					}
				}
			}()
			chunk := make([]byte, size)
			for b.Loop() {
				if _, err := io.ReadFull(c, chunk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRequests sends small requests and waits for small responses on kept connections.
func BenchmarkRequests(b *testing.B) {
	for _, conns := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			response := make([]byte, 1000)
			l := benchLink(b, user.DefaultMTU, false, func(c *thinConn, _ int) { c.pending = append(c.pending, response...) })
			requests(b, conns, func() (net.Conn, error) { return net.Dial("tcp", hostPort(l, 0)) })
		})
	}
}

// BenchmarkRequestsNative is the same against a server on the host's own stack.
func BenchmarkRequestsNative(b *testing.B) {
	for _, conns := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			l := hostListener(b)
			serve(l, func(c net.Conn) {
				defer c.Close()
				buf, response := make([]byte, 200), make([]byte, 1000)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					c.Write(response)
				}
			})
			requests(b, conns, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) })
		})
	}
}

func requests(b *testing.B, conns int, dial func() (net.Conn, error)) {
	var all []net.Conn
	for range conns {
		c, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		all = append(all, c)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			request, response := make([]byte, 100), make([]byte, 1000)
			for range (b.N + i) / conns {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, response); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkNew makes and closes a link with one published port.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		l, err := user.New(user.Config{Publish: []user.Publish{{Guest: 80}}})
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}
