package matrix

import (
	"errors"
	"fmt"
	stdnet "net"
	"net/netip"
	"sync"
	"syscall"

	"ukvm.dev/guest/net"
	"ukvm.dev/guest/net/nettest"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/hypercall"
)

// ours is an end with our stack.
type ours struct {
	stack *net.Stack
	v6    bool
	out   outbox
}

// memory is what a stack of ours has: enough for the largest windows there are.
const memory = 512 << 20

func newOurs(p plug) (end, error) {
	o := &ours{stack: net.New(net.Config{Memory: memory}), v6: p.v6}
	o.out.start(p)
	card, err := o.stack.AddCard(net.Card{
		Name: "eth0", MAC: p.mac(), MTU: p.mtu,
		Transmit: func(k *packet.Packet) bool {
			b := *buffersFor(k.Len()).Get().(*[]byte)
			o.out.put(b[:k.CopyOut(b)])
			k.Release()
			return true
		},
		Flush: func() {},
	})
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // several may bring what arrives
	var packets []*packet.Packet
	p.receive(func(frames [][]byte) {
		mu.Lock()
		defer mu.Unlock()
		packets = packets[:0]
		for _, f := range frames {
			k := o.stack.Pool().Receive(len(f))
			k.Truncate(copy(k.Bytes(), f))
			packets = append(packets, k)
		}
		card.Receive(packets)
	})
	c := hypercall.NetConfig{}
	if bits := uint32(p.prefix().Bits()); p.v6 {
		c.Flags, c.IP6.Addr, c.IP6.Prefix = hypercall.NetIP6, p.addr().As16(), bits
	} else {
		c.Addr, c.Prefix = p.addr().As4(), bits
	}
	return o, card.Configure(c)
}

func (o *ours) name() string { return "ours" }

func (o *ours) probes() bool { return true }

func (o *ours) bears() bool { return true }

func (o *ours) close() { o.out.stop() }

func (o *ours) settled() (err error) {
	o.stack.Do(func(b *net.Boxes, _ []*net.Interface) {
		if b.TCP.Conns() != 0 || b.TCP.Memory() != 0 {
			err = fmt.Errorf("our stack has %d connections and %d bytes left", b.TCP.Conns(), b.TCP.Memory())
		}
	})
	return err
}

func (o *ours) socket(local uint16) (*ourConn, error) {
	make, unspecified := o.stack.Socket, netip.IPv4Unspecified()
	if o.v6 {
		make, unspecified = o.stack.Socket6, netip.IPv6Unspecified()
	}
	k, e := make(syscall.SOCK_STREAM, 0)
	if e != 0 {
		return nil, e
	}
	c := newOurConn(k)
	if local != 0 {
		e = k.SetOption(syscall.SOL_SOCKET, syscall.SO_REUSEADDR, []byte{1, 0, 0, 0})
		if e == 0 {
			e = k.Bind(netip.AddrPortFrom(unspecified, local))
		}
	}
	if e != 0 {
		k.Close()
		return nil, e
	}
	return c, nil
}

func (o *ours) listen(port uint16) (listener, error) {
	c, err := o.socket(port)
	if err != nil {
		return nil, err
	}
	if e := c.Listen(1024); e != 0 {
		c.Close()
		return nil, e
	}
	return ourListener{c}, nil
}

func (o *ours) dial(local uint16, to netip.AddrPort) (conn, error) {
	c, err := o.socket(local)
	if err != nil {
		return nil, err
	}
	if err := c.Dial(to); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ourListener is a socket that listens.
type ourListener struct{ *ourConn }

func (l ourListener) accept() (conn, error) {
	var k net.Socket
	err := l.Wait(func() (e syscall.Errno) {
		k, _, e = l.Accept()
		return e
	})
	if err != nil {
		return nil, err
	}
	return newOurConn(k), nil
}

// ourConn is a socket and a connection made of it.
type ourConn struct {
	net.Socket
	*nettest.Conn
}

func newOurConn(k net.Socket) *ourConn { return &ourConn{k, nettest.Blocking(k, stdnet.ErrClosed)} }

func (c *ourConn) Close() error { return c.Conn.Close() }

func (c *ourConn) abort() error {
	if e := c.SetOption(syscall.SOL_SOCKET, syscall.SO_LINGER, []byte{1, 0, 0, 0, 0, 0, 0, 0}); e != 0 {
		return e
	}
	return c.Close()
}

func (c *ourConn) isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

func (c *ourConn) LocalAddr() stdnet.Addr {
	a, _ := c.Name(false)
	return stdnet.TCPAddrFromAddrPort(a)
}

func (c *ourConn) RemoteAddr() stdnet.Addr {
	a, _ := c.Name(true)
	return stdnet.TCPAddrFromAddrPort(a)
}
