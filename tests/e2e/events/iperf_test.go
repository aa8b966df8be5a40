package events

import (
	"encoding/json"
	"strings"
	"testing"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestIperf runs iperf3 against the server in a guest, over TCP and UDP, both ways, on the user network and over TAP.
func TestIperf(t *testing.T) {
	iperf3 := ukvmtest.Tool(t, "iperf3")
	image := ukvmtest.Image(t, "examples/iperf")
	t.Run("user", func(t *testing.T) {
		port := freePort(t) // the same for TCP and UDP, which -p cannot choose by itself
		p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{
			"run", "-p", "127.0.0.1:" + port + ":5201", "-p", "127.0.0.1:" + port + ":5201/udp", image,
		}})
		p.Await("listening on port ")
		for _, words := range []string{"-t 1", "-t 1 -R", "-t 1 --bidir", "-t 1 -P 4", "-n 20M", "-t 1 -u -b 20M -l 1400", "-t 1 -u -R -b 20M -l 1400"} {
			client := ukvmtest.Start(t, ukvmtest.Cmd{Path: iperf3, Args: append([]string{"-J", "-c", "127.0.0.1", "-p", port}, strings.Fields(words)...)})
			checkIperf(t, words, client.Wait())
		}
		end(t, p)
	})
	t.Run("tap", func(t *testing.T) {
		ns := netiftest.NewNetNS(t)
		start := func(c ukvmtest.Cmd) (p *ukvmtest.Process) {
			ns.Do(t, func() error {
				p = ukvmtest.Start(t, c)
				return nil
			})
			return p
		}
		p := start(ukvmtest.Cmd{Args: []string{"run", "--net", "tap=tap0,ip=10.77.0.2/24", image}})
		p.Await("listening on port ")
		for _, words := range []string{"-t 1", "-t 1 -R", "-t 1 -P 4 --bidir", "-t 1 -u -b 20M -l 1400", "-t 1 -u -R -b 20M -l 1400"} {
			client := start(ukvmtest.Cmd{Path: iperf3, Args: append([]string{"-J", "-c", "10.77.0.2"}, strings.Fields(words)...)})
			checkIperf(t, words, client.Wait())
		}
		end(t, p)
	})
}

// checkIperf looks at what iperf3 says it has moved.
func checkIperf(t *testing.T, words string, c ukvmtest.Result) {
	t.Helper()
	var r struct {
		End struct {
			Sent, Received, Sum struct {
				Rate  float64 `json:"bits_per_second"`
				Bytes float64
			}
		}
		Error string
	}
	text := strings.NewReplacer("sum_sent", "sent", "sum_received", "received").Replace(c.Stdout)
	if err := json.Unmarshal([]byte(text), &r); err != nil || c.Code != 0 || r.Error != "" {
		t.Errorf("iperf3 %s: code %d, %v\n%s%s", words, c.Code, err, c.Stdout, c.Stderr)
		return
	}
	moved := max(r.End.Received.Bytes, r.End.Sum.Bytes)
	if moved < 1e6 {
		t.Errorf("iperf3 %s: %v bytes", words, moved)
	}
	ukvmtest.Figure(t, t.Name()+" "+words, max(r.End.Received.Rate, r.End.Sum.Rate)/1e9, "Gbit/s")
}
