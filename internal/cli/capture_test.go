package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"ukvm.dev/netif"
	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/pcap"
	"ukvm.dev/netif/user"
)

func TestCaptureErrors(t *testing.T) {
	some := []Network{{User: &user.Config{}}}
	for _, c := range []struct {
		capture  Capture
		networks []Network
		want     string
	}{
		{Capture{}, nil, ""},
		{Capture{File: "x", SnapLen: 64, Limit: "10M"}, some, ""},
		{Capture{SnapLen: 64}, some, "needs --pcap"},
		{Capture{Limit: "1M"}, some, "needs --pcap"},
		{Capture{File: "x"}, nil, "leave out --net none"},
		{Capture{File: "x", SnapLen: -1}, some, "not a number of bytes"},
		{Capture{File: "x", Limit: "much"}, some, "--pcap-limit \"much\" is not a size"},
		{Capture{File: "x", Limit: "1K"}, some, "out of range"},
	} {
		err := c.capture.Check(c.networks)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.capture, err, c.want)
		}
	}
}

// TestOpenWithCapture opens and ends a capture, and leaves no link where it cannot be opened.
func TestOpenWithCapture(t *testing.T) {
	netiftest.Leaks(t)
	networks := []Network{{User: &user.Config{}}}
	if l, err := Open(networks, &Capture{File: filepath.Join(t.TempDir(), "no", "such")}); err == nil {
		l.Close()
		t.Error("captures to a directory that does not exist")
	}
	name := filepath.Join(t.TempDir(), "guest.pcapng")
	l, err := Open(networks, &Capture{File: name})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, ok := l.NICs[0].Link.(netif.Dialer); !ok {
		t.Error("the captured user network is no dialer")
	}
	for range 2 {
		if sentence := l.EndCapture(); sentence != "" {
			t.Error(sentence)
		}
	}
	if c := netiftest.ReadCaptureFile(t, name); len(c.Cards) != 1 || c.Cards[0].Name != "eth0" {
		t.Errorf("%+v", c)
	}
	full, err := pcap.Create("/dev/full", pcap.Options{})
	if err != nil {
		t.Fatal(err)
	}
	broken := &Links{capture: full}
	if sentence := broken.EndCapture(); !strings.Contains(sentence, "not complete") || !strings.Contains(sentence, "no space") {
		t.Errorf("a full disk is %q", sentence)
	}
}
