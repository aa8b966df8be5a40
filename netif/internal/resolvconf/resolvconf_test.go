package resolvconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "{[] []}"},
		{"nameserver 192.0.2.1\n", "{[192.0.2.1] []}"},
		{"nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\n", "{[192.0.2.1 2001:db8::1 fe80::1%eth0] []}"},
		{"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4", "{[192.0.2.1 192.0.2.2 192.0.2.3] []}"},
		{"# nameserver 192.0.2.1\n; nameserver 192.0.2.2\nnameserver 192.0.2.3 # ours\n", "{[192.0.2.3] []}"},
		{"nameserver\nnameserver nonsense\nnameserver 1.2.3.4.5\n", "{[] []}"},
		{"  \tnameserver\t 192.0.2.1 \t\r\n", "{[192.0.2.1] []}"},
		{"search a.test b.test\n", "{[] [a.test b.test]}"},
		{"domain a.test\nsearch b.test c.test\n", "{[] [b.test c.test]}"}, // the last one counts
		{"search b.test\ndomain a.test x.test\n", "{[] [a.test]}"},
		{"options ndots:5\nsortlist 10.0.0.0\nNAMESERVER 192.0.2.1\n", "{[] []}"},
	} {
		if got := fmt.Sprint(Parse([]byte(c.text))); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("nameserver 192.0.2.1\nsearch a.test"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Read(path); err != nil || fmt.Sprint(c) != "{[192.0.2.1] [a.test]}" {
		t.Errorf("%v, %v", c, err)
	}
}

// FuzzParse: whatever is in the file, there are at most three servers, all of them addresses.
func FuzzParse(f *testing.F) {
	f.Add([]byte("nameserver 192.0.2.1\nsearch a.test b.test\n; comment\ndomain c.test"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Parse(text)
		if len(c.Servers) > maxServers {
			t.Errorf("%d servers", len(c.Servers))
		}
		for _, s := range c.Servers {
			if !s.IsValid() {
				t.Errorf("%v", s)
			}
		}
		for _, s := range c.Search {
			if s == "" {
				t.Error("an empty domain")
			}
		}
	})
}
