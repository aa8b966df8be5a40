package user

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParsePublish(t *testing.T) {
	addr := netip.MustParseAddr
	for in, want := range map[string]Publish{
		"8080:80":                {Network: "tcp", Host: 8080, Guest: 80},
		"8080:80/tcp":            {Network: "tcp", Host: 8080, Guest: 80},
		"53:53/udp":              {Network: "udp", Host: 53, Guest: 53},
		"0:80":                   {Network: "tcp", Guest: 80},
		"127.0.0.1:8080:80":      {Network: "tcp", Addr: addr("127.0.0.1"), Host: 8080, Guest: 80},
		"[::1]:8080:80/udp":      {Network: "udp", Addr: addr("::1"), Host: 8080, Guest: 80},
		"[fe80::1%eth0]:65535:1": {Network: "tcp", Addr: addr("fe80::1%eth0"), Host: 65535, Guest: 1},
	} {
		got, err := ParsePublish(in)
		if err != nil || got != want {
			t.Errorf("ParsePublish(%q) = %+v, %v, want %+v", in, got, err, want)
		}
		if s := got.String(); s != strings.TrimSuffix(in, "/tcp") {
			t.Errorf("%q is printed as %q", in, s)
		}
	}
}

func TestParsePublishErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "write -p [ip:]host:guest[/udp], for example -p 8080:80",
		"http":                "write -p [ip:]host:guest[/udp], for example -p 8080:80",
		"8080":                "the host's port is missing: write -p 8080:8080",
		"8080-80":             "ports are separated by a colon: write -p 8080:80",
		"8080-80/udp":         "ports are separated by a colon: write -p 8080:80",
		"8080:":               "the guest port is missing: write -p host:guest, for example -p 8080:80",
		":80":                 "the host port is missing: write -p host:guest, for example -p 8080:80",
		"8080:0":              "guest port 0 is none: write 1 to 65535",
		"8080:http":           `guest port "http" is not a number from 0 to 65535`,
		"8080:65536":          `guest port "65536" is not a number from 0 to 65535`,
		"-1:80":               `host port "-1" is a range: repeat -p for each port`,
		"8000-8010:8000-8010": `guest port "8000-8010" is a range: repeat -p for each port`,
		"8080:80/sctp":        `unknown protocol "sctp": write /tcp or /udp`,
		"8080:80/":            `unknown protocol "": write /tcp or /udp`,
		"localhost:8080:80":   `host address "localhost" is not an IP address`,
		"::1:8080:80":         "put the IPv6 address in brackets: write -p [::1]:8080:80",
		"[]:8080:80":          `host address "" is not an IP address`,
	} {
		_, err := ParsePublish(in)
		if err == nil {
			t.Errorf("ParsePublish(%q) succeeded", in)
			continue
		}
		if got := strings.TrimPrefix(err.Error(), "publish \""+in+"\": "); got != want {
			t.Errorf("ParsePublish(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80", "8080-80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePublish(s)
		if err != nil {
			return
		}
		again, err := ParsePublish(p.String())
		if err != nil || again != p {
			t.Errorf("ParsePublish(%q) = %+v, printed %q, which parses as %+v, %v", s, p, p, again, err)
		}
	})
}
