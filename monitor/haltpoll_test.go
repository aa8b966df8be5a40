package monitor

import (
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/devices/clock"
)

// TestHaltPolling follows the window over sleeps of given lengths.
func TestHaltPolling(t *testing.T) {
	for _, c := range []struct {
		name   string
		sleeps []int64
		want   int64
	}{
		{"never slept", nil, 0},
		{"a short one", []int64{5_000}, firstSpin},
		{"one that the window saves", []int64{5_000, 8_000, 8_000}, firstSpin},
		{"a little longer each time", []int64{5_000, 15_000, 30_000}, 4 * firstSpin},
		{"never more than the most", []int64{5_000, 90_000, 90_000, 90_000, 90_000, 99_000}, mostSpin},
		{"a long one halves it", []int64{5_000, 15_000, mostSpin + 1}, firstSpin},
		{"two long ones end it", []int64{5_000, 15_000, mostSpin + 1, mostSpin + 1}, 0},
		{"requests far apart", []int64{500_000, 500_000}, 0},
	} {
		var h haltPolling
		for _, ns := range c.sleeps {
			h.slept(ns)
		}
		if h.window != c.want {
			t.Errorf("%s: %d ns, want %d", c.name, h.window, c.want)
		}
	}
}

// TestSpin checks that a descriptor is seen, and that without one there is an end: with a clock that counts its readings.
func TestSpin(t *testing.T) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	now := int64(0)
	tick := func() int64 { now++; return now }
	if ready, err := spin(fds, tick, 10); ready || err != nil || now != 10 {
		t.Errorf("nothing there: %v, %v after %d looks; want none after 10", ready, err, now)
	}
	late := func() int64 {
		if tick() == 15 {
			_, _ = unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		}
		return now
	}
	if ready, err := spin(fds, late, 1000); !ready || err != nil || now != 15 {
		t.Errorf("news after 5 looks: %v, %v after %d", ready, err, now-10)
	}
	if ready, err := spin(fds, clock.Monotonic, 0); !ready || err != nil {
		t.Errorf("with news there already: %v, %v", ready, err)
	}
}
