package iovec

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVector(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	var v Vector
	a, b, c := make([]byte, 2), make([]byte, 3), make([]byte, 4)
	for _, p := range [][]byte{a, nil, b, c} {
		v.Add(p)
	}
	if n, err := v.Read(fds[0]); n != 0 || !errors.Is(err, unix.EAGAIN) || len(v) != 0 {
		t.Errorf("reading nothing: %d, %v, %d pieces left", n, err, len(v))
	}
	for _, text := range []string{"", "hel", "", "lo"} {
		v.Add([]byte(text))
	}
	if n, err := v.Write(fds[1]); n != 5 || err != nil || len(v) != 0 {
		t.Errorf("writing: %d, %v, %d pieces left", n, err, len(v))
	}
	for _, p := range [][]byte{a, b, c} {
		v.Add(p)
	}
	if n, err := v.Read(fds[0]); n != 5 || err != nil || string(a)+string(b) != "hello" {
		t.Errorf("reading: %d, %v, %q %q", n, err, a, b)
	}
	text := []byte("x")
	if n := testing.AllocsPerRun(100, func() {
		v.Add(text)
		v.Write(fds[1])
		v.Add(a)
		v.Read(fds[0])
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
