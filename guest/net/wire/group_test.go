package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestGroupReport(t *testing.T) {
	b := make([]byte, GroupReportSize(2, false))
	EncodeGroupReport(b, IGMPv3Report, []GroupRecord{
		{GroupToExclude, netip.MustParseAddr("224.0.0.251")}, {GroupToInclude, netip.MustParseAddr("239.1.2.3")},
	})
	if want := unhex(t, "2200 0000 0000 0002 0400 0000 e00000fb 0300 0000 ef010203"); !bytes.Equal(b, want) {
		t.Errorf("IGMPv3 %x, want %x", b, want)
	}
	b = make([]byte, GroupReportSize(1, true))
	EncodeGroupReport(b, MLDv2Report, []GroupRecord{{GroupIsExclude, netip.MustParseAddr("ff02::fb")}})
	if want := unhex(t, "8f00 0000 0000 0001 0200 0000 ff0200000000000000000000000000fb"); !bytes.Equal(b, want) {
		t.Errorf("MLDv2 %x, want %x", b, want)
	}
}

func TestGroupQueries(t *testing.T) {
	none6 := make([]byte, 16)
	for _, c := range []struct {
		b     []byte
		delay int
		old   bool
	}{
		{append(unhex(t, "8200 0000 03e8 0000"), none6...), 1000, true},
		{append(append(unhex(t, "8200 0000 03e8 0000"), none6...), 2, 125, 0, 0), 1000, false},
		{append(append(unhex(t, "8200 0000 8000 0000"), none6...), 2, 125, 0, 0), 0x1000 << 3, false},
	} {
		if delay, group, old, ok := ParseMLDQuery(c.b); !ok || delay != c.delay || old != c.old || !group.IsUnspecified() {
			t.Errorf("%x: %d %v %v %v", c.b, delay, group, old, ok)
		}
	}
	for _, c := range []struct {
		b     []byte
		delay int
		old   bool
	}{
		{unhex(t, "1164 0000 00000000"), 10000, true},
		{unhex(t, "1100 0000 00000000"), 10000, true},
		{unhex(t, "110a 0000 00000000 027d 0000"), 1000, false},
		{unhex(t, "1180 0000 00000000 027d 0000"), 128 * 100, false},
	} {
		if delay, group, old, ok := ParseIGMPQuery(c.b); !ok || delay != c.delay || old != c.old || !group.IsUnspecified() {
			t.Errorf("%x: %d %v %v %v", c.b, delay, group, old, ok)
		}
	}
}

func FuzzGroupQuery(f *testing.F) {
	f.Add(append([]byte{130, 0, 0, 0, 0xff, 0xff, 0, 0}, make([]byte, 20)...))
	f.Add([]byte{0x11, 0xff, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (int, netip.Addr, bool, bool){ParseMLDQuery, ParseIGMPQuery} {
			if delay, group, _, ok := parse(b); ok && (delay < 0 || delay > 1<<23 || !group.IsValid()) {
				t.Errorf("%x: %d %v", b, delay, group)
			}
		}
	})
}
