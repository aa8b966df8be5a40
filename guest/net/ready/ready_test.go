package ready

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestValues: the conditions are poll(2)'s.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		name  string
		event Events
		want  uint32
	}{
		{"In", In, unix.POLLIN}, {"Out", Out, unix.POLLOUT}, {"Err", Err, unix.POLLERR}, {"Hup", Hup, unix.POLLHUP},
		{"RdHup", RdHup, unix.EPOLLRDHUP},
	} {
		if uint32(c.event) != c.want {
			t.Errorf("%s is %#x, poll(2) has %#x", c.name, c.event, c.want)
		}
	}
}
