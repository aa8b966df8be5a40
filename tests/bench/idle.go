package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// idleTime is how long an idle server is watched.
const idleTime = 10 * time.Second

// idle watches examples/web in a guest while nobody asks it for anything.
func idle(w *world) ([]row, error) {
	image, err := w.image("examples/web")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s, err := serve(nil, w.ukvm, "run", "--stats", "--json", "-p", "127.0.0.1:"+port+":8080", image)
	if err != nil {
		return nil, err
	}
	stopped := false
	defer func() {
		if !stopped {
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
	}()
	if err := answers("127.0.0.1:" + port); err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // what the connection has left behind
	pid := s.cmd.Process.Pid
	before, err := processorTime(pid)
	if err != nil {
		return nil, err
	}
	time.Sleep(idleTime)
	after, err := processorTime(pid)
	if err != nil {
		return nil, err
	}
	resident, err := residentMemory(pid)
	if err != nil {
		return nil, err
	}
	stopped = true
	if err := s.stop(); err != nil {
		return nil, err
	}
	var stats struct {
		Exits uint64  `json:"exits"`
		Run   float64 `json:"run_seconds"`
	}
	lines := strings.Split(strings.TrimSpace(s.stderr.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &stats); err != nil {
		return nil, fmt.Errorf("read --stats: %w", err)
	}
	one := func(name string, v float64, unit string) row { return w.row(name, []float64{v}, unit) }
	return []row{
		one("resident memory of the process", float64(resident)/(1<<20), "MiB"),
		one(fmt.Sprintf("processor time in %v", idleTime), ms(after-before), "ms"),
		one(fmt.Sprintf("exits of the whole run, %.0f s", stats.Run), float64(stats.Exits), "exits"),
	}, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// processorTime is what the scheduler has counted for all threads of a process and of its descendants, in ns exactly and not
// in ticks (Documentation/scheduler/sched-stats.rst). Apache answers in processes that it forks.
func processorTime(pid int) (total time.Duration, err error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if err != nil {
			continue // it has ended
		}
		field, _, _ := strings.Cut(string(b), " ")
		ns, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ns)
		children, err := os.ReadFile(dir + "/" + t.Name() + "/children")
		if err != nil {
			continue // it has ended
		}
		for _, child := range strings.Fields(string(children)) {
			id, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			if d, err := processorTime(id); err == nil { // and has not ended
				total += d
			}
		}
	}
	return total, nil
}

// residentMemory is VmRSS in bytes.
func residentMemory(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("no VmRSS of process %d", pid)
}
