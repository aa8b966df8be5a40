package user

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxDatagram is more than the longest UDP payload over IPv4, in bytes.
const maxDatagram = 1 << 16

// udpBacklog is how many datagrams of the guest wait while a flow is dialled, or for a connection that is no socket.
const udpBacklog = 16

// hostFlow is a flow that the guest started: a connected socket of the host, and a goroutine that dials it and then
// receives. A connection that is no socket may block, so another goroutine sends to it.
type hostFlow struct {
	link  *Link
	table *udpTable
	key   udpKey
	entry *udpEntry

	dial    func(context.Context) (net.Conn, error)
	deliver func(payload []byte) // to the guest; it does not keep payload
	failed  func(error)          // tells the guest why nothing will come

	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	conn    net.Conn        // nil until dialled
	raw     syscall.RawConn // of conn; nil until dialled, or if it is no socket
	backlog chan []byte     // takes datagrams while raw is nil
}

// newUDPFlow starts a flow of datagrams; errors come to the guest as ICMP.
func (l *Link) newUDPFlow(key udpKey, target netip.AddrPort, e *udpEntry) udpFlow {
	return l.startFlow(&hostFlow{
		table: &l.udp, key: key, entry: e,
		dial:    func(ctx context.Context) (net.Conn, error) { return l.plan.Dial(ctx, "udp", target.String()) },
		deliver: func(payload []byte) { l.sendUDP(key.peer, key.guest, payload) },
		failed:  func(err error) { l.udpUnreachable(key, err) },
	})
}

func (l *Link) startFlow(f *hostFlow) *hostFlow {
	f.link = l
	f.backlog = make(chan []byte, udpBacklog)
	f.ctx, f.cancel = context.WithCancel(l.ctx)
	l.wg.Go(f.run)
	return f
}

func (f *hostFlow) send(payload []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.raw != nil {
		sendTo(f.raw, payload, nil)
		return
	}
	select {
	case f.backlog <- append([]byte(nil), payload...):
	default: // lost, as datagrams are
	}
}

// sendTo sends a datagram to addr, or the socket's peer if that is nil. It does not wait: a full socket buffer loses the
// datagram. The answer of the network to an earlier datagram can come as this one's error, and is lost to the receiver
// then; so the datagram, which has not been sent, is sent again, to bring another answer.
func sendTo(raw syscall.RawConn, payload []byte, addr unix.Sockaddr) {
	raw.Write(func(fd uintptr) bool {
		_, err := unix.SendmsgN(int(fd), payload, nil, addr, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != nil && err != unix.EAGAIN {
			unix.SendmsgN(int(fd), payload, nil, addr, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		}
		return true
	})
}

func (f *hostFlow) end() {
	f.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != nil {
		f.conn.Close()
	}
}

// run dials and receives until the flow ends.
func (f *hostFlow) run() {
	defer f.table.remove(f.key, f.entry)
	ctx, cancel := context.WithTimeout(f.ctx, f.link.plan.DialTimeout)
	conn, err := f.dial(ctx)
	cancel()
	if err != nil {
		f.report(err)
		return
	}
	defer conn.Close()
	if !f.start(conn) {
		return
	}
	for err == nil {
		err = f.receive()
	}
	f.report(err)
}

// start makes conn the flow's and sends the backlog. It reports false if the flow has ended meanwhile.
func (f *hostFlow) start(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn = conn
	if c, ok := conn.(*net.UDPConn); ok {
		f.raw, _ = c.SyscallConn()
	}
	if f.raw == nil {
		f.link.wg.Go(f.drain)
		return f.ctx.Err() == nil
	}
	for {
		select {
		case payload := <-f.backlog:
			sendTo(f.raw, payload, nil)
		default:
			return f.ctx.Err() == nil
		}
	}
}

// drain is the sending side of a connection that is no socket.
func (f *hostFlow) drain() {
	for {
		select {
		case payload := <-f.backlog:
			f.conn.Write(payload)
		case <-f.ctx.Done():
			return
		}
	}
}

// receive waits for a datagram and passes it to the guest.
func (f *hostFlow) receive() error {
	buf, n, err := f.link.readDatagram(f.conn, f.raw)
	if err != nil {
		return err
	}
	defer f.link.buffers.put(buf)
	f.entry.touch()
	f.table.toGuest.Add(1)
	f.deliver((*buf)[:n])
	return nil
}

// readDatagram waits for a datagram. From a socket it takes the buffer, which the caller puts back, only then.
func (l *Link) readDatagram(conn net.Conn, raw syscall.RawConn) (buf *[]byte, n int, err error) {
	if raw == nil {
		buf = l.buffers.get()
		if n, err = conn.Read((*buf)[:maxDatagram]); err != nil {
			l.buffers.put(buf)
		}
		return buf, n, err
	}
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		buf = l.buffers.get()
		n, rerr = unix.Read(int(fd), (*buf)[:maxDatagram])
		if rerr != nil {
			l.buffers.put(buf)
		}
		return rerr != unix.EAGAIN && rerr != unix.EINTR
	})
	if err == nil {
		err = rerr
	}
	return buf, n, err
}

// report tells the guest why nothing will come.
func (f *hostFlow) report(err error) {
	if f.ctx.Err() == nil {
		f.failed(err)
	}
}
