// Command bench measures ukvm beside its peer: the same file, run natively as a Linux program.
//
//	go run ./tests/bench [-n RUNS] [--json] [NAME...]
//
// Contenders take turns, so that what else the machine does hits both; values are medians of their runs, and ratio is the
// contender's value over the peer's. Both run on one processor, but for hello and build, and loads come from the other
// one; native programs have GOMAXPROCS=1 there, as guests have. Rows without a peer are parts of the row above, or sizes.
//
// With --json each row is an object on a line: bench, contender, value, unit, peer, ratio (0 without a peer), n.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"ukvm.dev/tests/internal/machine"
)

// benches are all there are, in the order in which they run.
var benches = []bench{
	{"hello", "a whole process that prints a line, and where its time goes", hello},
	{"syscall", "a null system call", micro("ns")},
	{"exit", "a byte to standard error, for which a guest leaves for its monitor and comes back", micro("ns")},
	{"time", "time.Now", micro("ns")},
	{"switch", "a switch between goroutines", micro("ns")},
	{"alloc", "1 GB of allocations with garbage collection", micro("ms")},
	{"loop", "arithmetic", micro("ms")},
	{"map", "a program that lives in maps", micro("ms")},
	{"http", "requests to examples/web over each network", requests},
	{"net", "requests, bulk, datagrams and their cost over each network", network},
	{"event", "requests to a server on the event loop in a guest, beside net/http", eventLoop},
	{"exits", "exits of a guest for a request, at three rates", exits},
	{"idle", "memory and processor time of an idle examples/web", idle},
	{"build", "building again what has not changed, against go build", rebuild},
}

type bench struct {
	name, about string
	run         func(*world) ([]row, error)
}

// row is a line of the result.
type row struct {
	Bench     string  `json:"bench"`
	Contender string  `json:"contender"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Peer      string  `json:"peer"`
	Ratio     float64 `json:"ratio"`
	N         int     `json:"n"`
}

func main() {
	if words := os.Getenv(loadEnv); words != "" {
		if err := loadMain(words); err != nil {
			fmt.Fprintf(os.Stderr, "load: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if words := os.Getenv(netLoadEnv); words != "" {
		if err := netLoadMain(words); err != nil {
			fmt.Fprintf(os.Stderr, "load: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if words := os.Getenv(exitsGuestEnv); words != "" {
		if err := exitsGuest(words); err != nil {
			fmt.Fprintf(os.Stderr, "guest: %v\n", err)
			os.Exit(1)
		}
		return
	}
	n := flag.Int("n", 11, "how often each contender runs")
	raw := flag.Bool("json", false, "print JSON, an object a line")
	flag.Usage = usage
	flag.Parse()
	if err := run(*n, *raw, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: bench [-n RUNS] [--json] [NAME...]")
	for _, b := range benches {
		fmt.Fprintf(os.Stderr, "  %-8s  %s\n", b.name, b.about)
	}
}

func run(n int, raw bool, names []string, out io.Writer) error {
	for _, name := range names {
		if !slices.ContainsFunc(benches, func(b bench) bool { return b.name == name }) {
			return fmt.Errorf("there is no bench %q; --help lists them", name)
		}
	}
	if n < 1 {
		return fmt.Errorf("%d runs are too few", n)
	}
	w, err := newWorld(n)
	if err != nil {
		return err
	}
	defer w.close()
	if !raw {
		fmt.Fprintf(out, "%s, %s, n = %d\n", machine.Processor(), machine.Kernel(), n)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	if !raw {
		fmt.Fprintln(table, "bench\tcontender\tvalue\tunit\tpeer\tratio\t")
	}
	for _, b := range benches {
		if len(names) > 0 && !slices.Contains(names, b.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", b.name)
		w.bench = b.name
		rows, err := b.run(w)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		for _, r := range rows {
			if err := print(out, table, raw, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func print(out io.Writer, table io.Writer, raw bool, r row) error {
	if raw {
		return json.NewEncoder(out).Encode(r)
	}
	peer, ratio := "", ""
	if r.Peer != "" {
		peer, ratio = r.Peer, fmt.Sprintf("%.2f", r.Ratio)
	}
	_, err := fmt.Fprintf(table, "%s\t%s\t%.4g\t%s\t%s\t%s\t\n", r.Bench, r.Contender, r.Value, r.Unit, peer, ratio)
	return err
}
