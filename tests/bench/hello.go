package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"ukvm.dev/monitor"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/netif/user"
)

// hello measures whole processes, in 16 MiB of memory, which must be enough, and then the parts of a run inside this
// process.
func hello(w *world) ([]row, error) {
	image, err := w.image("examples/hello")
	if err != nil {
		return nil, err
	}
	process := func(words ...string) func() (float64, error) {
		return func() (float64, error) {
			out, elapsed, err := output(-1, nil, words...)
			if err == nil && out != "Hello, world!\n" {
				err = fmt.Errorf("%q printed %q", words, out)
			}
			return ms(elapsed), err
		}
	}
	runs := 5 * w.n // they are short
	values, err := alternate(runs, process(w.ukvm, "run", "-m", "16M", image), process(image))
	if err != nil {
		return nil, err
	}
	rows := []row{w.row("ukvm", values[0], "ms").against("native", values[1])}
	parts := make([][]float64, len(partNames))
	for range runs {
		p, err := measureParts(image)
		if err != nil {
			return nil, err
		}
		for i := range parts {
			parts[i] = append(parts[i], ms(p[i]))
		}
	}
	rest := rows[0].Value
	for i, name := range partNames {
		r := w.row("  "+name, parts[i], "ms")
		if i != partMachine {
			rest -= r.Value
		}
		rows = append(rows, r)
	}
	return append(rows, row{Bench: w.bench, Contender: "  the rest: monitor start, end of the process", Value: rest, Unit: "ms", N: runs}), nil
}

// The parts of a run, in the order in which they happen.
const (
	partNetwork = iota
	partNew     // monitor.New: the virtual machine and, beside it, the image and memory
	partMachine // the virtual machine alone
	partMain    // from the first instruction to the first byte that main writes
	partExit    // from there to the end of Run
	partsCount
)

var partNames = [partsCount]string{"user network", "VM creation and load", "  (VM creation alone)", "kernel entry to main's output", "exit"}

// measureParts runs the guest once.
func measureParts(image string) (p [partsCount]time.Duration, err error) {
	begin := time.Now()
	link, err := user.New(user.Config{})
	if err != nil {
		return p, err
	}
	defer link.Close()
	p[partNetwork] = time.Since(begin)
	if p[partMachine], err = measureMachine(); err != nil {
		return p, err
	}
	var first time.Time
	begin = time.Now()
	vm, err := monitor.New(monitor.Config{
		Image: image, Memory: 16 << 20, Stderr: os.Stderr,
		Stdout: writer(func(b []byte) (int, error) {
			if first.IsZero() {
				first = time.Now()
			}
			return len(b), nil
		}),
		NICs: []monitor.NIC{{Link: link, Config: link.Config()}},
	})
	if err != nil {
		return p, err
	}
	defer vm.Close()
	p[partNew] = time.Since(begin)
	begin = time.Now()
	if err := vm.Run(context.Background()); err != nil {
		return p, err
	}
	p[partMain], p[partExit] = first.Sub(begin), time.Since(first)
	return p, nil
}

// measureMachine makes a virtual machine without memory.
func measureMachine() (time.Duration, error) {
	begin := time.Now()
	system, err := kvm.Open()
	if err != nil {
		return 0, err
	}
	defer system.Close()
	machine, err := system.NewMachine()
	if err != nil {
		return 0, err
	}
	d := time.Since(begin)
	return d, machine.Close()
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
