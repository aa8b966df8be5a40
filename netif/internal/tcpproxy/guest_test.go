package tcpproxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
)

const (
	ack    = header.TCPFlagAck
	ackFin = header.TCPFlagAck | header.TCPFlagFin
	ackPsh = header.TCPFlagAck | header.TCPFlagPsh
	ackRst = header.TCPFlagAck | header.TCPFlagRst
	ackSyn = header.TCPFlagAck | header.TCPFlagSyn
	syn    = header.TCPFlagSyn
)

// rig is a proxy with a guest that does exactly what the test says, and sockets of the host that nobody polls. It works
// in a bubble of testing/synctest, so the clock is the test's.
type rig struct {
	t     testing.TB
	proxy *Proxy
	table Table
	wg    sync.WaitGroup
	dial  func() (net.Conn, error)
	other func(net.Conn, []byte)
	errs  []error // given to Unreachable
	woken int

	// The guest's connection: what it sends next, and has received.
	peer     netip.AddrPort
	port     uint16
	seq, ack uint32
	window   uint16
}

var guestAddr, guestAddr6 = netip.MustParseAddr("10.0.2.15"), netip.MustParseAddr("fd00::15")

func (r *rig) six() bool { return r.peer.Addr().Is6() }

// longer is how much longer the headers are than those of IPv4.
func (r *rig) longer() int {
	if r.six() {
		return header.IPv6MinimumSize - header.IPv4MinimumSize
	}
	return 0
}

func newRig(t testing.TB, mtu int) *rig {
	r := &rig{t: t, peer: netip.MustParseAddrPort("192.0.2.1:443"), port: 5000, seq: 1000, window: 60000}
	if strings.HasSuffix(t.Name(), "/IPv6") {
		r.peer = netip.MustParseAddrPort("[2001:db8::1]:443")
	}
	r.table.Max, r.table.MaxPending = 100, 50
	var mu sync.Mutex
	p, err := New(Config{
		Guest: guestAddr, MTU: mtu, Table: &r.table, Timeout: 30 * time.Second,
		Dial: func(context.Context, netip.AddrPort) (net.Conn, error) { return r.dial() },
		Unreachable: func(_, _ netip.AddrPort, _ uint32, err error) bool {
			r.errs = append(r.errs, err)
			return err == unix.ECONNREFUSED
		},
		Other:  func(c net.Conn, syn []byte) { r.other(c, syn) },
		SeenAs: func(netip.AddrPort) netip.AddrPort { return r.peer },
		Go:     func(f func()) { r.wg.Go(f) },
		Wake:   func() { mu.Lock(); r.woken++; mu.Unlock() },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.proxy = p
	t.Cleanup(func() { p.Close(); r.wg.Wait() })
	return r
}

// sockets is a connected pair of TCP sockets of the host: one as Dial returns it, the other as a descriptor.
func sockets(t testing.TB) (*net.TCPConn, int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := takeSocket(s.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return c.(*net.TCPConn), fd
}

// segment is what the guest sends or receives.
type segment struct {
	flags    header.TCPFlags
	seq, ack uint32
	window   uint16
	options  []byte
	data     string
	header   hypercall.NetHeader
}

func (s segment) String() string {
	return fmt.Sprintf("%v seq %d ack %d window %d options %x %d bytes", s.flags, s.seq, s.ack, s.window, s.options, len(s.data))
}

// input gives the proxy a segment of the guest and reports whether it took it.
func (r *rig) input(s segment) bool {
	tcp := make(header.TCP, header.TCPMinimumSize+len(s.options))
	tcp.Encode(&header.TCPFields{
		SrcPort: r.port, DstPort: r.peer.Port(), SeqNum: s.seq, AckNum: s.ack, Flags: s.flags, WindowSize: s.window,
		DataOffset: uint8(len(tcp)),
	})
	copy(tcp[header.TCPMinimumSize:], s.options)
	ip := make([]byte, header.IPv6MinimumSize)
	if r.six() {
		header.IPv6(ip).Encode(&header.IPv6Fields{
			PayloadLength: uint16(len(tcp) + len(s.data)), TransportProtocol: 6,
			SrcAddr: tcpip.AddrFrom16(guestAddr6.As16()), DstAddr: tcpip.AddrFrom16(r.peer.Addr().As16()),
		})
	} else {
		ip = ip[:header.IPv4MinimumSize]
		header.IPv4(ip).Encode(&header.IPv4Fields{
			TotalLength: uint16(len(ip) + len(tcp) + len(s.data)), Protocol: 6,
			SrcAddr: tcpip.AddrFrom4(guestAddr.As4()), DstAddr: tcpip.AddrFrom4(r.peer.Addr().As4()),
		})
	}
	data := []byte(s.data)
	f := netif.Frame{Data: [][]byte{make([]byte, 54), data[:len(data)/2], data[len(data)/2:]}, Len: 54 + len(data)}
	in := &Segment{IP: ip, TCP: tcp, Frame: &f, Off: 54, Len: len(data)}
	if r.proxy.Input(in) {
		r.proxy.Flush()
		clear(data) // the frame is the guest's again
		return true
	}
	if !in.Opens() {
		return false
	}
	r.proxy.Open(in, netip.MustParseAddrPort("192.0.2.1:443"))
	return true
}

// send sends the guest's next bytes.
func (r *rig) send(flags header.TCPFlags, data string) {
	r.t.Helper()
	if !r.input(segment{flags: flags, seq: r.seq, ack: r.ack, window: r.window, data: data}) {
		r.t.Fatalf("the proxy does not know the connection")
	}
	r.seq += uint32(len(data))
	if flags&(header.TCPFlagFin|header.TCPFlagSyn) != 0 {
		r.seq++
	}
}

// output takes one segment for the guest.
func (r *rig) output() (s segment, ok bool) {
	r.t.Helper()
	buf := make([]byte, 1<<17)
	f := []netif.Frame{{Data: [][]byte{buf[:50], buf[50:55], buf[55:]}}}
	if r.proxy.Output(f) == 0 {
		return s, false
	}
	b := buf[:f[0].Len]
	if r.six() {
		return r.output6(b, f[0].Header)
	}
	ip := header.IPv4(b[14:])
	tcp := header.TCP(ip.Payload())
	s = segment{
		flags: tcp.Flags(), seq: tcp.SequenceNumber(), ack: tcp.AckNumber(), window: tcp.WindowSize(),
		options: tcp.Options(), data: string(tcp.Payload()), header: f[0].Header,
	}
	if !ip.IsValid(len(b)-14) || !ip.IsChecksumValid() || int(ip.TotalLength()) != len(b)-14 ||
		b[12] != 8 || b[13] != 0 || ip.SourceAddress().String() != r.peer.Addr().String() || tcp.SourcePort() != r.peer.Port() || tcp.DestinationPort() != r.port {
		r.t.Fatalf("bad packet %x", b[:54])
	}
	pseudo := header.PseudoHeaderChecksum(6, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	if s.header.Flags&hypercall.NeedsCsum == 0 && checksum.Checksum(tcp, pseudo) != 0xffff {
		r.t.Fatalf("bad checksum in %v", s)
	}
	return s, true
}

// output6 is output for IPv6.
func (r *rig) output6(b []byte, h hypercall.NetHeader) (s segment, ok bool) {
	r.t.Helper()
	ip := header.IPv6(b[14:])
	if !ip.IsValid(len(b)-14) || int(ip.PayloadLength())+40 != len(b)-14 || ip.TransportProtocol() != 6 || b[12] != 0x86 || b[13] != 0xdd {
		r.t.Fatalf("bad packet %x", b[:74])
	}
	tcp := header.TCP(ip.Payload())
	s = segment{
		flags: tcp.Flags(), seq: tcp.SequenceNumber(), ack: tcp.AckNumber(), window: tcp.WindowSize(),
		options: tcp.Options(), data: string(tcp.Payload()), header: h,
	}
	if ip.SourceAddress().String() != r.peer.Addr().String() || ip.DestinationAddress().String() != guestAddr6.String() ||
		tcp.SourcePort() != r.peer.Port() || tcp.DestinationPort() != r.port {
		r.t.Fatalf("bad packet %x", b[:74])
	}
	pseudo := header.PseudoHeaderChecksum(6, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	switch {
	case h.Flags&hypercall.NeedsCsum == 0:
		if checksum.Checksum(tcp, pseudo) != 0xffff {
			r.t.Fatalf("bad checksum in %v", s)
		}
	case tcp.Checksum() != pseudo || h.CsumStart != 54 || h.CsumOffset != 16:
		r.t.Fatalf("bad checksum to complete in %v, %+v", s, h)
	}
	return s, true
}

// expect takes a segment and compares its flags, the bytes it carries and what it acknowledges.
func (r *rig) expect(flags header.TCPFlags, data string) segment {
	r.t.Helper()
	s, ok := r.output()
	if !ok {
		r.t.Fatalf("no segment, want %v with %d bytes", flags, len(data))
	}
	if s.flags != flags || s.data != data {
		r.t.Fatalf("segment %v, want %v with %d bytes", s, flags, len(data))
	}
	if flags&(header.TCPFlagAck|header.TCPFlagSyn) == header.TCPFlagAck && s.ack != r.seq {
		r.t.Fatalf("segment %v acknowledges other than %d", s, r.seq)
	}
	return s
}

// take is expect for the next segment in order, which the guest takes over.
func (r *rig) take(flags header.TCPFlags, data string) segment {
	r.t.Helper()
	s := r.expect(flags, data)
	if s.seq != r.ack {
		r.t.Fatalf("segment %v does not begin at %d", s, r.ack)
	}
	r.ack += uint32(len(data))
	if flags&header.TCPFlagFin != 0 {
		r.ack++
	}
	return s
}

// silent checks that there is nothing for the guest.
func (r *rig) silent() {
	r.t.Helper()
	if s, ok := r.output(); ok {
		r.t.Fatalf("unexpected segment %v", s)
	}
}

// opened is a rig with a connection that the guest has made, and the other end of its socket.
func opened(t testing.TB, mtu int, options ...byte) (*rig, int) {
	r := newRig(t, mtu)
	c, fd := sockets(t)
	r.dial = func() (net.Conn, error) { return c, nil }
	if !r.input(segment{flags: syn, seq: r.seq, window: r.window, options: options}) {
		t.Fatal("SYN refused")
	}
	r.wg.Wait()
	r.seq++
	s, ok := r.output()
	if !ok || s.flags != ackSyn || s.ack != r.seq {
		t.Fatalf("answer to SYN: %v", s)
	}
	r.ack = s.seq + 1
	r.send(ack, "")
	r.silent()
	return r, fd
}

// hostRead is what has come to the other end of the socket; end is true at the end of the stream.
func hostRead(t testing.TB, fd int) (data string, end bool) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EAGAIN:
			return data, false
		case err != nil:
			return data + "!" + err.Error(), true
		case n == 0:
			return data, true
		}
		data += string(buf[:n])
	}
}

func hostWrite(t testing.TB, fd int, data string) {
	t.Helper()
	if n, err := unix.Write(fd, []byte(data)); n != len(data) || err != nil {
		t.Fatalf("write %d bytes: %d, %v", len(data), n, err)
	}
}

// only is the rig's connection; nil if it has none.
func (r *rig) only() *conn {
	for _, c := range r.proxy.conns {
		return c
	}
	return nil
}

// resetSocket closes the socket that fd is with a reset; fd stays open.
func resetSocket(t testing.TB, fd int) {
	t.Helper()
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// options of a SYN: segment size 1000, window scale 2.
var options = []byte{2, 4, 1000 >> 8, 1000 & 0xff, 1, 3, 3, 2}

// advance lets the clock of the bubble run.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bubble runs a test whose guest connects over IPv4, and over IPv6.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run("IPv4", func(t *testing.T) { synctest.Test(t, f) })
	t.Run("IPv6", func(t *testing.T) { synctest.Test(t, f) })
}

// bubble4 is for what is connected over IPv4 only: clients of the host.
func bubble4(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d ", i)
	}
	return b.String()[:n]
}
