package packet

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif/internal/packetrx"
)

// socket is a packet socket on an interface.
type socket struct {
	*packetrx.Socket
	name  string
	index int
	mtu   int
	mac   [6]byte // of the interface
}

// open finds the interface of c, on a thread in its namespace, and makes a socket that gets nothing yet. On error nothing
// is left.
func (c *Config) open() (s socket, err error) {
	if s.Socket, err = packetrx.Open("packet "+c.Name, packetrx.Incoming); err != nil {
		return s, socketError(c.Name, err)
	}
	if err = s.find(c); err != nil {
		s.Close()
	}
	return s, err
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
		if err := unix.SetsockoptPacketMreq(s.FD, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(s.index), Type: m}); err != nil {
			return fmt.Errorf("packet %s: ask for frames: %w", s.name, err)
		}
	}
	if err := s.MakeRing(); err != nil {
		return err
	}
	return s.Bind(s.index)
}

func socketError(name string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("packet %s: needs CAP_NET_RAW: run as root, or use --net user: %w", name, unix.EPERM)
	}
	return err
}
