package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeGuest takes note of its signals.
type fakeGuest chan unix.Signal

func (g fakeGuest) Signal(s unix.Signal) error {
	g <- s
	return nil
}

// soon is how long anything here may take.
const soon = 10 * time.Second

func (g fakeGuest) expect(t *testing.T, want unix.Signal) {
	t.Helper()
	select {
	case got := <-g:
		if got != want {
			t.Errorf("the guest got %v, want %v", got, want)
		}
	case <-time.After(soon):
		t.Fatalf("the guest did not get %v", want)
	}
}

func stopped(t *testing.T, ctx context.Context) *Stopped {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(soon):
		t.Fatal("the context did not end")
	}
	var s *Stopped
	if !errors.As(context.Cause(ctx), &s) {
		t.Fatalf("the cause is %v", context.Cause(ctx))
	}
	return s
}

func send(t *testing.T, s unix.Signal) {
	t.Helper()
	if err := unix.Kill(unix.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// heedHangup has SIGHUP arrive here also if the tests run under nohup(1).
func heedHangup(t *testing.T) {
	if signal.Ignored(unix.SIGHUP) {
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGHUP)
		t.Cleanup(func() { signal.Ignore(unix.SIGHUP) })
	}
}

func TestSignalsWithoutGuest(t *testing.T) {
	heedHangup(t)
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		s, ctx := CatchSignals(context.Background())
		send(t, sig)
		if e := stopped(t, ctx); e.Signal != sig || e.Text != "" {
			t.Errorf("stopped by %+v", e)
		}
		s.Close()
	}
}

func TestSignalsForGuest(t *testing.T) {
	heedHangup(t)
	s, ctx := CatchSignals(context.Background())
	defer s.Close()
	g := make(fakeGuest, 1)
	s.Attach(g, time.Hour)
	for _, sig := range []unix.Signal{unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT, unix.SIGHUP, unix.SIGHUP, unix.SIGTERM} {
		send(t, sig)
		g.expect(t, sig)
	}
	send(t, unix.SIGPIPE)
	if ctx.Err() != nil {
		t.Fatalf("the context ended: %v", context.Cause(ctx))
	}
	send(t, unix.SIGINT) // the second that asks for the end
	if e := stopped(t, ctx); e.Signal != unix.SIGINT || e.Text != "" {
		t.Errorf("stopped by %+v", e)
	}
	if len(g) != 0 {
		t.Errorf("the guest also got %v", <-g)
	}
}

func TestStopTimeout(t *testing.T) {
	s, ctx := CatchSignals(context.Background())
	defer s.Close()
	g := make(fakeGuest, 1)
	s.Attach(g, 20*time.Millisecond)
	send(t, unix.SIGTERM)
	g.expect(t, unix.SIGTERM)
	if e := stopped(t, ctx); e.Signal != unix.SIGTERM || e.Text == "" {
		t.Errorf("stopped by %+v", e)
	}
}

func TestStopAtOnce(t *testing.T) {
	s, ctx := CatchSignals(context.Background())
	defer s.Close()
	s.Attach(make(fakeGuest), 0)
	send(t, unix.SIGTERM)
	if e := stopped(t, ctx); e.Signal != unix.SIGTERM {
		t.Errorf("stopped by %+v", e)
	}
}

func TestDetach(t *testing.T) {
	s, ctx := CatchSignals(context.Background())
	s.Attach(make(fakeGuest), time.Hour) // a signal would block
	s.Detach()
	send(t, unix.SIGUSR1)
	send(t, unix.SIGINT)
	stopped(t, ctx)
	s.Close()
}
