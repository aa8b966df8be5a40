package network

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestWrk has wrk load the guest's web server, with connections that stay and with one a request.
func TestWrk(t *testing.T) {
	const connections = 32
	seconds := sample(1, 10)
	wrk := ukvmtest.Tool(t, "wrk")
	in(t, fast, options{}, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name  string
			words []string
		}{
			{"keep-alive", nil},
			{"one connection a request", []string{"-H", "Connection: close"}},
		} {
			before := w.stats(t).Requests
			p := w.runWrk(t, wrk, append(c.words, "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", seconds), "--timeout=30s"))
			done := p.requests(t)
			// What is under way when wrk ends may be answered, then or later, and is not counted there.
			if served := int64(w.stats(t).Requests - before); done < 50 || served < done || served > done+2*connections {
				t.Errorf("%s: wrk counts %d requests, the guest %d:\n%s", c.name, done, served, p)
			}
			ukvmtest.Figure(t, "wrk/"+w.name+"/"+c.name, p.rate(t), "requests/s")
		}
	})
}

// wrkReport is what wrk prints.
type wrkReport string

// runWrk runs wrk, on the host's side, to its end.
func (w *world) runWrk(t *testing.T, path string, words []string) wrkReport {
	t.Helper()
	c := ukvmtest.Cmd{Path: path, Args: append(words, "http://"+w.address(contract.PortWeb)+"/hello")}
	var p *ukvmtest.Process
	if w.ns != nil {
		do(w.ns, func() { p = ukvmtest.Start(t, c) })
	} else {
		p = ukvmtest.Start(t, c)
	}
	r := p.Wait()
	if r.Code != 0 {
		t.Fatalf("wrk: code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	for _, bad := range []string{"Socket errors", "Non-2xx"} {
		if strings.Contains(r.Stdout, bad) {
			t.Errorf("wrk has seen errors:\n%s", r.Stdout)
		}
	}
	return wrkReport(r.Stdout)
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s*([\d.]+)$`)
)

// requests is how many have been answered.
func (r wrkReport) requests(t *testing.T) int64 {
	t.Helper()
	return int64(r.number(t, wrkRequests))
}

// rate is how many a second.
func (r wrkReport) rate(t *testing.T) float64 {
	t.Helper()
	return r.number(t, wrkRate)
}

func (r wrkReport) number(t *testing.T, form *regexp.Regexp) float64 {
	t.Helper()
	m := form.FindStringSubmatch(string(r))
	if m == nil {
		t.Fatalf("wrk prints no %v:\n%s", form, r)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
