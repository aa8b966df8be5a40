package posix

import (
	"strconv"
	"strings"
)

// meminfoText is /proc/meminfo.
func meminfoText(s *System) string {
	total := s.env.boot().Memory / 1024
	free := total - min(total, s.env.resident()/1024)
	var b strings.Builder
	for _, f := range [...]struct {
		name string
		kb   uint64
	}{
		{"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free}, {"Buffers", 0}, {"Cached", 0}, {"SwapCached", 0},
		{"Active", total - free}, {"Inactive", 0}, {"SwapTotal", 0}, {"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0},
		{"AnonPages", total - free}, {"Mapped", 0}, {"Shmem", 0}, {"Slab", 0}, {"SReclaimable", 0}, {"SUnreclaim", 0},
		{"PageTables", 0}, {"CommitLimit", total}, {"Committed_AS", total - free}, {"VmallocTotal", 0},
		{"VmallocUsed", 0}, {"HugePages_Total", 0}, {"HugePages_Free", 0}, {"Hugepagesize", 2048},
	} {
		n := strconv.FormatUint(f.kb, 10)
		unit := " kB\n"
		if strings.HasPrefix(f.name, "HugePages") {
			unit = "\n"
		}
		b.WriteString(f.name + ":" + strings.Repeat(" ", max(1, 23-len(f.name)-len(n))) + n + unit)
	}
	return b.String()
}

// times returns how long the system has run and how long its processor was busy, in ns.
func (s *System) times() (up, busy int64) {
	up, busy = s.gate.Clock(clockBoottime), s.gate.Clock(clockProcess)
	return up, min(busy, up)
}

// uptimeText is /proc/uptime: seconds up and idle.
func uptimeText(s *System) string {
	up, busy := s.times()
	return seconds(up) + " " + seconds(up-busy) + "\n"
}

// seconds shows ns with two decimals.
func seconds(ns int64) string {
	hundredths := ns / 1e7
	frac := strconv.FormatInt(hundredths%100, 10)
	if len(frac) < 2 {
		frac = "0" + frac
	}
	return decimal(hundredths/100) + "." + frac
}

// systemStatText is /proc/stat: processor time in ticks, and when the system was started.
func systemStatText(s *System) string {
	up, busy := s.times()
	cpu := " " + decimal(busy/tick) + " 0 0 " + decimal((up-busy)/tick) + " 0 0 0 0 0 0\n"
	return "cpu " + cpu + "cpu0" + cpu +
		"intr 0\nctxt 0\nbtime " + decimal((s.env.now()-up)/1e9) + "\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"
}
