//go:build linux

package net

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	stdnet "net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ukvm.dev/guest/net/nic"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/tcp"
	"ukvm.dev/hypercall"
)

// linux is one of our stacks on a TAP device whose other end is Linux's own stack, in a network namespace of its own.
// It needs the right to make one: tests that use it are skipped without.
type linux struct {
	us   *host         // 10.77.0.2
	them netip.Addr    // 10.77.0.1
	loss atomic.Uint32 // both ways, in a thousand
}

// onLinux runs f beside Linux's stack, whose sockets f makes with package net in its own goroutine.
func onLinux(t *testing.T, name string, features nic.Features, f func(t *testing.T, k *linux)) {
	t.Run(name, func(t *testing.T) {
		runtime.LockOSThread() // for good: the thread, whose namespace changes, ends with this test's goroutine
		k, stop, err := newLinux(features)
		if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		f(t, k)
	})
}

func newLinux(features nic.Features) (k *linux, stop func(), err error) {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return nil, nil, fmt.Errorf("make a network namespace: %w", err)
	}
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: "tap0"}, Mode: netlink.TUNTAP_MODE_TAP, Queues: 1, NonPersist: true,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR,
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return nil, nil, fmt.Errorf("make a TAP device: %w", err)
	}
	fd, err := syscall.Dup(int(tap.Fds[0].Fd())) // for a file of our own, with the poller
	tap.Fds[0].Close()
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, nil, err
	}
	if features.TxChecksum {
		const tunSetOffload, checksum, tso4 = 0x400454d0, 1, 2
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetOffload, checksum|tso4); e != 0 {
			return nil, nil, e
		}
	}
	file := os.NewFile(uintptr(fd), "tap0")
	addr, err := netlink.ParseAddr("10.77.0.1/24")
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(netlink.AddrAdd(tap, addr), netlink.LinkSetUp(tap)); err != nil {
		return nil, nil, err
	}
	k = &linux{us: &host{Stack: New(Config{}), addr: netip.MustParseAddr("10.77.0.2")}, them: netip.MustParseAddr("10.77.0.1")}
	// The device's header is the one of virtio 0.9, without the last two bytes.
	const headerSize = hypercall.NetHeaderSize - 2
	out := make([]byte, 70000)
	outLoss, inLoss := rand.New(rand.NewPCG(3, 3)), rand.New(rand.NewPCG(4, 4))
	i, err := k.us.AddCard(Card{
		Name: "eth0", MAC: [6]byte{2, 0, 0, 77, 0, 2}, MTU: 1500, Features: features,
		Transmit: func(p *packet.Packet) bool {
			p.EncodeNet()
			n := p.CopyOut(out)
			p.Release()
			copy(out[2:], out[:headerSize])
			if outLoss.Uint32N(1000) < k.loss.Load() {
				return true
			}
			file.Write(out[2:n])
			return true
		},
		Flush: func() {},
	})
	if err != nil {
		return nil, nil, err
	}
	k.us.iface = i
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := make([]byte, 70000)
		for {
			n, err := file.Read(in[2:])
			if err != nil {
				return
			}
			if inLoss.Uint32N(1000) < k.loss.Load() {
				continue
			}
			copy(in, in[2:2+headerSize])
			in[headerSize], in[headerSize+1] = 1, 0
			n += 2
			p := k.us.Pool().Receive(max(min(n, packet.Large), packet.Small))
			p.Truncate(copy(p.Bytes(), in[:n]))
			p.DecodeNet()
			i.Receive([]*packet.Packet{p})
		}
	}()
	stop = func() { file.Close(); <-done }
	return k, stop, i.Configure(hypercall.NetConfig{Addr: k.us.addr.As4(), Prefix: 24})
}

// pairs returns a connection each way: [ours, theirs], dialled by us, and dialled by them.
func (k *linux) pairs(t *testing.T) (pairs [2][2]stdnet.Conn) {
	theirs, err := stdnet.Listen("tcp", "10.77.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c, err := k.us.dial(netip.MustParseAddrPort(theirs.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	a, err := theirs.Accept()
	if err != nil {
		t.Fatal(err)
	}
	pairs[0] = [2]stdnet.Conn{c, a}
	ours := k.us.listenOn(t, 80)
	defer ours.Close()
	l, err := stdnet.Dial("tcp", "10.77.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	o, err := ours.Accept()
	if err != nil {
		t.Fatal(err)
	}
	pairs[1] = [2]stdnet.Conn{o, l}
	return pairs
}

func TestLinux(t *testing.T) {
	for name, features := range map[string]nic.Features{"plain": {}, "offload": offload} {
		onLinux(t, name, features, func(t *testing.T, k *linux) {
			for _, p := range k.pairs(t) {
				exchange(t, p[0], p[1], 8<<20)
			}
			k.reset(t)
			k.shortConnections(t)
			k.datagrams(t)
		})
	}
}

// TestLinuxECN asks Linux for explicit congestion notification, which it grants (net.ipv4.tcp_ecn is 2).
func TestLinuxECN(t *testing.T) {
	onLinux(t, "offload", offload, func(t *testing.T, k *linux) {
		k.us.mu.Lock()
		k.us.boxes.TCP.ECN = tcp.ECNAsk
		k.us.mu.Unlock()
		pairs := k.pairs(t)
		if !pairs[0][0].(*conn).Socket.(*stream).conn.Info().ECN {
			t.Error("ECN was not negotiated")
		}
		for _, p := range pairs {
			exchange(t, p[0], p[1], 4<<20)
		}
	})
}

// TestLinuxLossy loses segments both ways.
func TestLinuxLossy(t *testing.T) {
	onLinux(t, "plain", nic.Features{}, func(t *testing.T, k *linux) {
		for _, loss := range []uint32{1, 10, 50} {
			k.loss.Store(0)
			pairs := k.pairs(t)
			k.loss.Store(loss)
			for _, p := range pairs {
				if !p[0].(*conn).Socket.(*stream).conn.Info().SACK {
					t.Error("SACK was not negotiated")
				}
				start := time.Now()
				exchange(t, p[0], p[1], 1<<20)
				t.Logf("%d in a thousand lost: 1 MB each way in %.2f s", loss, time.Since(start).Seconds())
			}
		}
		k.us.mu.Lock()
		defer k.us.mu.Unlock()
		s := &k.us.boxes.TCP.Stats
		if s.FastRecoveries == 0 || s.OutOfOrder == 0 {
			t.Errorf("nothing was lost: %+v", s)
		}
		t.Logf("%d segments, %d repeated, %d recoveries, %d timeouts, %d probes", s.PacketsTx, s.Retransmits, s.FastRecoveries, s.Timeouts, s.TailProbes)
	})
}

func (k *linux) reset(t *testing.T) {
	pairs := k.pairs(t)
	ours, theirs := pairs[0][0], pairs[0][1].(*stdnet.TCPConn)
	theirs.SetLinger(0)
	theirs.Close()
	if n, err := ours.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("they reset: %d, %v", n, err)
	}
	ours.Close()
	us := pairs[1][0].(*conn)
	us.SetOption(solSocket, soLinger, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	us.Close()
	if n, err := pairs[1][1].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("we reset: %d, %v", n, err)
	}
	pairs[1][1].Close()
	if _, err := k.us.dial(netip.AddrPortFrom(k.them, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("we dial nobody: %v", err)
	}
	if _, err := stdnet.Dial("tcp", "10.77.0.2:9"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("they dial nobody: %v", err)
	}
}

func (k *linux) shortConnections(t *testing.T) {
	l := k.us.listenOn(t, 80)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	for i := range 300 {
		c, err := stdnet.Dial("tcp", "10.77.0.2:80")
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(c, "%d", i)
		c.(*stdnet.TCPConn).CloseWrite()
		if b, err := io.ReadAll(c); err != nil || string(b) != fmt.Sprint(i) {
			t.Fatalf("connection %d: %q, %v", i, b, err)
		}
		c.Close()
	}
}

func (k *linux) datagrams(t *testing.T) {
	ours := k.us.udp(t, 53)
	defer ours.Close()
	theirs, err := stdnet.Dial("udp", "10.77.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	theirs.SetDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 65536)
	for _, size := range []int{0, 1, 1472, 1473, 60000} {
		want := make([]byte, size)
		pattern(want, 0, uint64(size))
		if _, err := theirs.Write(want); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		n, from, err := ours.ReadFrom(b)
		if err != nil || string(b[:n]) != string(want) {
			t.Fatalf("%d bytes: got %d, %v", size, n, err)
		}
		if err := ours.WriteTo(b[:n], from); err != nil {
			t.Fatalf("%d bytes back: %v", size, err)
		}
		if n, err := theirs.Read(b); err != nil || string(b[:n]) != string(want) {
			t.Fatalf("%d bytes back: got %d, %v", size, n, err)
		}
	}
	nobody, err := stdnet.Dial("udp", "10.77.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	nobody.SetDeadline(time.Now().Add(20 * time.Second))
	nobody.Write([]byte("x"))
	if n, err := nobody.Read(b); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("they read %d, %v from a port nobody has", n, err)
	}
}
