package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// farSide is a network namespace at the other end of a veth.
type farSide struct {
	addr string // of the far end
	path string // of the namespace, as long as it is there
	near string // name of the veth's near end
	do   chan func()
}

// newFarSide makes the namespace, and a veth to it from the thread's own: with name, and in a network of three numbers.
func newFarSide(name, network string) (*farSide, error) {
	near, far := name+"-near", name+"-far"
	f := &farSide{addr: network + ".2", near: near, do: make(chan func())}
	made := make(chan *os.File, 1)
	failed := make(chan error, 1)
	go func() {
		failed <- inNamespace(func() error {
			ns, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			f.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
			made <- ns
			for task := range f.do {
				task()
			}
			return nil
		})
	}()
	var ns *os.File
	select {
	case err := <-failed:
		return nil, err
	case ns = <-made:
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = near
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: far, PeerNamespace: netlink.NsFd(ns.Fd())}
	err := netlink.LinkAdd(veth)
	if err == nil {
		err = setUpLink(near, network+".1/24")
	}
	if err == nil {
		err = f.call(func() error { return setUpLink(far, f.addr+"/24") })
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("make a veth: %w", err)
	}
	return f, nil
}

// bare makes another veth, with name and an address of the near end, whose far end has none and is for a guest. It returns the
// far end's name.
func (f *farSide) bare(name, prefix string) (string, error) {
	ns, err := os.Open(f.path)
	if err != nil {
		return "", err
	}
	defer ns.Close()
	near, far := name+"-near", name+"-far"
	attrs := netlink.NewLinkAttrs()
	attrs.Name = near
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: far, PeerNamespace: netlink.NsFd(ns.Fd())}
	if err := netlink.LinkAdd(veth); err != nil {
		return "", fmt.Errorf("make a veth: %w", err)
	}
	return far, setUpLink(near, prefix)
}

func setUpLink(name, prefix string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	p := netip.MustParsePrefix(prefix)
	addr, err := netlink.ParseAddr(p.String())
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, addr); err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// call runs a function in the namespace.
func (f *farSide) call(task func() error) error {
	done := make(chan error)
	f.do <- func() { done <- task() }
	return <-done
}

// serve starts a command there, on the servers' processor.
func (f *farSide) serve(env []string, words ...string) (s *server, err error) {
	err = f.call(func() (err error) {
		s, err = serve(env, words...)
		return err
	})
	return s, err
}

// close ends the namespace, and with it the veth.
func (f *farSide) close() { close(f.do) }

// remove is close where another may be made by that name at once: the kernel takes namespaces down when it has time. It is
// called in the namespace of the near end.
func (f *farSide) remove() error {
	defer f.close()
	l, err := netlink.LinkByName(f.near)
	if err != nil {
		return err
	}
	return netlink.LinkDel(l)
}
