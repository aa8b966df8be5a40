package tap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/hypercall"
)

const tunPath = "/dev/net/tun"

// device is an open TAP device.
type device struct {
	fd    int
	name  string
	index int
	mtu   int
	made  bool // it goes with fd
	qdisc bool // it has a queueing discipline
}

// open makes the device of c, or attaches to it, on a thread in its namespace, and sets it up. On error nothing is left.
func (c *Config) open() (d device, err error) {
	d.fd, err = unix.Open(tunPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return d, tunError(err)
	}
	defer func() {
		if err != nil {
			unix.Close(d.fd)
		}
	}()
	if d.name, d.made, err = attach(d.fd, c.Name); err != nil {
		return d, err
	}
	if err := unix.IoctlSetPointerInt(d.fd, unix.TUNSETVNETHDRSZ, hypercall.NetHeaderSize); err != nil {
		return d, fmt.Errorf("set header size of %s: %w", d.name, err)
	}
	if err := d.setOffloads(false, false, false); err != nil { // whoever had it before may have left some on
		return d, err
	}
	return d, d.configure(c)
}

// setOffloads says what the reader of the device does itself: complete checksums, take TCP frames longer than the MTU, of IPv6 too.
func (d *device) setOffloads(checksum, segment, tcp6 bool) error {
	flags := 0
	if checksum {
		flags |= unix.TUN_F_CSUM
	}
	if segment {
		flags |= unix.TUN_F_TSO4
		if tcp6 {
			flags |= unix.TUN_F_TSO6
		}
	}
	if err := unix.IoctlSetInt(d.fd, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("set offloads of %s: %w", d.name, err)
	}
	return nil
}

// attach gives fd the device: a new one, or else that which has the name.
func attach(fd int, name string) (string, bool, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return "", false, fmt.Errorf("make tap %q: %w", name, err)
	}
	const flags = unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	ifr.SetUint16(flags | unix.IFF_TUN_EXCL)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	if err == nil {
		return ifr.Name(), true, nil
	}
	if !errors.Is(err, unix.EBUSY) {
		return "", false, makeError(name, err)
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return "", false, attachError(name, err)
	}
	return ifr.Name(), false, nil
}

// configure sets what c asks for on a device of its own, and only what differs on another's.
func (d *device) configure(c *Config) error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(d.name)
	if err != nil {
		return fmt.Errorf("look up %s: %w", d.name, err)
	}
	d.index, d.mtu = link.Attrs().Index, link.Attrs().MTU
	want := c.MTU
	if want == 0 && d.made {
		want = defaultMTU
	}
	if want != 0 && want != d.mtu {
		if err := handle.LinkSetMTU(link, want); err != nil {
			return fmt.Errorf("set mtu of %s to %d: %w", d.name, want, err)
		}
		d.mtu = want
	}
	if gw := c.side().Router(); d.made && gw.IsValid() {
		addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(gw, c.Addr.Bits()))}
		if err := handle.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("give %s the address %v: %w", d.name, addr.IPNet, err)
		}
	}
	if gw := c.Gateway6; d.made && gw.IsValid() {
		// Namespaces, of containers above all, may have IPv6 off on new devices. If this fails, AddrAdd says so.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+d.name+"/disable_ipv6", []byte("0"), 0)
		addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(gw, c.Addr6.Bits())), Flags: unix.IFA_F_NODAD}
		if err := handle.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("give %s the address %v: %w", d.name, addr.IPNet, err)
		}
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring up %s: %w", d.name, err)
		}
	}
	d.qdisc, err = queues(handle, link)
	return err
}

// queues reports whether a device has a queueing discipline.
func queues(handle *netlink.Handle, link netlink.Link) (bool, error) {
	list, err := handle.QdiscList(link)
	if err != nil {
		return false, fmt.Errorf("look up how %s queues: %w", link.Attrs().Name, err)
	}
	for _, q := range list {
		if q.Attrs().Parent == netlink.HANDLE_ROOT && q.Type() == "noqueue" {
			return false, nil
		}
	}
	return true, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func tunError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("open %s: it is missing: load the module (modprobe tun), or pass the device into the container: %w", tunPath, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("open %s: not permitted: run as root, or use the user-mode network (--net user): %w", tunPath, err)
	}
	return fmt.Errorf("open %s: %w", tunPath, err)
}

func makeError(name string, err error) error {
	if name == "" {
		name = "tap%d"
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("make tap %s: needs CAP_NET_ADMIN: run as root, have root make it (ip tuntap add %[1]s mode tap user NAME), or use --net user: %w", name, err)
	}
	return fmt.Errorf("make tap %s: %w", name, err)
}

func attachError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("attach to tap %s: it is in use by another process: %w", name, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("attach to tap %s: a device of that name exists and is no single-queue TAP: %w", name, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("attach to tap %s: it belongs to another user: run as that user or root: %w", name, err)
	}
	return fmt.Errorf("attach to tap %s: %w", name, err)
}
