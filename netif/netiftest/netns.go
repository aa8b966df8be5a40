package netiftest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NetNS is a network namespace that goes with the test. Its loopback is up, and IPv6 is off on new devices, so that
// the kernel sends nothing unasked.
type NetNS struct{ file *os.File }

// NewNetNS makes a namespace. Where that is not permitted the test is skipped, unless UKVM_REQUIRE_KVM=1 says that this
// machine must run every test.
func NewNetNS(t testing.TB) *NetNS {
	t.Helper()
	n := &NetNS{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		var err error
		if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if n.file != nil {
		t.Cleanup(func() { n.file.Close() })
	}
	if errors.Is(err, unix.EPERM) && os.Getenv("UKVM_REQUIRE_KVM") != "1" {
		t.Skipf("needs root: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Fd is the namespace's file.
func (n *NetNS) Fd() uintptr { return n.file.Fd() }

// Path names the namespace for as long as the test runs.
func (n *NetNS) Path() string { return fmt.Sprintf("/proc/self/fd/%d", n.file.Fd()) }

// Do runs f on a thread in the namespace; sockets that f opens stay there. F must not start goroutines that open more.
func (n *NetNS) Do(t testing.TB, f func() error) {
	t.Helper()
	if err := n.Run(f); err != nil {
		t.Fatal(err)
	}
}

// Run is Do for goroutines that cannot end the test.
func (n *NetNS) Run(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that ends afterwards, as it may be in another namespace by then. The process's first
// thread cannot end, so a goroutine that finds itself there starts another while it keeps that thread busy.
func onThread(f func() error) error {
	done := make(chan error, 1)
	var run func()
	run = func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			next := make(chan struct{})
			go func() { defer close(next); run() }()
			<-next
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}
	go run()
	return <-done
}
