// Package doctor finds out what is missing on a host for running guests, and knows the one line that mends it. What it asks
// the host goes through the functions of Host, so that every finding can be tested anywhere.
package doctor

import (
	"context"
	"time"
)

// Status is how a check went.
type Status string

// Statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // something that not everyone needs does not work
	Fail Status = "fail" // guests cannot run
)

// Result is what a check found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Text   string `json:"text"`          // a sentence
	Fix    string `json:"fix,omitempty"` // a line that mends it
}

// Host is what the checks ask.
type Host struct {
	KVM       func() error                                                // opens KVM as the monitor does, and closes it
	Trial     func(ctx context.Context) (time.Duration, error)            // runs a guest
	Toolchain func(ctx context.Context) (version, root string, err error) // that guests are built with
	CacheDir  func() (string, error)                                      // of package build
	Writable  func(dir string) error                                      // makes a file in a directory, and the directory if need be
	Open      func(path string) error                                     // opens for reading and writing
	Mode      func(path string) (mode uint32, group string, err error)    // permission bits and group of a file
	Ping      func() error                                                // makes an ICMP socket, and closes it
	Policy    func() error                                                // asks the kernel for what policies take
	ReadFile  func(path string) ([]byte, error)
	Files     func() (limit uint64, err error) // RLIMIT_NOFILE, the hard one
	NetAdmin  bool                             // CAP_NET_ADMIN
	NetBind   bool                             // CAP_NET_BIND_SERVICE
}

// Examine makes all checks, in the order in which what is missing should be mended.
func Examine(ctx context.Context, h *Host) []Result {
	kvm := h.checkKVM()
	results := []Result{kvm}
	if kvm.Status == OK {
		results = append(results, h.checkGuest(ctx))
	}
	return append(results, h.checkGo(ctx), h.checkCache(), h.checkTAP(), h.checkPolicy(), h.checkPorts(), h.checkPing(), h.checkMemory(), h.checkFiles())
}

// Failed reports whether guests cannot run.
func Failed(results []Result) bool {
	for _, r := range results {
		if r.Status == Fail {
			return true
		}
	}
	return false
}
