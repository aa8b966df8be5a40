package main

import (
	"context"
	"slices"
	"strings"
)

// matrix is a stage: our TCP beside others', a table with a row a cell. Figures are named "tests/matrix: CELL: WHAT".
func matrix(ctx context.Context, s *soak, rep *report) error {
	r, err := s.goTest(ctx, all, "-p=1", "./tests/matrix")
	if r != nil {
		table, rest := pivot(r.figures)
		rep.printf("Goodput in MB/s. `ratio` is of Linux to Linux in the same cell.\n\n%s\n", table)
		r.figures = rest
		r.report(rep)
	}
	return err
}

// columns are what a row of the matrix has.
var columns = []string{
	"linux to linux", "ours to linux", "ratio of ours to linux", "linux to ours", "ratio of linux to ours",
	"ours to gvisor", "gvisor to ours", "ours to ours, virtual time",
}

// pivot makes a table of those figures that are the matrix's, and returns the others.
func pivot(figures []string) (table string, rest []string) {
	var cells []string
	values := map[string]string{}
	for _, f := range figures {
		name, value, _ := strings.Cut(f, " = ")
		_, name, _ = strings.Cut(name, ": ")
		cell, what, ok := strings.Cut(name, ": ")
		if !ok || !slices.Contains(columns, what) {
			rest = append(rest, f)
			continue
		}
		if !slices.Contains(cells, cell) {
			cells = append(cells, cell)
		}
		values[cell+": "+what], _, _ = strings.Cut(value, " ")
	}
	var b strings.Builder
	b.WriteString("| cell | " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat("---|", 1+len(columns)) + "\n")
	for _, cell := range cells {
		b.WriteString("| " + cell + " |")
		for _, what := range columns {
			b.WriteString(" " + values[cell+": "+what] + " |")
		}
		b.WriteString("\n")
	}
	return b.String(), rest
}
