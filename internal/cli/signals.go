package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Guest is what signals are passed on to.
type Guest interface {
	Signal(unix.Signal) error
}

// Signals are the signals that the process gets, from CatchSignals to Close.
//
// As long as there is no guest, SIGINT, SIGTERM and SIGHUP end the context. Once there is one, it gets those and other
// signals that programs use. It then has some time to end after the first SIGINT or SIGTERM; when that is over, or with
// the second one, the context ends.
type Signals struct {
	cancel   context.CancelCauseFunc
	incoming chan os.Signal
	done     chan struct{}

	mu      sync.Mutex
	guest   Guest
	timeout time.Duration // after the first, for the guest to end
	first   bool          // has come since there is a guest
	timer   *time.Timer
}

// CatchSignals begins to catch signals. The context ends, with a *Stopped as its cause, when they say so.
func CatchSignals(ctx context.Context) (*Signals, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &Signals{cancel: cancel, incoming: make(chan os.Signal, 16), done: make(chan struct{})}
	signal.Notify(s.incoming, unix.SIGINT, unix.SIGTERM)
	if !signal.Ignored(unix.SIGHUP) { // nohup(1)
		signal.Notify(s.incoming, unix.SIGHUP)
	}
	go func() {
		defer close(s.done)
		for sig := range s.incoming {
			s.handle(sig.(unix.Signal))
		}
	}()
	return s, ctx
}

// Attach passes signals on to a guest from now on. SIGPIPE is caught too, and means nothing: a write to a standard stream
// that nobody reads then fails, and the guest is told.
func (s *Signals) Attach(g Guest, timeout time.Duration) {
	s.mu.Lock()
	s.guest, s.timeout = g, timeout
	s.mu.Unlock()
	signal.Notify(s.incoming, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT, unix.SIGPIPE)
}

// Detach passes nothing on any more. When it returns, the guest is not in use.
func (s *Signals) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guest = nil
	if s.timer != nil {
		s.timer.Stop()
	}
}

// Close ends the catching and the context.
func (s *Signals) Close() {
	s.Detach()
	signal.Stop(s.incoming)
	close(s.incoming)
	<-s.done
	s.cancel(context.Canceled)
}

func (s *Signals) handle(sig unix.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asksForEnd := sig == unix.SIGINT || sig == unix.SIGTERM
	switch {
	case sig == unix.SIGPIPE:
	case s.guest == nil:
		if asksForEnd || sig == unix.SIGHUP {
			s.cancel(&Stopped{Signal: sig})
		}
	case asksForEnd && (s.first || s.timeout <= 0):
		s.cancel(&Stopped{Signal: sig})
	default:
		_ = s.guest.Signal(sig) // it takes all that are caught here
		if asksForEnd {
			s.first = true
			s.timer = time.AfterFunc(s.timeout, func() {
				s.cancel(&Stopped{Signal: sig, Text: fmt.Sprintf(
					"the program had not ended %v after %s, so it was stopped (--stop-timeout)", s.timeout, unix.SignalName(sig))})
			})
		}
	}
}
