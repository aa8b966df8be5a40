package user

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Publish makes a port of the guest reachable through a port of the host.
type Publish struct {
	Network string     // "tcp" or "udp"; empty is tcp
	Addr    netip.Addr // of the host; not valid is all of them, IPv4 and IPv6
	Host    uint16     // port of the host; 0 is any that is free (see Link.Published)
	Guest   uint16     // port of the guest
}

// ParsePublish reads the command line's form, [ip:]host:guest[/tcp|/udp]. An IPv6 address is put in brackets.
func ParsePublish(s string) (Publish, error) {
	p, err := parsePublish(s)
	if err != nil {
		return Publish{}, fmt.Errorf("publish %q: %w", s, err)
	}
	return p, nil
}

// dashed is the form of `ops run -p`.
var dashed = regexp.MustCompile(`^(\d+)-(\d+)$`)

func parsePublish(s string) (p Publish, err error) {
	p.Network = "tcp"
	ports, network, ok := strings.Cut(s, "/")
	if ok {
		p.Network = network
		if network != "tcp" && network != "udp" {
			return p, fmt.Errorf("unknown protocol %q: write /tcp or /udp", network)
		}
	}
	if m := dashed.FindStringSubmatch(ports); m != nil {
		return p, fmt.Errorf("ports are separated by a colon: write -p %s:%s", m[1], m[2])
	}
	i := strings.LastIndexByte(ports, ':')
	if i < 0 {
		if _, err := port("", ports); err == nil {
			return p, fmt.Errorf("the host's port is missing: write -p %s:%s", ports, ports)
		}
		return p, errors.New("write -p [ip:]host:guest[/udp], for example -p 8080:80")
	}
	host, guest := ports[:i], ports[i+1:]
	if p.Guest, err = port("guest", guest); err != nil {
		return p, err
	}
	if p.Guest == 0 {
		return p, errors.New("guest port 0 is none: write 1 to 65535")
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		addr := host[:i]
		host = host[i+1:]
		if bare, ok := strings.CutPrefix(addr, "["); ok && strings.HasSuffix(bare, "]") {
			addr = strings.TrimSuffix(bare, "]")
		} else if strings.Contains(addr, ":") {
			return p, fmt.Errorf("put the IPv6 address in brackets: write -p [%s]:%s:%s", addr, host, guest)
		}
		if p.Addr, err = netip.ParseAddr(addr); err != nil {
			return p, fmt.Errorf("host address %q is not an IP address", addr)
		}
	}
	p.Host, err = port("host", host)
	return p, err
}

func port(side, s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	switch {
	case err == nil:
		return uint16(n), nil
	case s == "":
		return 0, fmt.Errorf("the %s port is missing: write -p host:guest, for example -p 8080:80", side)
	case strings.Contains(s, "-"):
		return 0, fmt.Errorf("%s port %q is a range: repeat -p for each port", side, s)
	}
	return 0, fmt.Errorf("%s port %q is not a number from 0 to 65535", side, s)
}

// String is the command line's form.
func (p Publish) String() string {
	s := fmt.Sprintf("%d:%d", p.Host, p.Guest)
	switch {
	case p.Addr.Is4():
		s = fmt.Sprintf("%v:%s", p.Addr, s)
	case p.Addr.IsValid():
		s = fmt.Sprintf("[%v]:%s", p.Addr, s)
	}
	if p.Network == "udp" {
		s += "/udp"
	}
	return s
}

// hostAddress is where to listen.
func (p Publish) hostAddress() string {
	host := ""
	if p.Addr.IsValid() {
		host = p.Addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(p.Host)))
}
