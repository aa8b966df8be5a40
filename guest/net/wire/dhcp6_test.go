package wire

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// reply6 is a reply as ISC's server sends it (RFC 8415, RFC 3646): client and server identifier, DNS servers, domains.
func reply6(t *testing.T) []byte {
	return unhex(t, `07 123456
		0001 000a 0003 0001 020000000001
		0002 000e 0001 0001 2a2b2c2d 020000000002
		0017 0020 20010db8000000000000000000000053 20010db8000000000000000000000054
		0018 0016 07 6578616d706c65 03 636f6d 00 03 6c616e 03 646576 00
		0020 0004 00000e10`)
}

func TestDHCP6(t *testing.T) {
	h, ok := ParseDHCP6(reply6(t))
	if !ok || h.Type() != DHCP6Reply || h.XID() != 0x123456 {
		t.Fatal(ok, h)
	}
	o := h.Options()
	want := []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")}
	if got := o.Addrs(Opt6DNS, 3); !slices.Equal(got, want) {
		t.Errorf("servers %v", got)
	}
	if got := o.Addrs(Opt6DNS, 1); !slices.Equal(got, want[:1]) {
		t.Errorf("one server %v", got)
	}
	v, _ := o.Get(Opt6Domains)
	if got := ParseDomains(v, 9); !slices.Equal(got, []string{"example.com", "lan.dev"}) {
		t.Errorf("domains %q", got)
	}
	if v, ok := o.Uint32(Opt6RefreshTime); !ok || v != 3600 {
		t.Errorf("refresh time %d, %v", v, ok)
	}
	if _, ok := o.Uint32(Opt6ServerID); ok {
		t.Error("an identifier is a number")
	}
	if _, ok := o.Get(Opt6Status); ok {
		t.Error("there is no status")
	}
	b := make(DHCP6, DHCP6Size)
	b.Encode(DHCP6InformationRequest, 0xff_abcdef)
	out := append(b, DHCP6Options(nil).Append(Opt6Elapsed, 1, 2).Append(Opt6Request)...)
	if want := unhex(t, "0b abcdef 0008 0002 0102 0006 0000"); !bytes.Equal(out, want) {
		t.Errorf("%x, want %x", out, want)
	}
	for name, b := range map[string][]byte{
		"nothing":                  nil,
		"three bytes":              {7, 1, 2},
		"half an option header":    {7, 1, 2, 3, 0, 1, 0},
		"an option that is cut":    {7, 1, 2, 3, 0, 1, 0, 2, 9},
		"more options than enough": append([]byte{7, 1, 2, 3}, bytes.Repeat([]byte{0, 9, 0, 0}, DHCP6MaxOptions+1)...),
	} {
		if _, ok := ParseDHCP6(b); ok {
			t.Errorf("%s is a message", name)
		}
	}
}

func TestParseDomains(t *testing.T) {
	label := func(n int) string { return string(rune(n)) + strings.Repeat("x", n) }
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"\x03lan\x00", []string{"lan"}},
		{"\x03lan\x00\x00\x00\x00\x00", []string{"lan"}},
		{"\x01a\x00\x01b\x00\x01c\x00", []string{"a", "b"}},
		{"\x04_ldp\x03a-1\x00", []string{"_ldp.a-1"}},
		{"\x03lan", nil},
		{"\x03la", nil},
		{"\x03lan\x00\xc0\x00", nil},
		{"\x03l n\x00", nil},
		{"\x03l\nn\x00", nil},
		{"\x03l.n\x00", nil},
		{"\x03l\x80n\x00", nil},
		{label(63) + label(63) + label(63) + label(61) + "\x00", []string{strings.Join([]string{label(63)[1:], label(63)[1:], label(63)[1:], label(61)[1:]}, ".")}},
		{label(63) + label(63) + label(63) + label(62) + "\x00", nil},
	} {
		if got := ParseDomains([]byte(c.in), 2); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzDHCP6(f *testing.F) {
	f.Add(reply6(&testing.T{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range ParseDomains(b, 6) {
			if name == "" || len(name) > 253 || strings.ContainsAny(name, " \t\r\n#;") {
				t.Errorf("domain %q", name)
			}
		}
		h, ok := ParseDHCP6(b)
		if !ok {
			return
		}
		_, _ = h.Type(), h.XID()
		for code := range uint16(100) {
			v, ok := h.Options().Get(code)
			if ok && len(v) > len(b)-DHCP6Size-4 {
				t.Fatalf("option %d has %d bytes", code, len(v))
			}
			h.Options().Uint32(code)
			if n := len(h.Options().Addrs(code, 3)); n > 3 {
				t.Errorf("%d addresses", n)
			}
		}
	})
}
