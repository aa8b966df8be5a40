package main

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
		far, err := newFarSide("bench", "10.98.0")
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
	return w.compare([]netContender{
		{"net/http natively", far.addr, "8080", native(sockets), 0, true},
		{"net/http in a guest", "10.99.0.2", "8080", guest(sockets), 0, true},
		{"events in a guest", "10.99.0.2", "8080", guest(events), 0, true},
	})
}
