package main

import "fmt"

// The event bench: examples/events, which is HTTP on the event loop, in a guest over TAP, beside net/http natively over
// a veth and in a guest over TAP (tests/bench/netguest), all of which say hello.
//
// The answers have the same headers. The load's processor is another than the servers'.

func eventLoop(w *world) (rows []row, err error) {
	events, err := w.image("examples/events")
	if err != nil {
		return nil, err
	}
	sockets, err := w.image("tests/bench/netguest")
	if err != nil {
		return nil, err
	}
	err = inNamespace(func() error {
		far, err := newFarSide()
		if err != nil {
			return err
		}
		defer far.close()
		rows, err = w.eventLoop(events, sockets, far)
		return err
	})
	return rows, err
}

func (w *world) eventLoop(events, sockets string, far *farSide) ([]row, error) {
	guest := func(image string) func() (*server, error) {
		return func() (*server, error) {
			return serve(nil, w.ukvm, "run", "-q", "-m", "256M", "--net", "tap=bench0,ip=10.99.0.2/24", image)
		}
	}
	native := func(image string) func() (*server, error) {
		return func() (*server, error) { return far.serve([]string{"GOMAXPROCS=1"}, image) }
	}
	contenders := []netContender{
		{"net/http natively", far.addr, "8080", native(sockets)},
		{"net/http in a guest", "10.99.0.2", "8080", guest(sockets)},
		{"events in a guest", "10.99.0.2", "8080", guest(events)},
	}
	values := make([][2][]float64, len(contenders))
	for n := range w.n + 1 {
		for i := range contenders {
			v, err := contenders[i].once(true)
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
	var rows []row
	for k, r := range netRows[:2] {
		for i, c := range contenders {
			made := w.row(r.name+", "+c.name, values[i][k], r.unit)
			if i > 0 {
				made = made.against(contenders[0].name, values[0][k])
			}
			rows = append(rows, made)
		}
	}
	return rows, nil
}
