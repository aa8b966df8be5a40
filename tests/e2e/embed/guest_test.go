package embed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/monitor"
	"ukvm.dev/netif/user"
	"ukvm.dev/tests/internal/ukvmtest"
)

// hang is how long anything may take, on a machine with other work.
const hang = time.Minute

// A server is examples/web in a guest, which only this process can reach.
type server struct {
	vm    *monitor.VM
	link  *user.Link
	log   locked
	ended chan error
}

// locked is a buffer that a guest writes and a test reads.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server.
func serve(t *testing.T, ctx context.Context, image string) *server {
	t.Helper()
	link, err := user.New(user.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{link: link, ended: make(chan error, 1)}
	s.vm, err = monitor.New(monitor.Config{
		Image: image, Stdout: &s.log, Stderr: &s.log, NICs: []monitor.NIC{{Link: link, Config: link.Config()}},
	})
	if err != nil {
		link.Close()
		t.Fatal(err)
	}
	go func() { s.ended <- s.vm.Run(ctx) }()
	return s
}

// close releases a server whose Run has returned.
func (s *server) close(t *testing.T) {
	t.Helper()
	if err := errors.Join(s.vm.Close(), s.link.Close()); err != nil {
		t.Error(err)
	}
}

// wait waits for the end of Run.
func (s *server) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(hang):
		t.Fatal("Run has not returned")
		return nil
	}
}

// get fetches a page through VM.Dial. The server may not listen yet.
func (s *server) get(t *testing.T, page string) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.vm.Dial(ctx, "tcp", ":8080") }}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		r, err := client.Get("http://guest" + page)
		if errors.Is(err, syscall.ECONNREFUSED) && time.Since(begin) < hang {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v; the guest says %q", page, err, s.log.String())
			return ""
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
		return string(b)
	}
}

// TestExample runs examples/embed.
func TestExample(t *testing.T) {
	image := ukvmtest.Image(t, "examples/web")
	r := ukvmtest.Run(t, ukvmtest.Cmd{Path: "go", Args: []string{"run", "./examples/embed", image, "/", "/hello/ada"}})
	lines := strings.Split(r.Stdout, "\n")
	if r.Code != 0 || len(lines) != 3 || !strings.HasPrefix(lines[0], "200 OK: Hello from linux/amd64, go1.") || lines[1] != "200 OK: Hello, ada!" {
		t.Errorf("code %d, printed %q, said %q", r.Code, r.Stdout, r.Stderr)
	}
	if !strings.HasSuffix(r.Stderr, " bye\n") {
		t.Errorf("said %q", r.Stderr)
	}
	r = ukvmtest.Run(t, ukvmtest.Cmd{Path: "go", Args: []string{"run", "./examples/embed", "/dev/null", "/"}})
	if r.Code != 1 || !strings.Contains(r.Stderr, "not an ELF file") {
		t.Errorf("without an image: code %d, said %q", r.Code, r.Stderr)
	}
}

// TestManyAtOnce has 20 servers in this process, which all answer and end in order, and twice leave nothing.
func TestManyAtOnce(t *testing.T) {
	const guests = 20
	image := ukvmtest.Image(t, "examples/web")
	leavesNothing(t, guests, func() {
		var servers []*server
		for range guests {
			servers = append(servers, serve(t, t.Context(), image))
		}
		var all sync.WaitGroup
		for i, s := range servers {
			all.Go(func() {
				for n := range 5 {
					if page, want := s.get(t, fmt.Sprintf("/hello/%d.%d", i, n)), fmt.Sprintf("Hello, %d.%d!\n", i, n); page != want {
						t.Errorf("server %d says %q, want %q", i, page, want)
					}
				}
			})
		}
		all.Wait()
		for _, s := range servers {
			if err := s.vm.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		for i, s := range servers {
			if err := s.wait(t); err != nil || !strings.HasSuffix(s.log.String(), " bye\n") {
				t.Errorf("server %d: %v, %q", i, err, s.log.String())
			}
			s.close(t)
		}
	})
}

// TestOneAfterTheOther runs 200 programs, two at a time.
func TestOneAfterTheOther(t *testing.T) {
	const guests = 200
	image := ukvmtest.Image(t, "examples/hello")
	half := func() {
		var all sync.WaitGroup
		for worker := range 2 {
			all.Go(func() {
				for n := range guests / 4 {
					var out bytes.Buffer
					vm, err := monitor.New(monitor.Config{Image: image, Args: []string{"hello", fmt.Sprint(worker, n)}, Stdout: &out, Stderr: &out})
					if err != nil {
						t.Error(err)
						return
					}
					if err := vm.Run(t.Context()); err != nil || out.String() != fmt.Sprintf("Hello, %d %d!\n", worker, n) {
						t.Errorf("%v, printed %q", err, out.String())
					}
					if err := vm.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	}
	leavesNothing(t, guests/2, half)
}

// TestCancel ends the context of servers under load, and closes others while they run.
func TestCancel(t *testing.T) {
	image := ukvmtest.Image(t, "examples/web")
	leavesNothing(t, 8, func() {
		for n := range 8 {
			ctx, cancel := context.WithCancelCause(t.Context())
			s := serve(t, ctx, image)
			s.get(t, "/")
			stop := make(chan struct{})
			var load sync.WaitGroup
			for range 2 {
				load.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						c, err := s.link.DialContext(ctx, "tcp", ":8080")
						if err != nil {
							continue
						}
						c.SetDeadline(time.Now().Add(100 * time.Millisecond))
						fmt.Fprint(c, "GET /hello/x HTTP/1.1\r\nHost: guest\r\n\r\n")
						io.Copy(io.Discard, io.LimitReader(c, 100))
						c.Close()
					}
				})
			}
			time.Sleep(20 * time.Millisecond)
			reason, want := errors.New("enough"), monitor.ErrClosed
			if n%2 == 0 {
				want = reason
				cancel(reason)
			} else if err := s.vm.Close(); err != nil {
				t.Error(err)
			}
			if err := s.wait(t); !errors.Is(err, want) {
				t.Errorf("Run returned %v, want %v", err, want)
			}
			close(stop)
			cancel(nil)
			s.link.Close()
			load.Wait()
			s.close(t)
		}
	})
}

// TestEnds checks the errors of programs that end in other ways than they should.
func TestEnds(t *testing.T) {
	image := ukvmtest.Image(t, "tests/e2e/cli/guest")
	for _, c := range []struct {
		args   []string
		reason monitor.Reason
		code   int
		says   string // what the guest prints
	}{
		{[]string{"exit", "3"}, monitor.Exited, 3, ""},
		{[]string{"panic"}, monitor.Exited, 2, "panic: on purpose"},
		{[]string{"kill", "15"}, monitor.Signaled, 143, ""},
		{[]string{"allocate"}, monitor.OutOfMemory, 137, ""},
	} {
		var out bytes.Buffer
		vm, err := monitor.New(monitor.Config{Image: image, Args: append([]string{"guest"}, c.args...), Stdout: &out, Stderr: &out})
		if err != nil {
			t.Fatal(err)
		}
		err = vm.Run(t.Context())
		var e *monitor.ExitError
		if !errors.As(err, &e) || e.Reason != c.reason || e.Code != c.code || !strings.HasPrefix(out.String(), c.says) {
			t.Errorf("%q: %v, printed %q", c.args, err, out.String())
		}
		if err := vm.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStreams gives a guest an input that comes in pieces, and takes what it prints.
func TestStreams(t *testing.T) {
	image := ukvmtest.Image(t, "tests/e2e/cli/guest")
	in, feed := io.Pipe()
	var out, errors locked
	vm, err := monitor.New(monitor.Config{Image: image, Args: []string{"guest", "cat"}, Stdin: in, Stdout: &out, Stderr: &errors})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	ended := make(chan error, 1)
	go func() { ended <- vm.Run(t.Context()) }()
	want := ""
	for i := range 50 {
		line := fmt.Sprintf("line %d\n", i)
		want += line
		if _, err := io.WriteString(feed, line); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); out.String() != want && time.Since(begin) < hang; {
			time.Sleep(100 * time.Microsecond)
		}
	}
	feed.Close()
	if err := <-ended; err != nil || out.String() != want || errors.String() != fmt.Sprintf("%d bytes, <nil>\n", len(want)) {
		t.Errorf("%v, printed %q, said %q", err, out.String(), errors.String())
	}
}
