package net

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/wire"
	"ukvm.dev/guest/posix"
	"ukvm.dev/hypercall"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func quiet(t testing.TB) *world {
	return newWorld(t, 1, nettest.Faults{Delay: 1_000_000}, nic.Features{})
}

// want checks the errno of a call.
func (s *sock) want(what string, got, want syscall.Errno) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("%s: %v (%d), want %v", what, got, got, want)
	}
}

func (s *sock) recv(n int) (string, syscall.Errno) {
	b := make([]byte, n)
	n, _, _, e := s.Recv(b, 0)
	return string(b[:n]), e
}

func (s *sock) send(text string) syscall.Errno {
	n, e := s.Send([]byte(text), netip.AddrPort{}, 0)
	if e == 0 && n != len(text) {
		s.t.Errorf("sent %d of %d", n, len(text))
	}
	return e
}

func (s *sock) errorOption() syscall.Errno {
	var v [4]byte
	_, e := s.Option(solSocket, soError, v[:])
	s.must(e)
	return syscall.Errno(v[0])
}

func TestSocketKinds(t *testing.T) {
	w := quiet(t)
	for _, c := range []struct {
		typ, proto int
		want       syscall.Errno
	}{
		{sockStream, 0, 0}, {sockStream, 6, 0}, {sockDgram, 0, 0}, {sockDgram, 17, 0}, {sockDgram, 1, 0}, {sockRaw, 1, 0},
		{sockStream, 17, syscall.EPROTONOSUPPORT}, {sockStream, 262, syscall.EPROTONOSUPPORT}, // MPTCP, which Go tries first
		{sockDgram, 6, syscall.EPROTONOSUPPORT}, {sockRaw, 6, syscall.EPROTONOSUPPORT}, {sockRaw, 0, syscall.EPROTONOSUPPORT},
		{5, 0, syscall.ESOCKTNOSUPPORT}, {10, 0, syscall.ESOCKTNOSUPPORT},
	} {
		if _, e := w.a.Socket(c.typ, c.proto); e != c.want {
			t.Errorf("socket(%d, %d): %v, want %v", c.typ, c.proto, e, c.want)
		}
	}
}

func TestBind(t *testing.T) {
	w := quiet(t)
	for _, typ := range []int{sockStream, sockDgram} {
		a, b := w.a.socket(t, typ, 0), w.a.socket(t, typ, 0)
		a.want("port", a.Bind(ap("0.0.0.0:80")), 0)
		a.want("twice", a.Bind(ap("0.0.0.0:81")), syscall.EINVAL)
		b.want("same", b.Bind(ap("0.0.0.0:80")), syscall.EADDRINUSE)
		b.want("overlap", b.Bind(ap("10.0.0.1:80")), syscall.EADDRINUSE)
		b.want("not ours", b.Bind(ap("10.0.0.9:80")), syscall.EADDRNOTAVAIL)
		b.want("IPv6", b.Bind(ap("[2001:db8::1]:80")), syscall.EADDRNOTAVAIL)
		b.want("any port", b.Bind(ap("127.0.0.1:0")), 0)
		if n, e := b.Name(false); e != 0 || n.Addr().String() != "127.0.0.1" || n.Port() < 32768 || n.Port() > 60999 {
			t.Errorf("name %v, %v", n, e)
		}
		if n, _ := a.Name(false); n.String() != "0.0.0.0:80" {
			t.Errorf("name %v", n)
		}
		c, d := w.a.socket(t, typ, 0), w.a.socket(t, typ, 0)
		c.want("one address", c.Bind(ap("127.0.0.1:82")), 0)
		d.want("another", d.Bind(ap("127.0.0.2:82")), 0)
		for _, option := range []int{soReuseAddr, soReusePort} {
			c, d := w.a.socket(t, typ, 0), w.a.socket(t, typ, 0)
			port := ap("0.0.0.0:90")
			c.must(c.SetOption(solSocket, option, []byte{1, 0, 0, 0}))
			c.want("first", c.Bind(port), 0)
			d.want("without option", d.Bind(port), syscall.EADDRINUSE)
			d.must(d.SetOption(solSocket, option, []byte{1, 0, 0, 0}))
			d.want("with option", d.Bind(port), 0)
			if typ == sockStream {
				c.want("listen", c.Listen(1), map[int]syscall.Errno{soReuseAddr: 0, soReusePort: 0}[option])
				e := syscall.Errno(0)
				if option == soReuseAddr {
					e = syscall.EADDRINUSE
				}
				d.want("listen", d.Listen(1), e)
			}
			c.must(c.Close())
			d.must(d.Close())
		}
	}
}

func TestStreamErrors(t *testing.T) {
	w := quiet(t)
	s := w.a.socket(t, sockStream, 0)
	if s.level != posix.EventOut|posix.EventHup {
		t.Errorf("fresh: %x", s.level)
	}
	_, e := s.recv(1)
	s.want("recv unconnected", e, syscall.ENOTCONN)
	s.want("send unconnected", s.send("x"), syscall.EPIPE)
	s.want("shutdown unconnected", s.Shutdown(shutWR), syscall.ENOTCONN)
	_, _, e = s.Accept()
	s.want("accept without listen", e, syscall.EINVAL)
	_, e = s.Name(true)
	s.want("peer", e, syscall.ENOTCONN)
	s.want("no route", s.Connect(ap("192.0.2.1:80")), syscall.ENETUNREACH)
	s.want("broadcast", s.Connect(ap("10.0.0.255:80")), syscall.ENETUNREACH)

	s.want("connect", s.Connect(ap("10.0.0.2:80")), syscall.EINPROGRESS)
	if s.level != 0 {
		t.Errorf("connecting: %x", s.level)
	}
	s.want("again", s.Connect(ap("10.0.0.2:80")), syscall.EALREADY)
	_, e = s.recv(1)
	s.want("recv while connecting", e, syscall.EAGAIN)
	s.want("send while connecting", s.send("x"), syscall.EAGAIN)
	w.clock.Run(seconds)
	if s.level&(posix.EventErr|posix.EventHup|posix.EventOut|posix.EventIn) != posix.EventErr|posix.EventHup|posix.EventOut|posix.EventIn {
		t.Errorf("refused: %x", s.level)
	}
	s.want("SO_ERROR", s.errorOption(), syscall.ECONNREFUSED)
	s.want("SO_ERROR again", s.errorOption(), 0)
	s.want("send afterwards", s.send("x"), syscall.EPIPE)

	// The same socket may try again, and succeeds.
	l := w.b.listen(t, 80)
	s.want("connect", s.Connect(ap("10.0.0.2:80")), syscall.EINPROGRESS)
	w.clock.Run(seconds)
	s.want("connected", s.Connect(ap("10.0.0.2:80")), syscall.EISCONN)
	if s.level != posix.EventOut {
		t.Errorf("connected: %x", s.level)
	}
	if n, e := s.Name(true); e != 0 || n != ap("10.0.0.2:80") {
		t.Errorf("peer %v, %v", n, e)
	}
	s.must(s.Close())
	s.want("closed", s.Close(), syscall.EBADF)
	_, e = s.recv(1)
	s.want("closed", e, syscall.EBADF)

	l.want("listener: connect", l.Connect(ap("10.0.0.2:80")), syscall.EISCONN)
	l.want("listener: send", l.send("x"), syscall.EPIPE)
	_, e = l.recv(1)
	l.want("listener: recv", e, syscall.ENOTCONN)
	l.want("listener: again", l.Listen(5), 0)
	k, peer, e := l.Accept()
	l.want("accept", e, 0)
	if peer.Addr() != w.a.addr {
		t.Errorf("accepted %v", peer)
	}
	k.Close()
	_, _, e = l.Accept()
	l.want("nothing to accept", e, syscall.EAGAIN)
	l.want("shutdown", l.Shutdown(shutRD), 0)
	_, _, e = l.Accept()
	l.want("accept after shutdown", e, syscall.EINVAL)
}

func TestConnectTimeout(t *testing.T) {
	w := quiet(t)
	s := w.a.socket(t, sockStream, 0)
	// Nobody has the address: ARP finds out.
	s.want("connect", s.Connect(ap("10.0.0.77:80")), syscall.EINPROGRESS)
	w.clock.Run(5 * seconds)
	s.want("no such neighbour", s.errorOption(), syscall.EHOSTUNREACH)
	// Somebody has it and says nothing.
	w.link.A.Tap = func(f []byte) bool { return f[12] == 8 && f[13] == 6 }
	s = w.a.socket(t, sockStream, 0)
	s.want("connect", s.Connect(ap("10.0.0.2:80")), syscall.EINPROGRESS)
	w.clock.Run(126 * seconds)
	s.want("not yet", s.errorOption(), 0)
	w.clock.Run(3 * seconds)
	s.want("timed out", s.errorOption(), syscall.ETIMEDOUT)
}

func TestStreamShutdown(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	a.want("send", a.send("last words"), 0)
	a.want("shutdown", a.Shutdown(shutWR), 0)
	a.want("send after shutdown", a.send("x"), syscall.EPIPE)
	w.clock.Run(seconds)
	if b.level != posix.EventIn|posix.EventOut|posix.EventRdHup {
		t.Errorf("half-closed: %x", b.level)
	}
	if text, e := b.recv(100); text != "last words" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	if text, e := b.recv(100); text != "" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	b.want("the other direction", b.send("answer"), 0)
	w.clock.Run(seconds)
	if text, e := a.recv(100); text != "answer" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	b.want("shutdown both", b.Shutdown(shutRDWR), 0)
	w.clock.Run(seconds)
	if both := posix.EventHup | posix.EventRdHup | posix.EventIn | posix.EventOut; a.level != both || b.level != both {
		t.Errorf("closed: %x, %x", a.level, b.level)
	}
	a.want("bad argument", a.Shutdown(3), syscall.EINVAL)
	w.finish(a, b)
}

func TestShutdownRead(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	a.must(a.send("before"))
	w.clock.Run(seconds)
	b.must(b.Shutdown(shutRD))
	if text, e := b.recv(100); text != "before" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	if text, e := b.recv(100); text != "" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	if b.level&(posix.EventIn|posix.EventRdHup) != posix.EventIn|posix.EventRdHup {
		t.Errorf("level %x", b.level)
	}
	w.finish(a, b)
}

func TestResetErrors(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	a.must(a.send("unread"))
	w.clock.Run(seconds)
	b.must(b.Close()) // with unread data: RST
	w.clock.Run(seconds)
	if a.level&(posix.EventErr|posix.EventHup) != posix.EventErr|posix.EventHup {
		t.Errorf("level %x", a.level)
	}
	_, e := a.recv(1)
	a.want("recv", e, syscall.ECONNRESET)
	_, e = a.recv(1)
	a.want("recv again", e, 0)
	a.want("send", a.send("x"), syscall.EPIPE)
	w.finish(a)

	a, b = w.pair(80)
	b.must(b.SetOption(solSocket, soLinger, []byte{1, 0, 0, 0, 0, 0, 0, 0}))
	b.must(b.Close())
	w.clock.Run(seconds)
	a.want("send after reset", a.send("x"), syscall.ECONNRESET)
	a.want("send again", a.send("x"), syscall.EPIPE)
	w.finish(a)
}

func TestPeekAndTruncate(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	a.must(a.send("hello world"))
	w.clock.Run(seconds)
	buf := make([]byte, 5)
	for range 2 {
		if n, _, _, e := b.Recv(buf, msgPeek); string(buf[:n]) != "hello" || e != 0 {
			t.Errorf("peek %q, %v", buf[:n], e)
		}
	}
	if n, _, _, e := b.Recv(buf, msgTrunc); n != 5 || e != 0 { // on a stream: discards
		t.Errorf("discard %d, %v", n, e)
	}
	if text, _ := b.recv(100); text != " world" {
		t.Errorf("%q", text)
	}
	if n, _, _, e := b.Recv(nil, 0); n != 0 || e != 0 {
		t.Errorf("empty recv: %d, %v", n, e)
	}
	_, _, _, e := b.Recv(buf, msgOOB)
	b.want("urgent", e, syscall.EINVAL)
	_, e = a.Send([]byte("x"), netip.AddrPort{}, msgOOB)
	a.want("send urgent", e, syscall.EOPNOTSUPP)
	w.finish(a, b)
}

// TestReadiness checks what Notify says, edges included.
func TestReadiness(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	b.raised = 0
	a.must(a.send("x"))
	w.clock.Run(seconds)
	if b.level != posix.EventIn|posix.EventOut || b.raised&posix.EventIn == 0 {
		t.Errorf("data: level %x, raised %x", b.level, b.raised)
	}
	b.raised = 0
	a.must(a.send("y"))
	w.clock.Run(seconds)
	if b.raised&posix.EventIn == 0 {
		t.Error("more data was not announced")
	}
	if text, _ := b.recv(10); text != "xy" || b.level != posix.EventOut {
		t.Errorf("%q, level %x", text, b.level)
	}
	// Fill the buffers.
	sent := 0
	for {
		n, e := a.Send(make([]byte, 10000), netip.AddrPort{}, 0)
		sent += n
		if e == syscall.EAGAIN {
			break
		}
		a.must(e)
		w.clock.Run(seconds / 10)
	}
	if a.level&posix.EventOut != 0 {
		t.Error("writable with a full buffer")
	}
	a.raised = 0
	got := 0
	for got < sent {
		text, e := b.recv(65536)
		got += len(text)
		b.must(e, syscall.EAGAIN)
		w.clock.Run(seconds / 10)
	}
	if a.level&posix.EventOut == 0 || a.raised&posix.EventOut == 0 {
		t.Errorf("room: level %x, raised %x", a.level, a.raised)
	}
	w.finish(a, b)
}

// TestNotifyAfterClose: nothing is said once Close has returned.
func TestNotifyAfterClose(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	b.must(b.send("unread"))
	a.must(a.Close())
	a.raised = 0
	w.clock.Run(100 * seconds)
	if a.raised != 0 {
		t.Errorf("raised %x", a.raised)
	}
	w.finish(b)
}

func TestAcceptedWithData(t *testing.T) {
	w := quiet(t)
	l := w.b.listen(t, 80)
	c := w.a.socket(t, sockStream, 0)
	c.Connect(ap("10.0.0.2:80"))
	w.clock.Run(seconds)
	c.must(c.send("early"))
	w.clock.Run(seconds)
	k, _, e := l.Accept()
	l.must(e)
	s := watch(t, k)
	if s.level != posix.EventIn|posix.EventOut {
		t.Errorf("level %x", s.level)
	}
	if n, _ := s.Name(false); n != ap("10.0.0.2:80") {
		t.Errorf("name %v", n)
	}
	w.finish(c, s, l)
}

// TestLoopback covers 127.0.0.0/8, the host's own addresses, and a socket that connects to itself.
func TestLoopback(t *testing.T) {
	w := quiet(t)
	for _, addr := range []string{"127.0.0.1", "127.1.2.3", "10.0.0.1", "0.0.0.0"} {
		l := w.a.listen(t, 80)
		c := w.a.socket(t, sockStream, 0)
		c.want(addr, c.Connect(netip.AddrPortFrom(netip.MustParseAddr(addr), 80)), syscall.EINPROGRESS)
		if c.level != posix.EventOut {
			t.Errorf("%s: level %x", addr, c.level)
		}
		k, _, e := l.Accept()
		l.must(e)
		s := watch(t, k)
		w.transfer(c, s, 3<<20)
		w.finish(c, s, l)
	}
	c := w.a.socket(t, sockStream, 0)
	c.must(c.Bind(ap("127.0.0.1:4444")))
	c.want("itself", c.Connect(ap("127.0.0.1:4444")), syscall.EINPROGRESS)
	c.must(c.send("echo"))
	if text, e := c.recv(10); text != "echo" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	c.must(c.Close())
	w.clock.Run(300 * seconds)
	if n := w.a.boxes.TCP.Conns(); n != 0 {
		t.Errorf("%d connections", n)
	}
	c = w.a.socket(t, sockStream, 0)
	c.want("refused", c.Connect(ap("127.0.0.1:9")), syscall.EINPROGRESS)
	c.want("refused", c.errorOption(), syscall.ECONNREFUSED)
}

func TestWildcardAndSpecific(t *testing.T) {
	w := quiet(t)
	all := w.b.listen(t, 80)
	one := w.b.socket(t, sockStream, 0)
	one.want("conflict", one.Bind(ap("10.0.0.2:80")), syscall.EADDRINUSE)
	all.must(all.Close())
	one.must(one.Bind(ap("10.0.0.2:80")))
	one.must(one.Listen(1))
	c := w.b.socket(t, sockStream, 0)
	c.Connect(ap("127.0.0.1:80"))
	c.want("not bound there", c.errorOption(), syscall.ECONNREFUSED)
	c = w.b.socket(t, sockStream, 0)
	c.Connect(ap("10.0.0.2:80"))
	if c.level != posix.EventOut {
		t.Errorf("level %x", c.level)
	}
}

func TestReusePortListeners(t *testing.T) {
	w := quiet(t)
	var ls []*sock
	for range 4 {
		l := w.b.socket(t, sockStream, 0)
		l.must(l.SetOption(solSocket, soReusePort, []byte{1, 0, 0, 0}))
		l.must(l.Bind(ap("0.0.0.0:80")))
		l.must(l.Listen(100))
		ls = append(ls, l)
	}
	for range 80 {
		c := w.a.socket(t, sockStream, 0)
		c.Connect(ap("10.0.0.2:80"))
	}
	w.clock.Run(10 * seconds)
	total := 0
	for i, l := range ls {
		n := 0
		for {
			if _, _, e := l.Accept(); e != 0 {
				break
			}
			n++
		}
		if total += n; n == 0 {
			t.Errorf("listener %d got nothing", i)
		}
	}
	if total != 80 {
		t.Errorf("%d accepted", total)
	}
}

func TestDatagram(t *testing.T) {
	w := quiet(t)
	a, b := w.a.socket(t, sockDgram, 0), w.b.socket(t, sockDgram, 0)
	b.must(b.Bind(ap("0.0.0.0:53")))
	a.want("no destination", a.send("x"), syscall.EDESTADDRREQ)
	_, e := a.Send([]byte("x"), ap("192.0.2.1:53"), 0)
	a.want("no route", e, syscall.ENETUNREACH)
	_, e = a.Send(make([]byte, 65508), ap("10.0.0.2:53"), 0)
	a.want("too long", e, syscall.EMSGSIZE)
	_, e = a.Send([]byte("x"), ap("10.0.0.255:53"), 0)
	a.want("broadcast", e, syscall.EACCES)
	_, e = a.recv(1)
	a.want("empty", e, syscall.EAGAIN)
	a.want("shutdown", a.Shutdown(shutRD), syscall.ENOTCONN)
	a.want("listen", a.Listen(1), syscall.EOPNOTSUPP)

	for _, text := range []string{"one", "", strings.Repeat("three", 2000)} {
		n, e := a.Send([]byte(text), ap("10.0.0.2:53"), 0)
		if n != len(text) || e != 0 {
			t.Errorf("sent %d, %v", n, e)
		}
		w.clock.Run(seconds)
		buf := make([]byte, 20000)
		n, from, flags, e := b.Recv(buf, 0)
		if string(buf[:n]) != text || e != 0 || flags != 0 || from.Addr() != w.a.addr {
			t.Errorf("got %d bytes from %v, flags %x, %v", n, from, flags, e)
		}
	}
	a.Send([]byte("truncated"), ap("10.0.0.2:53"), 0)
	w.clock.Run(seconds)
	buf := make([]byte, 5)
	if n, _, flags, e := b.Recv(buf, msgPeek|msgTrunc); n != 9 || flags != msgTrunc || e != 0 {
		t.Errorf("peek: %d, %x, %v", n, flags, e)
	}
	if n, _, flags, e := b.Recv(buf, 0); n != 5 || flags != msgTrunc || e != 0 || b.level != posix.EventOut {
		t.Errorf("recv: %d, %x, %v", n, flags, e)
	}

	// Connected: hears only its peer, and of refusals.
	a.must(a.Connect(ap("10.0.0.2:53")))
	if n, _ := a.Name(true); n != ap("10.0.0.2:53") {
		t.Errorf("peer %v", n)
	}
	if n, _ := a.Name(false); n.Addr() != w.a.addr {
		t.Errorf("local %v", n)
	}
	local, _ := a.Name(false)
	c := w.b.socket(t, sockDgram, 0)
	c.Send([]byte("stranger"), local, 0)
	b.Send([]byte("peer"), local, 0)
	w.clock.Run(seconds)
	if text, e := a.recv(100); text != "peer" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	_, e = a.recv(100)
	a.want("the stranger", e, syscall.EAGAIN)
	b.must(b.Close())
	a.must(a.send("anybody there?"))
	w.clock.Run(seconds)
	if a.level&posix.EventErr == 0 {
		t.Errorf("level %x", a.level)
	}
	_, e = a.recv(1)
	a.want("refused", e, syscall.ECONNREFUSED)
	a.must(a.Connect(netip.AddrPort{}))
	_, e = a.Name(true)
	a.want("disconnected", e, syscall.ENOTCONN)
	a.want("and has no destination", a.send("x"), syscall.EDESTADDRREQ)
}

func TestDatagramBroadcast(t *testing.T) {
	w := quiet(t)
	a := w.a.socket(t, sockDgram, 0)
	a.must(a.SetOption(solSocket, soBroadcast, []byte{1, 0, 0, 0}))
	var to []*sock
	for range 2 {
		b := w.b.socket(t, sockDgram, 0)
		b.must(b.SetOption(solSocket, soReuseAddr, []byte{1, 0, 0, 0}))
		b.must(b.Bind(ap("0.0.0.0:99")))
		to = append(to, b)
	}
	for _, dst := range []string{"255.255.255.255:99", "10.0.0.255:99"} {
		_, e := a.Send([]byte("all"), ap(dst), 0)
		a.want(dst, e, 0)
		w.clock.Run(seconds)
		for _, b := range to {
			if text, e := b.recv(10); text != "all" || e != 0 {
				t.Errorf("%s: %q, %v", dst, text, e)
			}
		}
	}
	// Nobody there: no ICMP error about a broadcast (RFC 1122 §3.2.2).
	a.Send([]byte("all"), ap("255.255.255.255:98"), 0)
	w.clock.Run(seconds)
	if n := w.b.boxes.ICMP4.Stats.ErrorsTx; n != 0 {
		t.Errorf("%d ICMP errors", n)
	}
}

func TestMulticast(t *testing.T) {
	w := quiet(t)
	group := [4]byte{239, 1, 2, 3}
	b, other := w.b.socket(t, sockDgram, 0), w.b.socket(t, sockDgram, 0)
	for _, s := range []*sock{b, other} {
		s.must(s.SetOption(solSocket, soReuseAddr, []byte{1, 0, 0, 0}))
		s.must(s.Bind(ap("0.0.0.0:5353")))
	}
	mreqn := append(append(group[:], 0, 0, 0, 0), byte(w.b.iface.Index()), 0, 0, 0)
	b.want("join", b.SetOption(solIP, ipAddMembership, mreqn), 0)
	b.want("join again", b.SetOption(solIP, ipAddMembership, mreqn), syscall.EADDRINUSE)
	a := w.a.socket(t, sockDgram, 0)
	a.must(a.SetOption(solIP, ipMulticastTTL, []byte{4}))
	a.must(a.SetOption(solIP, ipMulticastIf, []byte{10, 0, 0, 1}))
	a.want("wrong interface", a.SetOption(solIP, ipMulticastIf, []byte{10, 0, 0, 9}), syscall.ENODEV)
	send := func() {
		a.Send([]byte("group"), netip.AddrPortFrom(netip.AddrFrom4(group), 5353), 0)
		w.clock.Run(seconds)
	}
	send()
	if text, e := b.recv(10); text != "group" || e != 0 {
		t.Errorf("%q, %v", text, e)
	}
	_, e := other.recv(10)
	other.want("not joined", e, syscall.EAGAIN)
	b.want("leave", b.SetOption(solIP, ipDropMembership, mreqn[:8]), 0)
	b.want("leave again", b.SetOption(solIP, ipDropMembership, mreqn), syscall.EADDRNOTAVAIL)
	send()
	_, e = b.recv(10)
	b.want("left", e, syscall.EAGAIN)
	b.must(b.SetOption(solIP, ipAddMembership, mreqn))
	b.must(b.Close()) // leaves
	if w.b.iface.link.Owns(netip.AddrFrom4(group)) {
		t.Error("group")
	}
}

// TestMulticastLoopback: the loopback interface has groups like any other, for sockets that ask for it.
func TestMulticastLoopback(t *testing.T) {
	w := quiet(t)
	group := [4]byte{239, 1, 2, 3}
	mreqn := append(group[:], 0, 0, 0, 0, byte(w.a.lo.Index), 0, 0, 0)
	a, b := w.a.socket(t, sockDgram, 0), w.a.socket(t, sockDgram, 0)
	a.must(a.SetOption(solIP, ipMulticastIf, mreqn))
	b.must(b.Bind(ap("0.0.0.0:5353")))
	receive := func() syscall.Errno {
		_, e := a.Send([]byte("group"), netip.AddrPortFrom(netip.AddrFrom4(group), 5353), 0)
		a.must(e)
		w.clock.Run(seconds)
		text, e := b.recv(10)
		if e == 0 && text != "group" {
			t.Errorf("%q", text)
		}
		return e
	}
	b.want("not joined", receive(), syscall.EAGAIN)
	b.must(b.SetOption(solIP, ipAddMembership, mreqn))
	b.want("joined", receive(), 0)
	_, e := b.recv(10)
	b.want("twice", e, syscall.EAGAIN)
	b.must(b.SetOption(solIP, ipDropMembership, mreqn))
	b.want("left", receive(), syscall.EAGAIN)
}

// TestDatagramQueue fills a queue: what does not fit is dropped, memory stays bounded.
func TestDatagramQueue(t *testing.T) {
	w := quiet(t)
	a, b := w.a.socket(t, sockDgram, 0), w.b.socket(t, sockDgram, 0)
	b.must(b.Bind(ap("0.0.0.0:53")))
	b.must(b.SetOption(solSocket, soRcvBuf, []byte{0, 0x40, 0, 0})) // 16 KiB, doubled
	for range 1000 {
		a.Send([]byte("tiny"), ap("10.0.0.2:53"), 0)
		w.clock.Run(millisecond)
	}
	w.clock.Run(seconds)
	n := 0
	for {
		if _, e := b.recv(10); e != 0 {
			break
		}
		n++
	}
	if n < 32768/1000 || n > 32768/512 || w.b.boxes.UDP.Stats.PacketsDropped != uint64(1000-n) {
		t.Errorf("%d queued, %+v", n, w.b.boxes.UDP.Stats)
	}
}

func TestPing(t *testing.T) {
	w := quiet(t)
	p := w.a.socket(t, sockDgram, wire.ProtoICMP)
	raw := w.a.socket(t, sockRaw, wire.ProtoICMP)
	raw.must(raw.Bind(ap("0.0.0.0:0")))
	m := []byte{wire.ICMPEcho, 0, 0, 0, 0, 0, 0, 1, 'p', 'i', 'n', 'g'}
	_, e := p.Send(m, ap("10.0.0.2:0"), 0)
	p.must(e)
	w.clock.Run(seconds)
	buf := make([]byte, 100)
	n, from, _, e := p.Recv(buf, 0)
	if e != 0 || n != 12 || buf[0] != 0 || string(buf[8:12]) != "ping" || from.Addr() != w.b.addr {
		t.Errorf("%x from %v, %v", buf[:n], from, e)
	}
	id, _ := p.Name(false)
	if uint16(buf[4])<<8|uint16(buf[5]) != id.Port() {
		t.Errorf("identifier %x, port %d", buf[4:6], id.Port())
	}
	n, _, _, e = raw.Recv(buf, 0)
	if e != 0 || n != 32 || buf[0] != 0x45 || buf[9] != 1 || string(buf[28:32]) != "ping" {
		t.Errorf("raw: %x, %v", buf[:n], e)
	}
	_, e = p.Send([]byte("not an echo"), ap("10.0.0.2:0"), 0)
	p.want("malformed", e, syscall.EINVAL)
	// Unreachable neighbours are reported to a connected one.
	p.must(p.Connect(ap("10.0.0.99:0")))
	p.must(p.send(string(m)))
	w.clock.Run(5 * seconds)
	p.want("unreachable", p.errorOption(), syscall.EHOSTUNREACH)
	other := w.a.socket(t, sockDgram, wire.ProtoICMP)
	other.want("same identifier", other.Bind(netip.AddrPortFrom(w.a.addr, id.Port())), syscall.EADDRINUSE)
	p.must(p.Close())
	other.want("free again", other.Bind(netip.AddrPortFrom(w.a.addr, id.Port())), 0)
}

func TestOptions(t *testing.T) {
	w := quiet(t)
	str, dgm, png := w.a.socket(t, sockStream, 0), w.a.socket(t, sockDgram, 0), w.a.socket(t, sockDgram, 1)
	word := func(x int) []byte { return []byte{byte(x), byte(x >> 8), byte(x >> 16), byte(x >> 24)} }
	for _, c := range []struct {
		s           *sock
		level, name int
		set, get    int // set: -1 only get
	}{
		{str, solSocket, soReuseAddr, 1, 1}, {str, solSocket, soReusePort, 1, 1}, {str, solSocket, soKeepAlive, 1, 1},
		{str, solSocket, soBroadcast, 1, 1}, {str, solSocket, soOOBInline, 1, 1}, {str, solSocket, soPriority, 3, 3},
		{str, solSocket, soType, -1, sockStream}, {str, solSocket, soDomain, -1, afInet}, {str, solSocket, soProtocol, -1, 6},
		{str, solSocket, soAcceptConn, -1, 0}, {str, solSocket, soError, -1, 0},
		{str, solSocket, soSndBuf, 100000, 200000}, {str, solSocket, soRcvBuf, 100000, 200000},
		{str, solSocket, soRcvBuf, 1, 8192},
		{str, solTCP, tcpNoDelay, 1, 1}, {str, solTCP, tcpCork, 1, 1}, {str, solTCP, tcpKeepIdle, 15, 15},
		{str, solTCP, tcpKeepIntvl, 16, 16}, {str, solTCP, tcpKeepCnt, 9, 9}, {str, solTCP, tcpUserTimeout, 5000, 5000},
		{str, solTCP, tcpDeferAccept, 1, 0}, {str, solTCP, tcpQuickAck, 1, 0},
		{str, solIP, ipTTL, 5, 5}, {str, solIP, ipTOS, 0x10, 0x10}, {str, solIP, ipTTL, -2, 5},
		{dgm, solSocket, soType, -1, sockDgram}, {dgm, solSocket, soProtocol, -1, 17}, {dgm, solSocket, soBroadcast, 1, 1},
		{dgm, solSocket, soRcvBuf, 50000, 100000}, {dgm, solSocket, soError, -1, 0},
		{dgm, solIP, ipTTL, -1, 64}, {dgm, solIP, ipMulticastTTL, 7, 7}, {dgm, solIP, ipMulticastLoop, 0, 0},
		{dgm, solIP, ipMTUDiscover, ipPMTUDo, ipPMTUDo}, {dgm, solIP, ipTOS, 4, 4},
		{png, solSocket, soType, -1, sockDgram}, {png, solSocket, soProtocol, -1, 1}, {png, solIP, ipTTL, 3, 3},
	} {
		if c.set >= 0 {
			c.s.want("set", c.s.SetOption(c.level, c.name, word(c.set)), 0)
		}
		var v [4]byte
		n, e := c.s.Option(c.level, c.name, v[:])
		if got := int(v[0]) | int(v[1])<<8 | int(v[2])<<16; n != 4 || e != 0 || got != c.get {
			t.Errorf("level %d option %d: %d (%d bytes, %v), want %d", c.level, c.name, got, n, e, c.get)
		}
	}
	for _, c := range []struct {
		s           *sock
		level, name int
		v           []byte
		want        syscall.Errno
	}{
		{str, solSocket, 9999, word(1), syscall.ENOPROTOOPT}, {str, 99, 1, word(1), syscall.ENOPROTOOPT},
		{str, solTCP, 99, word(1), syscall.ENOPROTOOPT}, {str, solTCP, tcpNoDelay, nil, syscall.EINVAL},
		{str, solTCP, tcpKeepIdle, word(0), syscall.EINVAL}, {str, solTCP, tcpKeepCnt, word(1000), syscall.EINVAL},
		{str, solSocket, soType, word(1), syscall.ENOPROTOOPT}, {str, solSocket, soLinger, word(1), syscall.EINVAL},
		{str, solIP, ipTTL, word(0), syscall.EINVAL}, {str, solIP, ipTTL, word(256), syscall.EINVAL},
		{str, solTCP, tcpCongestion, []byte("reno"), 0}, {str, solTCP, tcpCongestion, []byte("bbr"), syscall.ENOENT},
		{str, solSocket, soBindToDevice, []byte("eth0"), 0}, {str, solSocket, soBindToDevice, []byte("eth7"), syscall.ENODEV},
		{str, solSocket, soBindToDevice, nil, 0}, {dgm, solIP, ipAddMembership, word(1), syscall.EINVAL},
		{dgm, solIP, ipAddMembership, []byte{10, 0, 0, 1, 0, 0, 0, 0}, syscall.EINVAL}, {dgm, 41, 26, word(1), syscall.ENOPROTOOPT},
		{dgm, solIP, ipMTUDiscover, word(9), syscall.EINVAL},
	} {
		c.s.want("set", c.s.SetOption(c.level, c.name, c.v), c.want)
	}
	var v [200]byte
	if n, e := str.Option(solTCP, tcpCongestion, v[:]); e != 0 || string(v[:n]) != "reno\x00" {
		t.Errorf("congestion control %q, %v", v[:n], e)
	}
	str.must(str.SetOption(solSocket, soLinger, append(word(1), word(5)...)))
	if n, e := str.Option(solSocket, soLinger, v[:]); n != 8 || e != 0 || v[0] != 1 || v[4] != 5 {
		t.Errorf("linger %x, %v", v[:n], e)
	}
	l := w.a.listen(t, 80)
	if l.Option(solSocket, soAcceptConn, v[:]); v[0] != 1 {
		t.Error("a listener does not say so")
	}
}

// TestCongestion chooses the algorithm: TCP_CONGESTION.
func TestCongestion(t *testing.T) {
	w := quiet(t)
	l := w.b.listen(t, 80)
	l.must(l.SetOption(solTCP, tcpCongestion, []byte("reno")))
	c := w.a.socket(t, sockStream, 0)
	c.must(c.Connect(netip.AddrPortFrom(w.b.addr, 80)), syscall.EINPROGRESS)
	w.clock.Run(seconds)
	k, _, e := l.Accept()
	l.must(e)
	s := watch(t, k)
	name := func(k *sock) string {
		var v [16]byte
		n, e := k.Option(solTCP, tcpCongestion, v[:])
		k.must(e)
		return string(v[:n])
	}
	if name(c) != "cubic\x00" || name(l) != "reno\x00" || name(s) != "reno\x00" {
		t.Errorf("%q, listener %q, accepted %q", name(c), name(l), name(s))
	}
	c.must(c.SetOption(solTCP, tcpCongestion, []byte("reno\x00")))
	if n := name(c); n != "reno\x00" {
		t.Errorf("%q", n)
	}
	if e := c.SetOption(solTCP, tcpCongestion, []byte("bbr")); e != syscall.ENOENT {
		t.Errorf("bbr: %v", e)
	}
	w.transfer(c, s, 100_000)
	l.must(l.Close())
	w.finish(c, s)
}

func TestTCPInfo(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	w.transfer(a, b, 100000)
	w.finish(a, b)
	a, b = w.pair(81)
	a.must(a.send("x"))
	w.clock.Run(seconds)
	var v [232]byte
	n, e := a.Option(solTCP, tcpInfo, v[:])
	word := func(i int) int { return int(v[i]) | int(v[i+1])<<8 | int(v[i+2])<<16 }
	if e != 0 || n != 104 || v[0] != 1 || word(16) != 1448 || word(60) != 1500 || word(80) != 10 || word(84) != 1460 {
		t.Errorf("%d bytes: %v, %v", n, v[:n], e)
	}
	if rtt := word(68); rtt < 2000 || rtt > 8000 {
		t.Errorf("round trip %d µs, link has 2000", rtt)
	}
	if n, e := a.Option(solTCP, tcpInfo, v[:8]); n != 8 || e != 0 {
		t.Errorf("short: %d, %v", n, e)
	}
	w.finish(a, b)
}

// TestPeerGone pulls the cable.
func TestPeerGone(t *testing.T) {
	w := quiet(t)
	a, b := w.pair(80)
	a.must(a.SetOption(solSocket, soKeepAlive, []byte{1, 0, 0, 0}))
	a.must(a.SetOption(solTCP, tcpKeepIdle, []byte{15, 0, 0, 0}))
	a.must(a.SetOption(solTCP, tcpKeepIntvl, []byte{15, 0, 0, 0}))
	a.must(a.SetOption(solTCP, tcpKeepCnt, []byte{9, 0, 0, 0})) // what Go sets
	w.clock.Run(100 * seconds)
	a.want("alive", a.errorOption(), 0)
	w.link.A.Tap = func([]byte) bool { return false }
	w.clock.Run(140 * seconds)
	a.want("not yet", a.errorOption(), 0)
	w.clock.Run(30 * seconds)
	a.want("gone", a.errorOption(), syscall.ETIMEDOUT)
	b.must(b.send("hello?"))
	w.link.B.Tap = func([]byte) bool { return false }
	w.clock.Run(3600 * seconds)
	if e := b.errorOption(); e != syscall.ETIMEDOUT && e != syscall.EHOSTUNREACH {
		t.Errorf("retransmission: %v", e)
	}
}

func TestInterfaces(t *testing.T) {
	w := quiet(t)
	list := w.a.Interfaces()
	if len(list) != 2 || !list[0].Loopback || list[0].Index != 1 || list[0].Name != "lo" || list[0].Addrs[0] != prefix("127.0.0.1/8") ||
		list[1].Index != 2 || list[1].Name != "eth0" || list[1].MTU != 1500 || list[1].Addrs[0] != prefix("10.0.0.1/24") || !list[1].Up {
		t.Errorf("%+v", list)
	}
}

func TestConfigure(t *testing.T) {
	w := quiet(t)
	for name, c := range map[string]hypercall.NetConfig{
		"no address": {Prefix: 24}, "no prefix": {Addr: [4]byte{10, 0, 0, 1}}, "prefix": {Addr: [4]byte{10, 0, 0, 1}, Prefix: 33},
		"loopback": {Addr: [4]byte{127, 0, 0, 1}, Prefix: 8}, "multicast": {Addr: [4]byte{224, 0, 0, 1}, Prefix: 8},
	} {
		if err := w.a.iface.Configure(c); err != ErrConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
	var dns []netip.Addr
	var search string
	w.a.config.Resolvers = func(servers []netip.Addr, s string) {
		dns, search = servers, s
		w.a.Interfaces() // without the lock: may call the stack
	}
	c := hypercall.NetConfig{Addr: [4]byte{10, 0, 0, 5}, Prefix: 24, Router: [4]byte{10, 0, 0, 2}, DNS: [3][4]byte{{9, 9, 9, 9}, {8, 8, 8, 8}}}
	copy(c.Search[:], "example.org")
	if err := w.a.iface.Configure(c); err != nil {
		t.Fatal(err)
	}
	if len(dns) != 2 || dns[1].String() != "8.8.8.8" || search != "example.org" {
		t.Errorf("resolvers %v %q", dns, search)
	}
	s := w.a.socket(t, sockStream, 0)
	s.want("through the router", s.Connect(ap("192.0.2.1:80")), syscall.EINPROGRESS)
	if n, _ := s.Name(false); n.Addr().String() != "10.0.0.5" {
		t.Errorf("from %v", n)
	}
}

func TestCards(t *testing.T) {
	w := quiet(t)
	e := w.link.A
	good := Card{Name: "eth1", MAC: [6]byte{2}, MTU: 1500, Transmit: e.Transmit, Flush: e.Flush}
	for name, f := range map[string]func(*Card){
		"no MAC": func(c *Card) { c.MAC = [6]byte{} }, "multicast": func(c *Card) { c.MAC[0] = 1 }, "MTU": func(c *Card) { c.MTU = 100 },
		"large MTU": func(c *Card) { c.MTU = 70000 }, "no Transmit": func(c *Card) { c.Transmit = nil }, "no Flush": func(c *Card) { c.Flush = nil },
	} {
		c := good
		f(&c)
		if _, err := w.a.AddCard(c); err != ErrCard {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i, err := w.a.AddCard(good); err != nil || i.Index() != 3 {
		t.Errorf("%v", err)
	}
}
