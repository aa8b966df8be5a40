package network

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/internal/cli"
	"ukvm.dev/monitor"
)

// vm is a guest in this process.
type vm struct {
	*monitor.VM
	stdout, stderr output
	err            error
	ended          chan struct{}
}

// startVM starts a guest with network cards and waits until it serves.
func startVM(t testing.TB, image string, o options, nics ...monitor.NIC) *vm {
	t.Helper()
	memory := uint64(0)
	if o.memory != "" {
		var err error
		if memory, err = cli.ParseSize(o.memory); err != nil {
			t.Fatal(err)
		}
	}
	v := &vm{ended: make(chan struct{})}
	v.stdout.changed = make(chan struct{})
	v.stderr.changed = make(chan struct{})
	var err error
	v.VM, err = monitor.New(monitor.Config{Image: image, Memory: memory, Stdout: &v.stdout, Stderr: &v.stderr, NICs: nics})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(v.ended)
		v.err = v.Run(context.Background())
	}()
	t.Cleanup(func() {
		v.Close()
		<-v.ended
	})
	for {
		text, changed := v.stdout.look()
		if strings.Contains(text, "ready\n") {
			return v
		}
		select {
		case <-changed:
		case <-v.ended:
			t.Fatalf("the guest has ended: %v\n%s", v.err, v.stderr.String())
		case <-time.After(patience):
			t.Fatalf("the guest is not ready after %v; it has printed %q", patience, text)
		}
	}
}

// stop ends the guest as its user would.
func (v *vm) stop(t testing.TB) {
	t.Helper()
	if err := v.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-v.ended:
		if v.err != nil {
			t.Errorf("the guest has ended with %v", v.err)
		}
	case <-time.After(patience):
		t.Errorf("the guest has not ended %v after SIGTERM", patience)
	}
	checkOutput(t, v.stdout.String(), v.stderr.String())
}

// output is what a guest prints.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(b)
}

func (o *output) look() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String(), o.changed
}

func (o *output) String() string {
	s, _ := o.look()
	return s
}
