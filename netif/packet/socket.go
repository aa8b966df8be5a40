package packet

import (
	"errors"
	"fmt"
	"math/bits"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// socket is a packet socket on an interface.
type socket struct {
	fd    int
	name  string
	index int
	mtu   int
	mac   [6]byte // of the interface
}

// longBytes is how much of the memory of frames that are too long for a slot the kernel keeps for the reader, in bytes (it
// doubles that): some hundred of 64 KiB.
const longBytes = 8 << 20

// open finds the interface of c, on a thread in its namespace, and makes a socket that gets nothing yet. On error nothing
// is left.
func (c *Config) open() (s socket, err error) {
	s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, socketError(c.Name, err)
	}
	defer func() {
		if err != nil {
			unix.Close(s.fd)
		}
	}()
	if err := s.find(c); err != nil {
		return s, err
	}
	for _, o := range []struct {
		what         string
		level, which int
		value        int
	}{
		{"headers with checksums and segmentation", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"frames too long for the ring", unix.SOL_PACKET, unix.PACKET_COPY_THRESH, 1},
		{"ignoring what is sent", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{"memory for long frames", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, longBytes},
	} {
		if err := unix.SetsockoptInt(s.fd, o.level, o.which, o.value); err != nil {
			return s, fmt.Errorf("packet %s: %s: %w", s.name, o.what, err)
		}
	}
	return s, nil
}

// find looks the interface up, checks that a guest can have it, and brings it up.
func (s *socket) find(c *Config) error {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer handle.Close()
	link, err := handle.LinkByName(c.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return fmt.Errorf("packet %s: there is no such interface", c.Name)
	}
	if err != nil {
		return fmt.Errorf("packet %s: look it up: %w", c.Name, err)
	}
	a := link.Attrs()
	s.name, s.index, s.mtu = a.Name, a.Index, min(a.MTU, maxMTU)
	if a.EncapType != "ether" || len(a.HardwareAddr) != len(s.mac) {
		return fmt.Errorf("packet %s: it is no Ethernet interface (%s)", s.name, a.EncapType)
	}
	s.mac = [6]byte(a.HardwareAddr)
	addrs, err := handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("packet %s: list its addresses: %w", s.name, err)
	}
	for _, addr := range addrs {
		if !addr.IP.IsLinkLocalUnicast() {
			return fmt.Errorf("packet %s: this host has the address %v on it and would answer beside the guest: take it away (ip addr del %[2]v dev %[1]s)", s.name, addr.IPNet)
		}
	}
	if a.Flags&net.FlagUp == 0 {
		if err := handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("packet %s: bring it up: %w", s.name, err)
		}
	}
	return nil
}

// start has frames come in, those for the guest's address mac among them.
func (s *socket) start(mac [6]byte) error {
	memberships := []uint16{unix.PACKET_MR_ALLMULTI}
	if mac != s.mac {
		memberships = append(memberships, unix.PACKET_MR_PROMISC)
	}
	for _, m := range memberships {
		if err := unix.SetsockoptPacketMreq(s.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(s.index), Type: m}); err != nil {
			return fmt.Errorf("packet %s: ask for frames: %w", s.name, err)
		}
	}
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: bits.ReverseBytes16(unix.ETH_P_ALL), Ifindex: s.index}); err != nil {
		return fmt.Errorf("packet %s: bind: %w", s.name, err)
	}
	return nil
}

// trouble is what the kernel has to say of the socket: nil also when the interface is down, as it may come up again.
func (s *socket) trouble() error {
	if e, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e == 0 {
		return nil
	}
	if s.gone() {
		return s.removed()
	}
	return nil
}

// gone reports whether the interface is no more.
func (s *socket) gone() bool {
	name, err := unix.Getsockname(s.fd)
	at, ok := name.(*unix.SockaddrLinklayer)
	return err != nil || !ok || at.Ifindex != s.index
}

func (s *socket) removed() error {
	return fmt.Errorf("packet %s was removed from outside: %w", s.name, unix.ENODEV)
}

// lost is how many frames the kernel had no room for since it was asked last.
func (s *socket) lost() uint64 {
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return uint64(stats.Drops)
}

func socketError(name string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("packet %s: needs CAP_NET_RAW: run as root, or use --net user: %w", name, err)
	}
	return fmt.Errorf("packet %s: %w", name, err)
}
