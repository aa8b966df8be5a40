package user_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"ukvm.dev/hypercall"
	"ukvm.dev/netif"
	"ukvm.dev/netif/user"
)

// thinGuest is the least guest that can speak TCP: one locked thread, like a vCPU, that runs each frame to completion
// and sleeps on the link. The link must be lossless. It measures what the network itself costs.
type thinGuest struct {
	link   netif.Link
	config netif.Config
	serve  func(*thinConn, int) // called after n bytes came
	conns  map[uint64]*thinConn
	out    []netif.Frame
	free   [][]byte
	offl   bool
	stop   [2]int
	done   chan struct{}
}

// thinConn is a connection that a client has made.
type thinConn struct {
	g             *thinGuest
	peer          header.IPv4 // addresses, as received
	src, dst      uint16
	rcv, snd      uint32
	una           uint32 // acknowledged by the client
	window, scale uint32
	unlimited     bool // sends for ever
	ackNow        bool
	pending       []byte // not yet sent
}

const thinScale = 8

func newThinGuest(t testing.TB, l *user.Link, serve func(*thinConn, int), offload bool) *thinGuest {
	return newThinGuestOn(t, l, l.Config(), serve, offload)
}

func newThinGuestOn(t testing.TB, l netif.Link, config netif.Config, serve func(*thinConn, int), offload bool) *thinGuest {
	g := &thinGuest{link: l, config: config, serve: serve, offl: offload, conns: make(map[uint64]*thinConn), done: make(chan struct{})}
	if err := unix.Pipe2(g.stop[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	go g.run()
	t.Cleanup(func() {
		unix.Close(g.stop[1])
		<-g.done
		unix.Close(g.stop[0])
	})
	return g
}

func (g *thinGuest) run() {
	runtime.LockOSThread()
	defer close(g.done)
	in := make([]netif.Frame, 64)
	for i := range in {
		in[i].Data = [][]byte{make([]byte, netif.EthernetSize+g.config.MTU)}
		if g.offl {
			in[i].Data = [][]byte{make([]byte, 65550)}
		}
	}
	poll := []unix.PollFd{{Fd: int32(g.link.FD()), Events: unix.POLLIN}, {Fd: int32(g.stop[0]), Events: unix.POLLIN}}
	for {
		n, err := g.link.Receive(in)
		if err != nil {
			return
		}
		for i := range in[:n] {
			g.input(in[i].Data[0][:in[i].Len])
		}
		for _, c := range g.conns {
			c.flush()
		}
		if len(g.out) > 0 {
			g.link.Send(g.out)
			for _, f := range g.out {
				g.free = append(g.free, f.Data[0][:0])
			}
			g.out = g.out[:0]
			continue
		}
		if n == 0 && !g.link.Arm() {
			unix.Poll(poll, -1)
			if poll[1].Revents != 0 {
				return
			}
		}
	}
}

func (g *thinGuest) input(frame []byte) {
	if binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return
	}
	ip := header.IPv4(frame[14:])
	if ip.Protocol() != 6 {
		return
	}
	tcp := header.TCP(ip.Payload())
	key := uint64(binary.BigEndian.Uint32(ip[12:]))<<32 | uint64(tcp.SourcePort())<<16 | uint64(tcp.DestinationPort())
	c := g.conns[key]
	flags := tcp.Flags()
	if flags.Contains(header.TCPFlagRst) {
		delete(g.conns, key)
		return
	}
	if flags.Contains(header.TCPFlagSyn) {
		c = &thinConn{g: g, peer: append(header.IPv4(nil), ip[:20]...), src: tcp.DestinationPort(), dst: tcp.SourcePort(), rcv: tcp.SequenceNumber() + 1, snd: 1, una: 1}
		syn := header.ParseSynOptions(tcp.Options(), false)
		c.scale = uint32(max(syn.WS, 0))
		g.conns[key] = c
		mss := uint16(g.config.MTU - 40)
		c.emit(header.TCPFlagSyn|header.TCPFlagAck, []byte{2, 4, byte(mss >> 8), byte(mss), 1, 3, 3, thinScale}, nil)
		c.snd++
		c.una = c.snd
		return
	}
	if c == nil {
		return
	}
	c.window = uint32(tcp.WindowSize()) << c.scale
	if flags.Contains(header.TCPFlagAck) {
		c.una = tcp.AckNumber()
	}
	payload := tcp.Payload()
	if tcp.SequenceNumber() != c.rcv {
		c.ackNow = true
		return
	}
	c.rcv += uint32(len(payload))
	if len(payload) > 0 {
		c.ackNow = true
		g.serve(c, len(payload))
	}
	if flags.Contains(header.TCPFlagFin) {
		c.rcv++
		c.flush()
		c.emit(header.TCPFlagFin|header.TCPFlagAck, nil, nil)
		c.snd++
		delete(g.conns, key)
	}
}

var thinZeros [1 << 16]byte

// flush sends what the window allows, or an acknowledgement.
func (c *thinConn) flush() {
	mss := uint32(c.g.config.MTU - 40)
	if c.g.offl {
		mss = 65535 - 40
	}
	for c.unlimited && len(c.g.out) < 64 {
		n := min(mss, c.window-(c.snd-c.una))
		if n == 0 || n < mss && c.snd != c.una {
			break
		}
		c.emit(header.TCPFlagAck, nil, thinZeros[:n])
		c.snd += n
	}
	if len(c.pending) > 0 {
		c.emit(header.TCPFlagAck|header.TCPFlagPsh, nil, c.pending)
		c.snd += uint32(len(c.pending))
		c.pending = c.pending[:0]
	}
	if c.ackNow {
		c.emit(header.TCPFlagAck, nil, nil)
	}
}

func (c *thinConn) emit(flags header.TCPFlags, options, payload []byte) {
	g := c.g
	var b []byte
	if n := len(g.free); n > 0 {
		b, g.free = g.free[n-1], g.free[:n-1]
	}
	size := 14 + 20 + 20 + len(options) + len(payload)
	if cap(b) < size {
		b = make([]byte, max(size, 2048))
	}
	b = b[:size]
	copy(b, "\x02ukvm\x02")
	copy(b[6:], g.config.MAC[:])
	b[12], b[13] = 8, 0
	ip := header.IPv4(b[14:])
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(size - 14), TTL: 64, Protocol: 6, SrcAddr: c.peer.DestinationAddress(), DstAddr: c.peer.SourceAddress()})
	ip.SetChecksum(^ip.CalculateChecksum())
	tcp := header.TCP(b[34:])
	tcp.Encode(&header.TCPFields{SrcPort: c.src, DstPort: c.dst, SeqNum: c.snd, AckNum: c.rcv, DataOffset: uint8(20 + len(options)), Flags: flags, WindowSize: (1 << 20) >> thinScale})
	if flags.Contains(header.TCPFlagSyn) {
		tcp.SetWindowSize(65535)
	}
	copy(tcp[20:], options)
	copy(tcp[20+len(options):], payload)
	pseudo := header.PseudoHeaderChecksum(6, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(tcp)))
	f := netif.Frame{Data: [][]byte{b}, Len: size}
	if g.offl {
		tcp.SetChecksum(pseudo)
		f.Header = hypercall.NetHeader{Flags: hypercall.NeedsCsum, CsumStart: 34, CsumOffset: 16}
		if len(payload) > g.config.MTU-40 {
			f.Header.GSOType, f.Header.GSOSize, f.Header.HdrLen = hypercall.GSOTCP4, uint16(g.config.MTU-40), 54
		}
	} else {
		tcp.SetChecksum(^checksum.Checksum(tcp, pseudo))
	}
	c.ackNow = false
	g.out = append(g.out, f)
}
