package net

import (
	"net/netip"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/posix"
)

func TestPosixAddresses(t *testing.T) {
	for _, text := range []string{"0.0.0.0:0", "10.1.2.3:80", "[::]:0", "[fe80::1%7]:9", "[::ffff:1.2.3.4]:5"} {
		want := netip.MustParseAddrPort(text)
		if got := fromPosix(toPosix(want)); got != want {
			t.Errorf("%v became %v", want, got)
		}
	}
	if a := toPosix(netip.AddrPort{}); a != (posix.Addr{}) {
		t.Errorf("no address became %v", a)
	}
	if a := fromPosix(posix.Addr{}); a != (netip.AddrPort{}) {
		t.Errorf("no address became %v", a)
	}
}

// TestFamily sends a datagram and opens a connection as package posix does.
func TestFamily(t *testing.T) {
	f := New(Config{Memory: 64 << 20, Clock: nettest.NewClock().Alarm()}).Family()
	socket := func(typ int) posix.Socket {
		k, e := f.Socket(typ, 0)
		if e != 0 {
			t.Fatal(e)
		}
		t.Cleanup(func() { k.Close() })
		return k
	}
	local := func(port uint16) posix.Addr { return posix.Addr4([4]byte{127, 0, 0, 1}, port) }

	a, b := socket(sockDgram), socket(sockDgram)
	if e := a.Bind(local(53)); e != 0 {
		t.Fatal(e)
	}
	if e := b.Bind(local(54)); e != 0 {
		t.Fatal(e)
	}
	if n, e := b.Send([]byte("hello"), local(53), 0); n != 5 || e != 0 {
		t.Fatal(n, e)
	}
	buf := make([]byte, 9)
	if n, from, _, e := a.Recv(buf, 0); n != 5 || from != local(54) || e != 0 {
		t.Error(n, from, e)
	}

	l, c := socket(sockStream), socket(sockStream)
	if e := l.Bind(local(80)); e != 0 {
		t.Fatal(e)
	}
	if e := l.Listen(1); e != 0 {
		t.Fatal(e)
	}
	if e := c.Connect(local(80)); e != 0 && e != syscall.EINPROGRESS {
		t.Fatal(e)
	}
	s, peer, e := l.Accept()
	if e != 0 {
		t.Fatal(e)
	}
	defer s.Close()
	if own, e := c.Name(false); own != peer || e != 0 {
		t.Error(own, peer, e)
	}
	if _, ok := f.(posix.Interfacer); !ok {
		t.Error("no interfaces")
	}
	if _, e := f.Socket(99, 0); e != syscall.ESOCKTNOSUPPORT {
		t.Error(e)
	}
}

// prefix is an address of an interface as package posix has it.
func prefix(text string) posix.Prefix {
	return prefixes([]netip.Prefix{netip.MustParsePrefix(text)})[0]
}
