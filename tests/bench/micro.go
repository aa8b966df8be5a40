package main

// micro is a bench that the guest command measures itself.
func micro(unit string) func(*world) ([]row, error) {
	return func(w *world) ([]row, error) {
		image, err := w.image("tests/bench/guest")
		if err != nil {
			return nil, err
		}
		values, err := alternate(w.n,
			func() (float64, error) {
				return number(serverCPU, nil, w.ukvm, "run", "-q", "-m", "256M", image, "--", w.bench)
			},
			func() (float64, error) {
				return number(serverCPU, []string{"GOMAXPROCS=1"}, image, w.bench)
			})
		if err != nil {
			return nil, err
		}
		return []row{w.row("ukvm", values[0], unit).against("native", values[1])}, nil
	}
}
