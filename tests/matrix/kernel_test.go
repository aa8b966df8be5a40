package matrix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif/netiftest"
)

// kernel is an end with Linux's stack, in a network namespace of its own. The cable is plugged into a TAP device without
// offloads.
type kernel struct {
	ns    *netiftest.NetNS
	file  *os.File
	addr  netip.Addr
	ended chan struct{}
}

// settings are Linux's own defaults (with CUBIC, see prepare), whatever this machine has been tuned to; no memory of earlier connections, which would make
// the order of measurements matter; and, so that black holes are passed at all, probing of the MTU (which it does not do by default).
var settings = map[string]string{
	"tcp_rmem":            "4096 131072 6291456",
	"tcp_wmem":            "4096 16384 4194304",
	"tcp_no_metrics_save": "1",
	"tcp_mtu_probing":     "1",
}

func newKernel(t testing.TB, p plug) (end, error) {
	k := &kernel{ns: netiftest.NewNetNS(t), addr: p.addr(), ended: make(chan struct{})}
	err := k.ns.Run(func() error {
		for name, value := range settings {
			if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		return k.tap(p)
	})
	if err != nil {
		return nil, err
	}
	p.receive(func(frames [][]byte) {
		for _, f := range frames {
			k.file.Write(f)
		}
	})
	go k.read(p)
	return k, nil
}

// tap makes the device. It goes with the file.
func (k *kernel) tap(p plug) error {
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: "tap0"}, Mode: netlink.TUNTAP_MODE_TAP, Queues: 1, NonPersist: true,
		Flags: netlink.TUNTAP_NO_PI,
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return fmt.Errorf("make a TAP device: %w", err)
	}
	fd, err := unix.FcntlInt(tap.Fds[0].Fd(), unix.F_DUPFD_CLOEXEC, 0) // for a file of our own, with the poller
	tap.Fds[0].Close()
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	k.file = os.NewFile(uintptr(fd), "tap0")
	if p.v6 {
		for name, value := range map[string]string{"accept_ra": "0", "disable_ipv6": "0"} { // which the namespace sets
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/tap0/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
	}
	mac := p.mac()
	// The device's queue is longer than any window: what Linux sends is lost on the cable, not before.
	return errors.Join(
		netlink.LinkSetHardwareAddr(tap, mac[:]),
		netlink.LinkSetMTU(tap, p.mtu),
		netlink.LinkSetTxQLen(tap, 20000),
		netlink.AddrAdd(tap, &netlink.Addr{
			IPNet: &net.IPNet{IP: p.addr().AsSlice(), Mask: net.CIDRMask(p.prefix().Bits(), p.addr().BitLen())},
			Flags: unix.IFA_F_NODAD, // to be used at once
		}),
		netlink.LinkSetUp(tap),
	)
}

// read puts what Linux sends on the cable, in batches.
func (k *kernel) read(p plug) {
	defer close(k.ended)
	raw, err := k.file.SyscallConn()
	if err != nil {
		return
	}
	space := make([]byte, batch*frameMax)
	frames := make([][]byte, 0, batch)
	for {
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			frames = frames[:0]
			for len(frames) < batch {
				b := space[len(frames)*frameMax : (len(frames)+1)*frameMax]
				n, err := unix.Read(int(fd), b)
				if err == unix.EINTR {
					continue
				}
				if err != nil {
					if err != unix.EAGAIN {
						failed = err
					}
					break
				}
				frames = append(frames, b[:n])
			}
			return failed != nil || len(frames) > 0
		})
		if err != nil || failed != nil {
			return
		}
		p.send(frames)
	}
}

func (k *kernel) name() string { return "linux" }

func (k *kernel) probes() bool { return true } // as it is set up here

func (k *kernel) bears() bool { return true }

func (k *kernel) close() {
	k.file.Close()
	<-k.ended
}

// settled is Linux's own business.
func (k *kernel) settled() error { return nil }

func (k *kernel) listen(port uint16) (l listener, err error) {
	config := net.ListenConfig{Control: prepare, KeepAlive: -1}
	err = k.ns.Run(func() error {
		n, err := config.Listen(context.Background(), "tcp", netip.AddrPortFrom(k.addr, port).String())
		if err == nil {
			l = kernelListener{n.(*net.TCPListener)}
		}
		return err
	})
	return l, err
}

func (k *kernel) dial(local uint16, to netip.AddrPort) (c conn, err error) {
	dialer := net.Dialer{Control: prepare, KeepAlive: -1, Timeout: patience}
	if local != 0 {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(k.addr, local))
	}
	err = k.ns.Run(func() error {
		n, err := dialer.Dial("tcp", to.String())
		if err == nil {
			c = kernelConn{n.(*net.TCPConn)}
		}
		return err
	})
	return c, err
}

// prepare is for sockets that are to connect or listen. Accepted ones inherit what it sets.
func prepare(_, _ string, raw syscall.RawConn) (err error) {
	e := raw.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic"),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		)
	})
	return errors.Join(e, err)
}

// kernelListener is a listening socket of Linux's.
type kernelListener struct{ *net.TCPListener }

func (l kernelListener) accept() (conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return kernelConn{c}, nil
}

// kernelConn is a socket of Linux's.
type kernelConn struct{ *net.TCPConn }

func (c kernelConn) abort() error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}

func (c kernelConn) isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
