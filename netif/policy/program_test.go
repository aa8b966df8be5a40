package policy

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
)

var (
	guestMAC = [6]byte{2, 0, 0, 0, 0, 1}
	hostMAC  = [6]byte{2, 0, 0, 0, 0, 2}
	guest    = netif.Config{MAC: guestMAC, MTU: 1500, Addr: netip.MustParsePrefix("10.0.0.2/24"), IP6: true, Addr6: netip.MustParsePrefix("fd00::2/64")}
	dhcp     = netif.Config{MAC: guestMAC, MTU: 1500, DHCP: true, IP6: true, Routers: true}
)

// a packet is described by what matters to a policy. Zero values are those of the guest and its peer.
type packet struct {
	mac      [6]byte // source
	src, dst string
	protocol uint8
	sport    uint16
	dport    uint16
	flags    uint8  // of TCP
	icmp     uint8  // type
	frag     uint16 // place of a fragment, in units of 8 bytes
	target   string // of neighbour discovery
}

// frame is the packet with an Ethernet header, 100 bytes or more.
func (p packet) frame(fromGuest bool) []byte {
	be := binary.BigEndian
	src, dst := netip.MustParseAddr(p.src), netip.MustParseAddr(p.dst)
	from, to := guestMAC, hostMAC
	if !fromGuest {
		from, to = to, from
	}
	if p.mac != [6]byte{} {
		from = p.mac
	}
	b := append(append([]byte{}, to[:]...), from[:]...)
	if src.Is4() {
		b = append(b, 0x08, 0x00, 0x46, 0, 0, 86, 0, 1) // with options
		b = be.AppendUint16(b, p.frag)
		b = append(b, 64, p.protocol, 0, 0)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
		b = append(b, 1, 1, 1, 0)
	} else {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 46, p.protocol, 255)
		b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	}
	if p.protocol == 1 || p.protocol == 58 {
		b = append(b, p.icmp, 0, 0, 0, 0, 0, 0, 0)
		if p.target != "" {
			b = append(b, netip.MustParseAddr(p.target).AsSlice()...)
		}
	} else {
		b = be.AppendUint16(b, p.sport)
		b = be.AppendUint16(b, p.dport)
		b = append(b, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, p.flags)
	}
	return append(b, make([]byte, max(0, 100-len(b)))...)
}

// arpFrame is an ARP request or reply.
func arpFrame(mac, sender [6]byte, senderIP, target string) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:]...)
	b = append(b, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(b, sender[:]...)
	b = append(b, netip.MustParseAddr(senderIP).AsSlice()...)
	b = append(b, make([]byte, 6)...)
	b = append(b, netip.MustParseAddr(target).AsSlice()...)
	return append(b, make([]byte, 18)...)
}

// require skips a test where the kernel or its user's rights do not suffice, unless this machine must run every test.
func require(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if (errors.Is(err, unix.EPERM) || errors.Is(err, ErrUnsupported)) && os.Getenv("UKVM_REQUIRE_KVM") != "1" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// loaded is a policy's programs, on no device.
type loaded struct {
	*Guard
	programs [2]*ebpf.Program // from the guest, to the guest
}

func load(t testing.TB, c netif.Config, words ...string) *loaded {
	t.Helper()
	p, err := Parse(words)
	if err != nil {
		t.Fatal(err)
	}
	l := &loaded{Guard: &Guard{}}
	t.Cleanup(func() { l.Close() })
	require(t, l.makeMaps())
	for i := range l.programs {
		prog := program{policy: &p, guest: c, fromGuest: i == 0, counters: l.counters.FD(), buckets: l.buckets.FD(), events: l.events.FD()}
		l.programs[i], err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: prog.assemble(), License: "Dual MIT/GPL"})
		var verifier *ebpf.VerifierError
		if errors.As(err, &verifier) {
			t.Fatalf("%+v", verifier)
		}
		require(t, err)
		t.Cleanup(func() { l.programs[i].Close() })
	}
	return l
}

// verdict runs a program on a frame, and returns why it was dropped, or Passed.
func (l *loaded) verdict(t testing.TB, fromGuest bool, frame []byte) Reason {
	t.Helper()
	prog := l.programs[1]
	if fromGuest {
		prog = l.programs[0]
	}
	before, err := l.Counters()
	if err != nil {
		t.Fatal(err)
	}
	result, _, err := prog.Test(frame)
	if err != nil {
		t.Fatal(err)
	}
	after, err := l.Counters()
	if err != nil {
		t.Fatal(err)
	}
	was, is := before.ToGuest, after.ToGuest
	if fromGuest {
		was, is = before.FromGuest, after.FromGuest
	}
	for r := range reasons {
		if is[r].Packets == was[r].Packets {
			continue
		}
		if is[r].Packets != was[r].Packets+1 || is[r].Bytes != was[r].Bytes+uint64(len(frame)) {
			t.Errorf("%v: counted %+v after %+v", r, is[r], was[r])
		}
		if passed := int32(result) == next; passed != (r == Passed) || !passed && result != shot {
			t.Errorf("%v: verdict %d", r, int32(result))
		}
		return r
	}
	t.Fatal("nothing was counted")
	return 0
}

func TestGuard(t *testing.T) {
	l := load(t, guest, "guard", "addr=10.9.0.0/16", "addr=fd00::5")
	other := [6]byte{2, 0, 0, 0, 0, 3}
	vlan := packet{src: "10.0.0.2", dst: "10.0.0.1", protocol: 17}.frame(true)
	vlan[12], vlan[13] = 0x88, 0xa8
	short := packet{src: "10.0.0.2", dst: "10.0.0.1", protocol: 6}.frame(true)[:14+24+13]
	version := packet{src: "10.0.0.2", dst: "10.0.0.1", protocol: 17}.frame(true)
	version[14] = 0x65
	tiny := packet{src: "10.0.0.2", dst: "10.0.0.1", protocol: 17}.frame(true)
	tiny[14] = 0x44
	for _, c := range []struct {
		name  string
		frame []byte
		want  Reason
	}{
		{"udp", packet{src: "10.0.0.2", dst: "1.2.3.4", protocol: 17, dport: 53}.frame(true), Passed},
		{"second address", packet{src: "10.9.200.3", dst: "1.2.3.4", protocol: 17}.frame(true), Passed},
		{"foreign address", packet{src: "10.0.0.3", dst: "1.2.3.4", protocol: 17}.frame(true), ForeignSource},
		{"no address", packet{src: "0.0.0.0", dst: "255.255.255.255", protocol: 17, sport: 68, dport: 67}.frame(true), ForeignSource},
		{"foreign MAC", packet{mac: other, src: "10.0.0.2", dst: "1.2.3.4", protocol: 17}.frame(true), ForeignMAC},
		{"multicast", packet{src: "10.0.0.2", dst: "224.0.0.251", protocol: 17}.frame(true), Passed},
		{"later fragment", packet{src: "10.0.0.2", dst: "1.2.3.4", protocol: 6, frag: 2}.frame(true), Passed},
		{"fragment of a header", packet{src: "10.0.0.2", dst: "1.2.3.4", protocol: 6, frag: 1}.frame(true), Malformed},
		{"fragment of UDP", packet{src: "10.0.0.2", dst: "1.2.3.4", protocol: 17, frag: 1}.frame(true), Passed},
		{"foreign fragment", packet{src: "10.0.0.3", dst: "1.2.3.4", protocol: 17, frag: 1}.frame(true), ForeignSource},
		{"short", short, Malformed}, {"version", version, Malformed}, {"short header", tiny, Malformed},
		{"other protocol", vlan, OtherProtocol},
		{"arp", arpFrame(guestMAC, guestMAC, "10.0.0.2", "10.0.0.1"), Passed},
		{"arp probe", arpFrame(guestMAC, guestMAC, "0.0.0.0", "10.0.0.2"), Passed},
		{"arp for another", arpFrame(guestMAC, guestMAC, "10.0.0.1", "10.0.0.7"), ForeignSource},
		{"arp with another MAC", arpFrame(guestMAC, other, "10.0.0.2", "10.0.0.1"), ForeignMAC},
		{"arp from another MAC", arpFrame(other, guestMAC, "10.0.0.2", "10.0.0.1"), ForeignMAC},
		{"short arp", arpFrame(guestMAC, guestMAC, "10.0.0.2", "10.0.0.1")[:41], Malformed},
		{"ipv6", packet{src: "fd00::5", dst: "2001:db8::1", protocol: 6, flags: 2}.frame(true), Passed},
		{"ipv6 as told", packet{src: "fd00::2", dst: "2001:db8::1", protocol: 17}.frame(true), Passed},
		{"link-local", packet{src: "fe80::1234", dst: "fe80::1", protocol: 17}.frame(true), Passed},
		{"foreign ipv6", packet{src: "fd00::6", dst: "2001:db8::1", protocol: 6, flags: 2}.frame(true), ForeignSource},
		{"unspecified ipv6", packet{src: "::", dst: "2001:db8::1", protocol: 17}.frame(true), ForeignSource},
		{"router solicitation", packet{src: "::", dst: "ff02::2", protocol: 58, icmp: 133}.frame(true), Passed},
		{"router advertisement", packet{src: "fe80::1", dst: "ff02::1", protocol: 58, icmp: 134}.frame(true), RouterMessage},
		{"redirect", packet{src: "fe80::1", dst: "fe80::2", protocol: 58, icmp: 137}.frame(true), RouterMessage},
		{"probe of an address", packet{src: "::", dst: "ff02::1:ff00:5", protocol: 58, icmp: 135, target: "fd00::5"}.frame(true), Passed},
		{"solicitation", packet{src: "fd00::5", dst: "ff02::1:ff00:1", protocol: 58, icmp: 135, target: "fd00::1"}.frame(true), Passed},
		{"foreign solicitation", packet{src: "fd00::6", dst: "ff02::1:ff00:1", protocol: 58, icmp: 135, target: "fd00::1"}.frame(true), ForeignSource},
		{"advertisement", packet{src: "fd00::5", dst: "fe80::1", protocol: 58, icmp: 136, target: "fd00::5"}.frame(true), Passed},
		{"advertisement for another", packet{src: "fe80::5", dst: "fe80::1", protocol: 58, icmp: 136, target: "fd00::1"}.frame(true), ForeignSource},
		{"listener report", packet{src: "::", dst: "ff02::16", protocol: 0}.frame(true), Passed},
		{"hop-by-hop elsewhere", packet{src: "::", dst: "2001:db8::1", protocol: 0}.frame(true), ForeignSource},
	} {
		if got := l.verdict(t, true, c.frame); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	// All of that may come to the guest, from anybody, if it is whole.
	for _, frame := range [][]byte{
		packet{src: "10.0.0.9", dst: "10.0.0.2", protocol: 17}.frame(false), arpFrame(other, other, "10.0.0.1", "10.0.0.2"),
		packet{src: "fe80::1", dst: "ff02::1", protocol: 58, icmp: 134}.frame(false),
	} {
		if got := l.verdict(t, false, frame); got != Passed {
			t.Errorf("%x to the guest: %v", frame, got)
		}
	}
}

func TestDHCP(t *testing.T) {
	discover := packet{src: "0.0.0.0", dst: "255.255.255.255", protocol: 17, sport: 68, dport: 67}
	for _, c := range []struct {
		name   string
		policy []string
		packet packet
		from   bool
		want   Reason
	}{
		{"discover", []string{"to=10.0.0.1"}, discover, true, Passed},
		{"offer", []string{"to=10.0.0.1"}, packet{src: "10.0.0.7", dst: "10.0.0.2", protocol: 17, sport: 67, dport: 68}, false, Passed},
		{"request with an address", []string{"addr=10.0.0.2", "to=10.0.0.1"}, packet{src: "10.0.0.2", dst: "10.0.0.7", protocol: 17, sport: 68, dport: 67}, true, Passed},
		{"request with a foreign address", []string{"addr=10.0.0.2", "to=10.0.0.1"}, packet{src: "10.0.0.3", dst: "10.0.0.7", protocol: 17, sport: 68, dport: 67}, true, ForeignSource},
		{"not DHCP", []string{"addr=10.0.0.2"}, packet{src: "0.0.0.0", dst: "255.255.255.255", protocol: 17, sport: 68, dport: 69}, true, ForeignSource},
		{"any address", []string{"guard"}, packet{src: "10.0.0.77", dst: "10.0.0.1", protocol: 6}, true, Passed},
		{"another IPv6 address", []string{"addr=fd00::78"}, packet{src: "fd00::77", dst: "fd00::1", protocol: 6}, true, ForeignSource},
		{"any IPv6 address", []string{"guard"}, packet{src: "fd00::77", dst: "fd00::1", protocol: 6}, true, Passed},
	} {
		if got := load(t, dhcp, c.policy...).verdict(t, c.from, c.packet.frame(c.from)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRules(t *testing.T) {
	const syn, synACK, ack, rst = 2, 18, 16, 4
	g, peer, g6, peer6 := "10.0.0.2", "192.0.2.9", "fe80::2", "fe80::9"
	for _, c := range []struct {
		name   string
		policy []string
		from   bool // of the guest
		packet packet
		want   Reason
	}{
		{"to, opened", []string{"to=192.0.2.0/24:443/tcp"}, true, packet{src: g, dst: peer, protocol: 6, sport: 5, dport: 443, flags: syn}, Passed},
		{"to, answered", []string{"to=192.0.2.0/24:443/tcp"}, false, packet{src: peer, dst: g, protocol: 6, sport: 443, dport: 5, flags: synACK}, Passed},
		{"to, opened by the peer", []string{"to=192.0.2.0/24:443/tcp"}, false, packet{src: peer, dst: g, protocol: 6, sport: 443, dport: 5, flags: syn}, NoRule},
		{"to, other port", []string{"to=192.0.2.0/24:443/tcp"}, true, packet{src: g, dst: peer, protocol: 6, dport: 444, flags: syn}, NoRule},
		{"to, other peer", []string{"to=192.0.2.0/24:443/tcp"}, true, packet{src: g, dst: "192.0.3.1", protocol: 6, dport: 443, flags: syn}, NoRule},
		{"to, other protocol", []string{"to=192.0.2.0/24:443/tcp"}, true, packet{src: g, dst: peer, protocol: 17, dport: 443}, NoRule},
		{"to, other family", []string{"to=192.0.2.0/24:443/tcp"}, true, packet{src: g6, dst: peer6, protocol: 6, dport: 443, flags: syn}, NoRule},
		{"to, foreign source", []string{"to=*"}, true, packet{src: "10.0.0.3", dst: peer, protocol: 17}, ForeignSource},
		{"from, opened", []string{"from=192.0.2.9:80"}, false, packet{src: peer, dst: g, protocol: 6, sport: 5, dport: 80, flags: syn}, Passed},
		{"from, answered", []string{"from=192.0.2.9:80"}, true, packet{src: g, dst: peer, protocol: 6, sport: 80, dport: 5, flags: synACK}, Passed},
		{"from, reset", []string{"from=192.0.2.9:80"}, true, packet{src: g, dst: peer, protocol: 6, sport: 80, dport: 5, flags: rst}, Passed},
		{"from, opened by the guest", []string{"from=192.0.2.9:80"}, true, packet{src: g, dst: peer, protocol: 6, sport: 80, dport: 5, flags: syn}, NoRule},
		{"from, other port", []string{"from=192.0.2.9:80"}, false, packet{src: peer, dst: g, protocol: 6, dport: 81, flags: syn}, NoRule},
		{"from, udp", []string{"from=192.0.2.9:80"}, false, packet{src: peer, dst: g, protocol: 17, dport: 80}, Passed},
		{"from, icmp", []string{"from=192.0.2.9:80"}, false, packet{src: peer, dst: g, protocol: 1, icmp: 8}, NoRule},
		{"range, low", []string{"to=*:100-200/udp"}, true, packet{src: g, dst: peer, protocol: 17, dport: 99}, NoRule},
		{"range, lowest", []string{"to=*:100-200/udp"}, true, packet{src: g, dst: peer, protocol: 17, dport: 100}, Passed},
		{"range, highest", []string{"to=*:100-200/udp"}, true, packet{src: g6, dst: peer6, protocol: 17, dport: 200}, Passed},
		{"range, high", []string{"to=*:100-200/udp"}, true, packet{src: g, dst: peer, protocol: 17, dport: 201}, NoRule},
		{"fragment", []string{"to=*:100/udp"}, true, packet{src: g, dst: peer, protocol: 17, frag: 9}, Passed},
		{"fragment, other protocol", []string{"to=*:100/udp"}, true, packet{src: g, dst: peer, protocol: 6, frag: 9}, NoRule},
		{"ping", []string{"to=*/icmp"}, true, packet{src: g, dst: peer, protocol: 1, icmp: 8}, Passed},
		{"ping, answered", []string{"to=*/icmp"}, false, packet{src: peer, dst: g, protocol: 1, icmp: 0}, Passed},
		{"pinged", []string{"to=*/icmp"}, false, packet{src: peer, dst: g, protocol: 1, icmp: 8}, NoRule},
		{"ping, IPv6", []string{"to=*/icmp"}, true, packet{src: g6, dst: peer6, protocol: 58, icmp: 128}, Passed},
		{"pinged, IPv6", []string{"to=*/icmp"}, false, packet{src: peer6, dst: g6, protocol: 58, icmp: 128}, NoRule},
		{"error", []string{"to=*:1/tcp"}, false, packet{src: "9.9.9.9", dst: g, protocol: 1, icmp: 3}, Passed},
		{"error, IPv6", []string{"to=*:1/tcp"}, true, packet{src: g6, dst: peer6, protocol: 58, icmp: 1}, Passed},
		{"discovery", []string{"to=*:1/tcp"}, false, packet{src: peer6, dst: "ff02::1:ff00:2", protocol: 58, icmp: 135}, Passed},
		{"second rule", []string{"to=10.0.0.1", "from=*:22/tcp", "to=[fe80::/10]:53/udp"}, true, packet{src: g6, dst: peer6, protocol: 17, dport: 53}, Passed},
		{"acknowledgement alone", []string{"from=*:22/tcp"}, false, packet{src: peer, dst: g, protocol: 6, dport: 22, flags: ack}, Passed},
	} {
		if got := load(t, guest, c.policy...).verdict(t, c.from, c.packet.frame(c.from)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestMostRules loads what is as long as can be.
func TestMostRules(t *testing.T) {
	words := []string{"rate=1000"}
	for i := range MaxRules {
		words = append(words, Rule{
			Direction: Direction(i % 2), Low: 100, High: uint16(200 + i),
			Peer: netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 13: 1, 14: byte(i)}), 121),
		}.String())
	}
	for i := range MaxAddrs {
		words = append(words, "addr="+netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)}).String())
	}
	l := load(t, guest, words...)
	last := packet{src: "fd00::f", dst: "2001::1:3e05", protocol: 17, dport: 200 + 62}
	if got := l.verdict(t, true, last.frame(true)); got != Passed {
		t.Errorf("%v", got)
	}
	if got := l.verdict(t, true, packet{src: "fd00::f", dst: "2001::1:3e80", protocol: 17, dport: 200}.frame(true)); got != NoRule {
		t.Errorf("%v", got)
	}
}

// TestRate sends a burst. How many more pass than the burst depends on the time it takes.
func TestRate(t *testing.T) {
	l := load(t, guest, "rate=10")
	f := packet{src: "10.0.0.2", dst: "1.2.3.4", protocol: 17}.frame(true)
	passed := 0
	for range 50 {
		switch got := l.verdict(t, true, f); got {
		case Passed:
			passed++
		case TooFast:
		default:
			t.Fatal(got)
		}
	}
	if passed < 10 || passed > 40 {
		t.Errorf("%d of 50 packets have passed", passed)
	}
	if got := l.verdict(t, false, packet{src: "1.2.3.4", dst: "10.0.0.2", protocol: 17}.frame(false)); got != Passed {
		t.Errorf("to the guest: %v", got)
	}
}

// TestEvents reads what has been dropped, and checks that a flood is counted more than told.
func TestEvents(t *testing.T) {
	l := load(t, guest, "to=10.0.0.1")
	l.verdict(t, true, packet{src: "10.0.0.2", dst: "192.0.2.9", protocol: 6, sport: 40000, dport: 443, flags: 2}.frame(true))
	l.verdict(t, true, arpFrame(guestMAC, guestMAC, "10.0.0.1", "10.0.0.7"))
	l.verdict(t, false, packet{src: "fe80::9", dst: "fe80::2", protocol: 17, sport: 53, dport: 54}.frame(false))
	f := packet{src: "10.0.0.2", dst: "192.0.2.9", protocol: 1, icmp: 8}.frame(true)
	for range 1000 {
		if _, _, err := l.programs[0].Test(f); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"a packet of the guest was dropped: no rule allows it: tcp 10.0.0.2:40000 > 192.0.2.9:443, 100 bytes",
		"a packet of the guest was dropped: its source address is not the guest's (addr=ADDR allows another): arp of 10.0.0.1 (02:00:00:00:00:01) about 10.0.0.7, 60 bytes",
		"a packet for the guest was dropped: no rule allows it: udp [fe80::9]:53 > [fe80::2]:54, 100 bytes",
		"a packet of the guest was dropped: no rule allows it: icmp 10.0.0.2 > 192.0.2.9, 100 bytes",
	} {
		d, err := l.Next()
		if err != nil || d.String() != want {
			t.Errorf("%v, %v\nwant %s", d, err, want)
		}
	}
	if c, err := l.Counters(); err != nil || c.Dropped() != 1003 {
		t.Errorf("%d dropped, %v", c.Dropped(), err)
	}
	told := 4
	for l.reader.AvailableBytes() > 0 {
		if _, err := l.Next(); err != nil {
			t.Fatal(err)
		}
		told++
	}
	if told < eventBurst || told > eventBurst+200 {
		t.Errorf("%d events", told)
	}
	l.Close()
	if _, err := l.Next(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

// BenchmarkPacket is what a policy costs each packet.
func BenchmarkPacket(b *testing.B) {
	l := load(b, guest, "to=10.0.0.1:1/tcp", "to=10.0.0.1:2/tcp", "to=*:53/udp", "rate=100000000")
	f := packet{src: "10.0.0.2", dst: "1.2.3.4", protocol: 17, dport: 53}.frame(true)
	_, each, err := l.programs[0].Benchmark(f, max(1, b.N), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(each.Nanoseconds()), "ns/packet")
}
