package wire

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	ip1  = netip.MustParseAddr("192.168.1.10")
	ip2  = netip.MustParseAddr("192.168.1.1")
	mac1 = MAC{2, 0, 0, 0, 0, 1}
	mac2 = MAC{2, 0, 0, 0, 0, 2}
)

func TestEthernet(t *testing.T) {
	want := unhex(t, "020000000002 020000000001 0800")
	b := make([]byte, EthernetSize)
	Ethernet(b).Encode(mac2, mac1, TypeIPv4)
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", b, want)
	}
	h, ok := ParseEthernet(append(want, 1, 2, 3))
	if !ok || h.Dst() != mac2 || h.Src() != mac1 || h.Type() != TypeIPv4 {
		t.Errorf("parsed %v %v %v %v", ok, h.Dst(), h.Src(), h.Type())
	}
	if _, ok := ParseEthernet(want[:13]); ok {
		t.Error("13 bytes accepted")
	}
}

func TestMAC(t *testing.T) {
	if !Broadcast.IsMulticast() || mac1.IsMulticast() {
		t.Error("group bit")
	}
	if got, want := MulticastMAC(netip.MustParseAddr("239.129.2.3")), (MAC{1, 0, 0x5e, 1, 2, 3}); got != want {
		t.Errorf("group address %x, want %x", got, want)
	}
}

func TestARP(t *testing.T) {
	want := unhex(t, "0001 0800 06 04 0001 020000000001 c0a8010a 000000000000 c0a80101")
	b := make([]byte, ARPSize)
	ARP(b).Encode(ARPRequest, mac1, ip1, MAC{}, ip2)
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", b, want)
	}
	h, ok := ParseARP(want)
	if !ok || h.Op() != ARPRequest || h.SenderMAC() != mac1 || h.SenderIP() != ip1 || h.TargetMAC() != (MAC{}) ||
		h.TargetIP() != ip2 {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	for i, v := range map[int]byte{1: 2, 2: 0x86, 4: 8, 5: 16} {
		bad := bytes.Clone(want)
		bad[i] = v
		if _, ok := ParseARP(bad); ok {
			t.Errorf("byte %d = %#x accepted", i, v)
		}
	}
	if _, ok := ParseARP(want[:27]); ok {
		t.Error("27 bytes accepted")
	}
}

func TestIPv4(t *testing.T) {
	// RFC 1071's favourite example.
	want := unhex(t, "4500 0073 0000 4000 40 11 b861 c0a80001 c0a800c7")
	b := make([]byte, IPv4Size)
	IPv4(b).Encode(&IPv4Fields{
		TotalLen: 0x73, Flags: IPv4DF, TTL: 64, Proto: ProtoUDP,
		Src: netip.MustParseAddr("192.168.0.1"), Dst: netip.MustParseAddr("192.168.0.199"),
	})
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", b, want)
	}
	h, ok := ParseIPv4(want)
	if !ok || !h.ChecksumOK() || h.TotalLen() != 0x73 || h.PayloadLen() != 0x73-20 || !h.DF() || h.MF() || h.IsFragment() ||
		h.TTL() != 64 || h.Proto() != ProtoUDP || h.Src().String() != "192.168.0.1" || h.Dst().String() != "192.168.0.199" {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	h.SetFragment(1480, IPv4MF)
	h.SetChecksum()
	if !h.ChecksumOK() || h.Offset() != 1480 || !h.MF() || h.DF() || !h.IsFragment() {
		t.Errorf("fragment %x", []byte(h))
	}
	for _, bad := range []string{
		"",
		"4500 0073 0000 4000 40 11 b861 c0a80001 c0a800",   // short
		"6500 0073 0000 4000 40 11 b861 c0a80001 c0a800c7", // version
		"4400 0073 0000 4000 40 11 b861 c0a80001 c0a800c7", // header of 16 bytes
		"4600 0073 0000 4000 40 11 b861 c0a80001 c0a800c7", // options missing
		"4500 0013 0000 4000 40 11 b861 c0a80001 c0a800c7", // total length below header
	} {
		if _, ok := ParseIPv4(unhex(t, bad)); ok {
			t.Errorf("accepted %s", bad)
		}
	}
	if h, ok := ParseIPv4(unhex(t, "4600 0018 0000 4000 40 11 0000 c0a80001 c0a800c7 01010100 ff")); !ok || len(h) != 24 {
		t.Errorf("options: %v %x", ok, []byte(h))
	}
}

func TestICMP(t *testing.T) {
	b := unhex(t, "0800 0000 1234 0001 6162")
	h, ok := ParseICMP(b)
	if !ok || h.Type() != ICMPEcho || h.Code() != 0 || h.ID() != 0x1234 || h.Seq() != 1 {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	h.SetChecksum(Checksum(b))
	if Checksum(b) != 0 {
		t.Error("checksum does not verify")
	}
	h.Encode(ICMPUnreachable, UnreachNeedFrag, 1400)
	if h.MTU() != 1400 || h.Checksum() != 0 {
		t.Errorf("encoded %x", []byte(h))
	}
	if _, ok := ParseICMP(b[:7]); ok {
		t.Error("7 bytes accepted")
	}
}

func TestUDP(t *testing.T) {
	b := make([]byte, UDPSize)
	UDP(b).Encode(53, 1024, 100, 0xbeef)
	want := unhex(t, "0035 0400 0064 beef")
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", b, want)
	}
	h, ok := ParseUDP(want)
	if !ok || h.SrcPort() != 53 || h.DstPort() != 1024 || h.Len() != 100 || h.Checksum() != 0xbeef {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	for _, bad := range []string{"0035 0400 0064 be", "0035 0400 0007 beef"} {
		if _, ok := ParseUDP(unhex(t, bad)); ok {
			t.Errorf("accepted %s", bad)
		}
	}
}

func TestTCP(t *testing.T) {
	want := unhex(t, "0050 d431 01020304 05060708 5012 ffff abcd 0000")
	b := make([]byte, TCPSize)
	TCP(b).Encode(&TCPFields{
		SrcPort: 80, DstPort: 54321, Seq: 0x01020304, Ack: 0x05060708, Flags: SYN | ACK, Window: 65535, Checksum: 0xabcd,
	})
	if !bytes.Equal(b, want) {
		t.Errorf("encoded %x, want %x", b, want)
	}
	h, ok := ParseTCP(want)
	if !ok || h.SrcPort() != 80 || h.DstPort() != 54321 || h.Seq() != 0x01020304 || h.Ack() != 0x05060708 ||
		h.Flags() != SYN|ACK || h.Window() != 65535 || h.Checksum() != 0xabcd || len(h.Options()) != 0 {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	for _, off := range []byte{0x40, 0x60, 0xf0} {
		bad := bytes.Clone(want)
		bad[12] = off
		if _, ok := ParseTCP(bad); ok {
			t.Errorf("data offset %#x accepted", off)
		}
	}
}

func TestTCPOptions(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		want        TCPOptions
	}{
		{"none", "", TCPOptions{}},
		{"MSS", "020405b4", TCPOptions{MSS: 1460}},
		{"scale", "03030701", TCPOptions{HasScale: true, WindowScale: 7}},
		{"scale too large counts as 14", "0303ff", TCPOptions{HasScale: true, WindowScale: 14}},
		{"timestamps", "0101080a 00000001 00000002", TCPOptions{HasTimestamps: true, TSVal: 1, TSEcr: 2}},
		{"timestamps first", "080a 00000001 00000002 0101", TCPOptions{HasTimestamps: true, TSVal: 1, TSEcr: 2}},
		{"SACK", "0101050a 00000001 00000002", TCPOptions{SACKs: 1, SACK: [4]SACKBlock{{1, 2}}}},
		{"Linux SYN", "020405b4 0402 080a 00000005 00000000 01 030307", TCPOptions{
			MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 5, HasScale: true, WindowScale: 7}},
		{"end hides the rest", "00020405b4", TCPOptions{}},
		{"unknown is skipped", "fd06aaaabbbb 020405b4", TCPOptions{MSS: 1460}},
		{"length 0", "0200 0303", TCPOptions{}},
		{"length 1", "0201 030307", TCPOptions{}},
		{"length beyond end", "020405", TCPOptions{}},
		{"kind without length", "02", TCPOptions{}},
		{"wrong length of MSS", "0203 05 030307", TCPOptions{HasScale: true, WindowScale: 7}},
	} {
		var o TCPOptions
		o.Parse(unhex(t, c.bytes))
		if o != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, o, c.want)
		}
	}
}

func TestTCPOptionsRoundTrip(t *testing.T) {
	for i := range 8 {
		o := TCPOptions{MSS: 1460, SACKPermitted: i&1 != 0}
		if i&2 != 0 {
			o.HasTimestamps, o.TSVal, o.TSEcr = true, 7, 8
		}
		if i&4 != 0 {
			o.HasScale, o.WindowScale = true, 9
		}
		var b [TCPSynOptionsMax]byte
		n := o.EncodeSyn(b[:])
		var got TCPOptions
		got.Parse(b[:n])
		if n%4 != 0 || got != o {
			t.Errorf("%+v became %+v in %x", o, got, b[:n])
		}
	}
	o := TCPOptions{HasTimestamps: true, TSVal: 0xdeadbeef, TSEcr: 1}
	var b [TCPTimestampsSize]byte
	o.EncodeTimestamps(b[:])
	var got TCPOptions
	if got.Parse(b[:]); got != o {
		t.Errorf("%+v became %+v", o, got)
	}
}

func TestDHCP(t *testing.T) {
	b := make([]byte, DHCPSize)
	DHCP(b).Encode(&DHCPFields{
		Op: DHCPBootReply, XID: 0x01020304, Flags: DHCPFlagBroadcast, ClientIP: netip.IPv4Unspecified(), YourIP: ip1, MAC: mac1,
	})
	o := DHCPOptions(nil).Append(OptMessageType, byte(DHCPAck)).AppendUint32(OptLeaseTime, 3600).
		AppendAddr(OptServerID, ip2).Append(OptPad).Append(OptDNS, 8, 8, 8, 8, 1, 1, 1, 1, 9).End()
	// Append(OptPad) wrote a length, which is a pad, too.
	h, opts, ok := ParseDHCP(append(b, o...))
	if !ok || h.Op() != DHCPBootReply || h.XID() != 0x01020304 || h.Flags() != DHCPFlagBroadcast || h.YourIP() != ip1 ||
		h.ClientMAC() != mac1 || !h.ClientIP().IsUnspecified() {
		t.Errorf("parsed %v %x", ok, []byte(h))
	}
	if opts.Type() != DHCPAck || opts.Addr(OptServerID) != ip2 {
		t.Errorf("options %v %v", opts.Type(), opts.Addr(OptServerID))
	}
	if v, ok := opts.Uint32(OptLeaseTime); !ok || v != 3600 {
		t.Errorf("lease %v %v", v, ok)
	}
	if a := opts.Addrs(OptDNS, 3); len(a) != 2 || a[0].String() != "8.8.8.8" || a[1].String() != "1.1.1.1" {
		t.Errorf("DNS %v", a)
	}
	if _, ok := opts.Get(OptDomain); ok {
		t.Error("found what is not there")
	}
	for i, v := range map[int]byte{1: 2, 2: 8, 236: 0} {
		bad := bytes.Clone(b)
		bad[i] = v
		if _, _, ok := ParseDHCP(bad); ok {
			t.Errorf("byte %d = %d accepted", i, v)
		}
	}
	for _, bad := range []DHCPOptions{{53}, {53, 5, 1}, {53, 1}, {0, 0, 53}} {
		if bad.Type() != 0 {
			t.Errorf("%x has type %d", []byte(bad), bad.Type())
		}
	}
}
