package posix

import (
	"bytes"
	"syscall"
	"testing"
)

// Options that ask for control messages (ip(7), ipv6(7)).
var (
	wantAncillary4 = []int{ipPktInfo, syscall.IP_RECVTTL, syscall.IP_RECVTOS}
	wantAncillary6 = []int{syscall.IPV6_RECVPKTINFO, syscall.IPV6_RECVHOPLIMIT, syscall.IPV6_RECVTCLASS}
)

// TestAncillaryAsLinux: Linux understands the control messages a datagram is sent with, and those of what has arrived are
// laid out as Linux's, byte for byte.
func TestAncillaryAsLinux(t *testing.T) {
	four := Addr4([4]byte{127, 0, 0, 1}, 0)
	six := Addr{Family: syscall.AF_INET6, IP: [16]byte{15: 1}}
	const p4, p6 = AncillaryPktInfo4 | AncillaryTTL | AncillaryTOS, AncillaryPktInfo6 | AncillaryHopLimit | AncillaryTClass
	for name, c := range map[string]struct {
		sender, receiver uint16
		say, hear        Ancillary
	}{
		"IPv4": {syscall.AF_INET, syscall.AF_INET,
			Ancillary{Has: p4, Local: four, Hops: 9, Class: 0x2c}, Ancillary{Has: p4, Link: 1, Local: four, Own: four, Hops: 9, Class: 0x2c}},
		"IPv6": {syscall.AF_INET6, syscall.AF_INET6,
			Ancillary{Has: p6, Link: 1, Local: six, Hops: 77, Class: 1}, Ancillary{Has: p6, Link: 1, Local: six, Hops: 77, Class: 1}},
		"IPv4 in IPv6": {syscall.AF_INET, syscall.AF_INET6,
			Ancillary{Has: AncillaryTTL, Hops: 3}, Ancillary{Has: p4 | AncillaryPktInfo6, Link: 1, Local: four, Own: four, Hops: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			r, err := syscall.Socket(int(c.receiver), syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
			must(err)
			defer syscall.Close(r)
			s, err := syscall.Socket(int(c.sender), syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
			must(err)
			defer syscall.Close(s)
			var port int
			if c.receiver == syscall.AF_INET {
				must(syscall.Bind(r, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
			} else {
				must(syscall.Bind(r, &syscall.SockaddrInet6{}))
				for _, o := range wantAncillary6 {
					must(syscall.SetsockoptInt(r, syscall.IPPROTO_IPV6, o, 1))
				}
			}
			for _, o := range wantAncillary4 {
				if c.sender == syscall.AF_INET {
					must(syscall.SetsockoptInt(r, syscall.IPPROTO_IP, o, 1))
				}
			}
			must(syscall.SetsockoptTimeval(r, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 30}))
			name, err := syscall.Getsockname(r)
			must(err)
			switch a := name.(type) {
			case *syscall.SockaddrInet4:
				port = a.Port
			case *syscall.SockaddrInet6:
				port = a.Port
			}
			var to syscall.Sockaddr = &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
			if c.sender == syscall.AF_INET6 {
				to = &syscall.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}}
			}
			b := make([]byte, 200)
			say := c.say
			if say.Local.Family == syscall.AF_INET {
				say.Own = say.Local // spec_dst is what Linux sends from
			}
			n, _ := say.store(b)
			must(syscall.Sendmsg(s, []byte("x"), b[:n], to, 0))
			oob := make([]byte, 200)
			_, used, _, _, err := syscall.Recvmsg(r, make([]byte, 10), oob, 0)
			must(err)
			n, cut := c.hear.store(b)
			if cut || !bytes.Equal(b[:n], oob[:used]) {
				t.Errorf("control messages\n%x, Linux has\n%x", b[:n], oob[:used])
			}
		})
	}
}

// TestAncillaryParse: what is sent comes out of control messages as it went in; what is malformed is refused as by Linux.
func TestAncillaryParse(t *testing.T) {
	one := func(level, typ int, data ...byte) []byte {
		b := make([]byte, cmsgAlign(cmsgHeader+len(data)))
		putCmsg(b, cmsgHeader+len(data), level, typ)
		copy(b[cmsgHeader:], data)
		return b
	}
	const v4, v6 = syscall.IPPROTO_IP, syscall.IPPROTO_IPV6
	s, _ := newTestSystem(nil)
	for name, c := range map[string]struct {
		family uint16
		b      []byte
		want   Ancillary
		errno  syscall.Errno
	}{
		"IP_PKTINFO": {syscall.AF_INET, one(v4, ipPktInfo, 2, 0, 0, 0, 10, 0, 0, 1, 9, 9, 9, 9),
			Ancillary{Has: AncillaryPktInfo4, Link: 2, Local: Addr4([4]byte{10, 0, 0, 1}, 0)}, 0},
		"IP_PKTINFO of no address": {syscall.AF_INET, one(v4, ipPktInfo, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
			Ancillary{Has: AncillaryPktInfo4, Link: 2}, 0},
		"IPV6_PKTINFO": {syscall.AF_INET6, one(v6, ipv6PktInfo, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0),
			Ancillary{Has: AncillaryPktInfo6, Link: 3, Local: Addr{Family: syscall.AF_INET6, Scope: 3, IP: [16]byte{0: 0xfe, 1: 0x80, 15: 1}}}, 0},
		"several": {syscall.AF_INET6, append(one(v6, ipv6HopLimit, 7, 0, 0, 0), one(v6, ipv6TClass, 8, 0, 0, 0)...),
			Ancillary{Has: AncillaryHopLimit | AncillaryTClass, Hops: 7, Class: 8}, 0},
		"minus one":               {syscall.AF_INET6, one(v6, ipv6HopLimit, 255, 255, 255, 255), Ancillary{}, 0},
		"IP_TOS of one byte":      {syscall.AF_INET, one(v4, syscall.IP_TOS, 4), Ancillary{Has: AncillaryTOS, Class: 4}, 0},
		"IP_TOS of four":          {syscall.AF_INET, one(v4, syscall.IP_TOS, 4, 0, 0, 0), Ancillary{Has: AncillaryTOS, Class: 4}, 0},
		"another level":           {syscall.AF_INET, one(99, 99, 1), Ancillary{}, 0},
		"IPv6's on an IPv4 one":   {syscall.AF_INET, one(v6, ipv6HopLimit, 7, 0, 0, 0), Ancillary{}, 0},
		"on a stream":             {syscall.AF_UNSPEC, one(v4, 99, 1), Ancillary{}, 0},
		"TTL 0":                   {syscall.AF_INET, one(v4, syscall.IP_TTL, 0, 0, 0, 0), Ancillary{}, syscall.EINVAL},
		"TTL 256":                 {syscall.AF_INET, one(v4, syscall.IP_TTL, 0, 1, 0, 0), Ancillary{}, syscall.EINVAL},
		"hop limit -2":            {syscall.AF_INET6, one(v6, ipv6HopLimit, 254, 255, 255, 255), Ancillary{}, syscall.EINVAL},
		"short IP_PKTINFO":        {syscall.AF_INET, one(v4, ipPktInfo, 2, 0, 0, 0), Ancillary{}, syscall.EINVAL},
		"short IPV6_PKTINFO":      {syscall.AF_INET6, one(v6, ipv6PktInfo, 2, 0, 0, 0), Ancillary{}, syscall.EINVAL},
		"short IPV6_HOPLIMIT":     {syscall.AF_INET6, one(v6, ipv6HopLimit, 2), Ancillary{}, syscall.EINVAL},
		"an unknown one of IP":    {syscall.AF_INET, one(v4, 99, 1), Ancillary{}, syscall.EINVAL},
		"an unknown one of IPv6":  {syscall.AF_INET6, one(v6, 99, 1), Ancillary{}, syscall.EINVAL},
		"longer than the message": {syscall.AF_INET6, one(v6, ipv6PktInfo, make([]byte, 20)...)[:30], Ancillary{}, syscall.EINVAL},
	} {
		got, errno := s.parseControl(c.b, c.family)
		if errno != c.errno || errno == 0 && got.ancillary != c.want {
			t.Errorf("%s: %+v, %v", name, got, errno)
		}
	}
	a := Ancillary{Has: AncillaryPktInfo6 | AncillaryHopLimit}
	if n, cut := a.store(make([]byte, 58)); n != 58 || !cut {
		t.Errorf("room for one and a half: %d, %v", n, cut)
	}
	if n, cut := a.store(make([]byte, 15)); n != 0 || !cut {
		t.Errorf("room for none: %d, %v", n, cut)
	}
}

// FuzzAncillary parses arbitrary control messages, and stores what came out into arbitrary room.
func FuzzAncillary(f *testing.F) {
	b := make([]byte, 200)
	all := Ancillary{Has: 1<<6 - 1, Link: 2, Local: Addr4([4]byte{10, 0, 0, 1}, 0), Hops: 3, Class: 4}
	n, _ := all.store(b)
	f.Add(b[:n], true, uint8(100))
	s, _ := newTestSystem(nil)
	f.Fuzz(func(t *testing.T, b []byte, six bool, room uint8) {
		family := uint16(syscall.AF_INET)
		if six {
			family = syscall.AF_INET6
		}
		c, errno := s.parseControl(b, family)
		if errno == 0 != (c != nil) {
			t.Fatal("both a message and an error")
		}
		if c == nil {
			return
		}
		defer c.drop()
		out := make([]byte, room)
		used, cut := c.ancillary.store(out)
		if used > len(out) || used == 0 && !cut && c.ancillary.Has != 0 {
			t.Fatal(used, cut)
		}
		if cut || six == (c.ancillary.Has&(AncillaryPktInfo6|AncillaryHopLimit|AncillaryTClass) == 0) {
			return
		}
		again, errno := s.parseControl(out[:used], family)
		if errno != 0 && c.ancillary.Hops != 0 || errno == 0 && (again.ancillary.Has != c.ancillary.Has || again.ancillary.Hops != c.ancillary.Hops) {
			t.Errorf("%+v became %+v, %v", c.ancillary, again, errno)
		}
	})
}
