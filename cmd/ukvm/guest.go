package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"ukvm.dev/internal/archive"
	"ukvm.dev/internal/cli"
	"ukvm.dev/monitor"
)

// guest is a guest to be run.
type guest struct {
	flags    *guestFlags
	config   monitor.Config // all but what comes from the rest
	networks []cli.Network
	volumes  []cli.Volume
	files    *archive.Builder
	stop     time.Duration // --stop-timeout
}

// runGuest runs a guest to its end. Signals go to it as long as it runs. The process is about to end too, so what the guest
// held is left to the kernel, which is faster by a millisecond than to close everything before.
func (a *app) runGuest(ctx context.Context, g *guest) error {
	begin := time.Now()
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		// As long as there is another, Go's scheduler leaves the vCPU's thread its processor when that is in a system call,
		// as it is all the time.
		runtime.GOMAXPROCS(2)
	}
	c := g.config
	c.Machine = a.machine
	c.Stdout, c.Stderr = a.stdout, a.stderr
	c.Log = cli.NewLogger(a.stderr, g.flags.raw, false)
	if g.flags.trace {
		c.Trace = cli.NewLogger(a.stderr, g.flags.raw, true)
	}
	if err := a.pack(g, &c); err != nil {
		return err
	}
	var err error
	if c.Shares, err = cli.OpenVolumes(g.volumes); err != nil {
		return err
	}
	links, err := cli.Open(g.networks, &g.flags.capture)
	if err != nil {
		return err
	}
	defer a.endCapture(links)
	c.NICs = links.NICs
	vm, err := monitor.New(c)
	if err != nil {
		return err
	}
	a.announce(g, links)
	if !g.flags.quiet {
		links.ExplainDrops(func(sentence string) { a.say("%s", sentence) })
	}

	ready := time.Now()
	a.signals.Attach(vm, g.stop)
	defer context.AfterFunc(ctx, func() { a.giveUp(ctx, links) })()
	err = vm.Run(ctx)
	a.signals.Detach()
	if !g.flags.quiet {
		for _, sentence := range links.Untold() {
			a.say("%s", sentence)
		}
	}
	if g.flags.stats {
		s := newStats(vm.Stats(), vm.GuestCounters(), links, c.Memory)
		s.Setup, s.Run = seconds(ready.Sub(begin)), seconds(time.Since(ready))
		s.write(a.stderr, g.flags.raw)
	}
	return err
}

// patience is how long a guest may take to stop where it is.
const patience = time.Second

// giveUp ends the process, because the context has ended, if nothing else does soon: a guest whose output nobody takes
// waits in the middle of a call.
func (a *app) giveUp(ctx context.Context, links *cli.Links) {
	time.Sleep(patience)
	code, sentence := cli.Failure(context.Cause(ctx))
	said := make(chan struct{})
	go func() {
		defer close(said)
		a.endCapture(links)
		if sentence != "" {
			a.say("%s", sentence)
		}
	}()
	select {
	case <-said:
	case <-time.After(patience): // nobody takes that either
	}
	a.exit(code)
}

// endCapture completes the file of --pcap, in every ending.
func (a *app) endCapture(links *cli.Links) {
	if sentence := links.EndCapture(); sentence != "" {
		a.say("%s", sentence)
	}
}

// pack puts the files into c.
func (a *app) pack(g *guest, c *monitor.Config) error {
	if g.files.Empty() {
		return nil
	}
	info, err := os.Stat(c.Image)
	if err != nil {
		return err
	}
	if !g.flags.quiet {
		for _, name := range g.files.LeftOut() {
			a.say("%s is not copied: it is neither a file, a directory nor a link", name)
		}
	}
	c.Files, err = cli.Pack(g.files, info.Size(), c.Memory)
	return err
}

// announce says which ports were chosen.
func (a *app) announce(g *guest, links *cli.Links) {
	if g.flags.quiet {
		return
	}
	for _, n := range g.networks {
		if n.User == nil {
			continue
		}
		for i, p := range n.User.Publish {
			if p.Host == 0 && i < len(links.Published) {
				a.say("port %d of the guest is port %d here (-p %v)", p.Guest, links.Published[i].Host, p)
			}
		}
	}
}

// seconds is a duration as programs read it.
type seconds time.Duration

// MarshalJSON writes seconds.
func (s seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.6f", time.Duration(s).Seconds()), nil
}
