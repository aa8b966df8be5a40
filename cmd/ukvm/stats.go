package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"ukvm.dev/internal/cli"
	"ukvm.dev/monitor"
	"ukvm.dev/netif"
	"ukvm.dev/netif/policy"
)

// stats are the counters of --stats.
type stats struct {
	Setup    seconds `json:"setup_seconds"` // from the command line to a VM that is ready
	Run      seconds `json:"run_seconds"`
	Memory   uint64  `json:"memory_bytes"`
	Resident uint64  `json:"resident_bytes"`
	Exits    uint64  `json:"exits"`
	Calls    uint64  `json:"calls"`
	Faults   uint64  `json:"faults"`
	Polls    uint64  `json:"polls"`
	Upcalls  uint64  `json:"upcalls"`
	Kicks    uint64  `json:"interrupts"`
	Networks []card  `json:"networks"`
	Policies []check `json:"policies,omitempty"`

	Guest map[string]uint64 `json:"guest"` // the guest's own counters, all of them
	guest []monitor.Counter // in order
}

// check is what a policy has counted on a card. Drops are by reason, both ways together.
type check struct {
	Name     string            `json:"name"`
	FromPass uint64            `json:"from_guest_passed"`
	ToPass   uint64            `json:"to_guest_passed"`
	Drops    map[string]uint64 `json:"drops"`
}

// card are the counters of a network card, seen from the guest.
type card struct {
	Name            string `json:"name"`
	TransmitFrames  uint64 `json:"transmit_frames"`
	TransmitBytes   uint64 `json:"transmit_bytes"`
	TransmitDropped uint64 `json:"transmit_dropped"`
	ReceiveFrames   uint64 `json:"receive_frames"`
	ReceiveBytes    uint64 `json:"receive_bytes"`
	ReceiveDropped  uint64 `json:"receive_dropped"`
}

func newStats(v monitor.Stats, guest []monitor.Counter, links *cli.Links, memory uint64) *stats {
	s := &stats{
		Memory: memory, Resident: v.Resident, Exits: v.Exits, Calls: v.Calls, Faults: v.Faults, Polls: v.Polls, Upcalls: v.Upcalls, Kicks: v.Interrupts,
		Networks: []card{}, Guest: map[string]uint64{}, guest: guest,
	}
	for _, c := range guest {
		s.Guest[c.Name] = c.Value
	}
	for _, n := range links.NICs {
		counter, ok := n.Link.(netif.Counter)
		if !ok {
			continue
		}
		c := counter.Counters()
		s.Networks = append(s.Networks, card{
			Name:           n.Name,
			TransmitFrames: c.TxFrames, TransmitBytes: c.TxBytes, TransmitDropped: c.TxDropped,
			ReceiveFrames: c.RxFrames, ReceiveBytes: c.RxBytes, ReceiveDropped: c.RxDropped,
		})
	}
	for _, p := range links.PolicyCounts() {
		from, to := &p.Counters.FromGuest, &p.Counters.ToGuest
		c := check{Name: p.Card, FromPass: from[policy.Passed].Packets, ToPass: to[policy.Passed].Packets, Drops: map[string]uint64{}}
		for r := range from {
			if n := from[r].Packets + to[r].Packets; n > 0 && policy.Reason(r) != policy.Passed {
				c.Drops[policy.Reason(r).String()] = n
			}
		}
		s.Policies = append(s.Policies, c)
	}
	return s
}

// write writes the counters, as a JSON object or as lines.
func (s *stats) write(w io.Writer, raw bool) {
	if raw {
		b, err := json.Marshal(s)
		if err == nil {
			fmt.Fprintf(w, "%s\n", b)
		}
		return
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "ukvm: %-8s  "+format+"\n", append([]any{name}, args...)...)
	}
	line("time", "%v to set up, %v to run", round(s.Setup), round(s.Run))
	line("memory", "%d KiB used of %s", s.Resident>>10, cli.FormatSize(s.Memory))
	line("exits", "%d: %d calls (%d to sleep), %d page faults that brought memory", s.Exits, s.Calls, s.Polls, s.Faults)
	line("upcalls", "%d, and %d interruptions for them and for the network", s.Upcalls, s.Kicks)
	for _, c := range s.Networks {
		line(c.Name, "%d frames (%d bytes) out, %d frames (%d bytes) in, %d and %d dropped", c.TransmitFrames, c.TransmitBytes,
			c.ReceiveFrames, c.ReceiveBytes, c.TransmitDropped, c.ReceiveDropped)
	}
	for _, p := range s.Policies {
		line(p.Name, "the policy has let pass %d packets out, %d in", p.FromPass, p.ToPass)
		for _, why := range slices.Sorted(maps.Keys(p.Drops)) {
			line(p.Name, "the policy has dropped %d: %s", p.Drops[why], why)
		}
	}
	s.writeGuest(line)
}

// writeGuest writes the counters of the guest that are not 0, a few to a line.
func (s *stats) writeGuest(line func(name, format string, args ...any)) {
	const width = 100
	text := ""
	for _, c := range s.guest {
		if c.Value == 0 {
			continue
		}
		word := fmt.Sprintf("%s %d", c.Name, c.Value)
		if text != "" && len(text)+2+len(word) > width {
			line("guest", "%s", text)
			text = ""
		}
		if text != "" {
			text += ", "
		}
		text += word
	}
	if text != "" {
		line("guest", "%s", text)
	}
}

func round(s seconds) time.Duration { return time.Duration(s).Round(10 * time.Microsecond) }
