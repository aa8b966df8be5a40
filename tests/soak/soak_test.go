package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestResults(t *testing.T) {
	r := &results{skips: map[string]string{}, output: map[string][]string{}}
	var shown bytes.Buffer
	decoder := json.NewDecoder(strings.NewReader(`
		{"Action":"run","Package":"ukvm.dev/a","Test":"TestX"}
		{"Action":"output","Package":"ukvm.dev/a","Test":"TestX","Output":"    x_test.go:3: figure: speed = 12.5 MB/s\n"}
		{"Action":"pass","Package":"ukvm.dev/a","Test":"TestX"}
		{"Action":"output","Package":"ukvm.dev/a","Test":"TestY","Output":"    y_test.go:9: needs root: no\n"}
		{"Action":"output","Package":"ukvm.dev/a","Test":"TestY","Output":"--- SKIP: TestY (0.00s)\n"}
		{"Action":"skip","Package":"ukvm.dev/a","Test":"TestY"}
		{"Action":"output","Package":"ukvm.dev/a","Test":"TestZ","Output":"    z_test.go:1: oops\n"}
		{"Action":"fail","Package":"ukvm.dev/a","Test":"TestZ"}
		{"Action":"fail","Package":"ukvm.dev/a","Elapsed":2}`))
	for decoder.More() {
		var e event
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		r.take(e, &shown)
	}
	if r.passed != 1 || r.failed != 1 || r.skipped != 1 || r.packages != 1 {
		t.Errorf("%+v", r)
	}
	if len(r.figures) != 1 || r.figures[0] != "a: speed = 12.5 MB/s" {
		t.Errorf("figures %q", r.figures)
	}
	if r.skips["a TestY"] != "needs root: no" {
		t.Errorf("skips %q", r.skips)
	}
	if strings.Join(r.broken, ",") != "a TestZ,a" || !strings.Contains(shown.String(), "oops") {
		t.Errorf("broken %q, shown %q", r.broken, &shown)
	}
	rep := newReport(stages[0])
	r.report(rep)
	for _, want := range []string{"1 tests passed, 1 failed, 1 were skipped", "| a | speed | 12.5 MB/s |", "| a TestY | needs root: no |"} {
		if !strings.Contains(rep.text(), want) {
			t.Errorf("the report has no %q:\n%s", want, rep.text())
		}
	}
}

func TestPlace(t *testing.T) {
	section := func(i int, text string) *report {
		r := newReport(stages[i])
		r.printf("%s\n", text)
		return r
	}
	text := place("", section(2, "two"))
	text = place(text, section(0, "zero"))
	text = place(text, section(4, "four"))
	text = place(text, section(2, "two again\n\n| a | b |"))
	if !strings.HasPrefix(text, preface) || strings.Count(text, "\n## ") != 3 || strings.Contains(text, "two\n") {
		t.Errorf("%s", text)
	}
	zero, two, four := strings.Index(text, "zero"), strings.Index(text, "two again"), strings.Index(text, "four")
	if zero < 0 || two < zero || four < two {
		t.Errorf("sections are out of order:\n%s", text)
	}
	if again := place(text, section(2, "two again\n\n| a | b |")); again != text {
		t.Errorf("writing the same section again changes the file:\n%s\n%s", text, again)
	}
}

func TestLastExecs(t *testing.T) {
	out := "fuzz: elapsed: 0s, gathering baseline coverage: 0/192 completed\nfuzz: elapsed: 3s, execs: 12 (4/sec)\nfuzz: elapsed: 6s, execs: 345 (99/sec), new interesting: 1\nPASS\n"
	if got := lastExecs(out); got != "345 runs" {
		t.Error(got)
	}
}

func TestPivot(t *testing.T) {
	table, rest := pivot([]string{
		"tests/matrix: 20 ms: ours to linux = 12.5 MB/s",
		"tests/matrix: clean: linux to linux = 99 MB/s",
		"tests/matrix: 20 ms: ratio of ours to linux = 0.9 (3 runs)",
		"tests/matrix: clean: connections, ours to linux = 1000 1/s",
	})
	for _, want := range []string{"\n| 20 ms |  | 12.5 | 0.9 |", "\n| clean | 99 |"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %q:\n%s", want, table)
		}
	}
	if len(rest) != 1 || !strings.Contains(rest[0], "connections") {
		t.Errorf("the rest is %q", rest)
	}
}
