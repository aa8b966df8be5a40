package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// benches is a stage: tests/bench as it stands.
func benches(ctx context.Context, s *soak, rep *report) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./tests/bench", "--json", "-n", strconv.Itoa(s.runs))
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.root, &out, os.Stderr
	err := cmd.Run()
	rep.printf("| bench | contender | value | unit | peer | ratio | n |\n|---|---|---|---|---|---|---|\n")
	decoder := json.NewDecoder(&out)
	for decoder.More() {
		var r struct {
			Bench, Contender, Unit, Peer string
			Value, Ratio                 float64
			N                            int
		}
		if err := decoder.Decode(&r); err != nil {
			return err
		}
		ratio := ""
		if r.Peer != "" {
			ratio = fmt.Sprintf("%.2f", r.Ratio)
		}
		rep.printf("| %s | %s | %.4g | %s | %s | %s | %d |\n", r.Bench, strings.TrimSpace(r.Contender), r.Value, r.Unit, r.Peer, ratio, r.N)
	}
	return err
}
