package user_test

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/netif/user"
)

// synSegment is a TCP header of a guest that wants to connect, with options of so many bytes and payload behind it.
func synSegment(options, payload int) []byte {
	b := make(header.TCP, header.TCPMinimumSize+options+payload)
	b.Encode(&header.TCPFields{
		SrcPort: 5000, DstPort: 80, SeqNum: 1000, Flags: header.TCPFlagSyn, WindowSize: 60000, DataOffset: uint8(header.TCPMinimumSize + options),
	})
	return b
}

// TestProxied: which segments over IPv6 do not take the way through netstack.
func TestProxied(t *testing.T) {
	l := newLink(t, user.Config{HostLoopback: true})
	c := l.Config()
	edit := func(at int, v byte, b []byte) []byte {
		b[at] = v
		return b
	}
	seg := func(src, dst string) []byte { return packet6(c, src, dst, 6, 64, synSegment(0, 0)) }
	for name, x := range map[string]struct {
		frame []byte
		want  bool
	}{
		"to the world":           {seg("fd00::15", "2001:db8::1"), true},
		"from another address":   {seg("fd00::1234", "2001:db8::1"), true},
		"to the host's loopback": {seg("fd00::15", "fd00::4"), true},
		"with all options":       {packet6(c, "fd00::15", "2001:db8::1", 6, 64, synSegment(40, 100)), true},
		"from a foreign address": {seg("2001:db8::2", "2001:db8::1"), false},
		"from the router":        {seg("fd00::2", "2001:db8::1"), false},
		"link-local":             {seg("fe80::15", "fe80::2"), false},
		"to loopback":            {seg("fd00::15", "::1"), false},
		"to an IPv4 address":     {seg("fd00::15", "::ffff:127.0.0.1"), false},
		"to a group":             {seg("fd00::15", "ff0e::1"), false},
		"UDP":                    {packet6(c, "fd00::15", "2001:db8::1", 17, 64, synSegment(0, 0)), false},
		"an extension header":    {packet6(c, "fd00::15", "2001:db8::1", 60, 64, append([]byte{6, 0, 1, 4, 0, 0, 0, 0}, synSegment(0, 0)...)), false},
		"IPv4 in the header":     {edit(14, 0x45, seg("fd00::15", "2001:db8::1")), false},
		"IPv4 around it":         {edit(13, 0x00, edit(12, 0x08, seg("fd00::15", "2001:db8::1"))), false},
		"half a TCP header":      {packet6(c, "fd00::15", "2001:db8::1", 6, 64, synSegment(0, 0)[:19]), false},
		"options that are cut":   {packet6(c, "fd00::15", "2001:db8::1", 6, 64, synSegment(40, 0)[:50]), false},
		"a data offset of 16":    {edit(14+40+12, 4<<4, seg("fd00::15", "2001:db8::1")), false},
		"longer than the frame":  {edit(14+5, 21, seg("fd00::15", "2001:db8::1")), false},
		"shorter than a segment": {edit(14+5, 19, seg("fd00::15", "2001:db8::1")), false},
		"nothing behind IPv6":    {seg("fd00::15", "2001:db8::1")[:54], false},
	} {
		if got := l.Proxied(x.frame); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	off := newLink(t, user.Config{NoIPv6: true})
	if off.Proxied(seg("fd00::15", "2001:db8::1")) {
		t.Error("without IPv6")
	}
}
