package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// rebuild measures builds that find everything done already, as a whole process.
func rebuild(w *world) ([]row, error) {
	build := func(words ...string) func() (float64, error) {
		return func() (float64, error) {
			_, elapsed, err := outputIn(w.root, []string{"CGO_ENABLED=0"}, words...)
			return ms(elapsed), err
		}
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, err
	}
	values, err := alternate(w.n,
		build(w.ukvm, "build", "-q", "-o", filepath.Join(w.dir, "rebuilt.img"), "./examples/web"),
		build(goTool, "build", "-trimpath", "-o", filepath.Join(w.dir, "rebuilt"), "./examples/web"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(filepath.Join(w.dir, "rebuilt"))
	differences := make([]float64, len(values[0]))
	for i := range differences {
		differences[i] = values[0][i] - values[1][i]
	}
	return []row{
		w.row("ukvm build", values[0], "ms").against("go build", values[1]),
		w.row("  what it adds", differences, "ms"),
	}, nil
}
