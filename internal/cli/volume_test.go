package cli

import (
	"strings"
	"testing"
	"time"
)

func TestParseVolume(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Volume
		err  string
	}{
		{in: "data:/data", want: Volume{Host: "data", Guest: "/data", Valid: time.Second}},
		{in: "/srv/x:/var//lib/:ro", want: Volume{Host: "/srv/x", Guest: "/var/lib", ReadOnly: true, Valid: time.Second}},
		{in: ".:/w:rw,cache=none", want: Volume{Host: ".", Guest: "/w"}},
		{in: ".:/w:ro,cache=1500ms", want: Volume{Host: ".", Guest: "/w", ReadOnly: true, Valid: 1500 * time.Millisecond}},
		{in: "data", err: "write HOST:GUEST"},
		{in: ":/x", err: "write HOST:GUEST"},
		{in: "x:", err: "write HOST:GUEST"},
		{in: "a:/b:ro:c", err: "write HOST:GUEST"},
		{in: "a:b", err: "b is no place in the guest"},
		{in: "a:/", err: "/ is no place in the guest"},
		{in: "a:/..", err: "no place in the guest"},
		{in: "a:/b:z", err: `"z" is no option`},
		{in: "a:/b:", err: `"" is no option`},
		{in: "a:/b:cache=", err: "is not a time"},
		{in: "a:/b:cache=-1s", err: "is not a time"},
	} {
		got, err := ParseVolume(c.in)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s: %+v, %v, want %+v", c.in, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", c.in, err, c.err)
		}
	}
}
