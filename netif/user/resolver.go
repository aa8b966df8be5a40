package user

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"ukvm.dev/netif/internal/resolvconf"
)

// dnsPort is that of DNS, here and at the host's resolvers.
const dnsPort = 53

const (
	// dnsTimeout is for one resolver; a guest's resolver waits 5 s for its query (resolv.conf(5)).
	dnsTimeout = 2 * time.Second

	// dnsQueries is how many queries may be under way; more are dropped, and the guest asks again.
	dnsQueries = 256

	// dnsIdle is how long a DNS connection of the guest may be silent (RFC 7766 section 6.2.3).
	dnsIdle = 10 * time.Second
)

// resolver forwards DNS messages. It is safe for concurrent use.
type resolver struct {
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	fixed []netip.AddrPort // if any, instead of the file
	path  string           // resolv.conf
	host  netip.Addr       // what hostAlias stands for; not valid: nothing
	slots chan struct{}    // taken by the queries under way

	mu      sync.Mutex
	servers []netip.AddrPort // as read from the file
	size    int64            // of the file then, and its time
	changed time.Time
}

// upstream lists the resolvers to ask. The file is read again when its size or time has changed.
func (r *resolver) upstream() []netip.AddrPort {
	if len(r.fixed) > 0 {
		return r.fixed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err != nil {
		return nil
	}
	if info.Size() == r.size && info.ModTime().Equal(r.changed) {
		return r.servers
	}
	conf, err := resolvconf.Read(r.path)
	if err != nil {
		return nil
	}
	r.servers, r.size, r.changed = nil, info.Size(), info.ModTime()
	for _, addr := range conf.Servers {
		r.servers = append(r.servers, netip.AddrPortFrom(addr, dnsPort))
	}
	return r.servers
}

// answer is the response to a query; nil if the query is none. It asks one resolver after the other, and if all fail
// says so.
func (r *resolver) answer(ctx context.Context, network string, query []byte) []byte {
	q, ok := parseQuery(query)
	if !ok {
		return nil
	}
	if q.isHostAlias() {
		return q.hostAnswer(r.host)
	}
	for _, server := range r.upstream() {
		if response, err := r.ask(ctx, network, server, q); err == nil {
			return response
		}
		if ctx.Err() != nil {
			break
		}
	}
	return q.failure()
}

// ask sends a query to a resolver and waits for the response to it.
func (r *resolver) ask(ctx context.Context, network string, server netip.AddrPort, q dnsQuery) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	conn, err := r.dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(0, 1)) })
	defer stop()
	if network == "tcp" {
		if err := writeMessage(conn, q.message); err != nil {
			return nil, err
		}
		response, err := readMessage(conn)
		if err == nil && !q.answeredBy(response) {
			err = errors.New("response to another query")
		}
		return response, err
	}
	if _, err := conn.Write(q.message); err != nil {
		return nil, err
	}
	buf := make([]byte, maxUDPResponse)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if q.answeredBy(buf[:n]) { // anything else is forged or late
			return buf[:n], nil
		}
	}
}

// maxUDPResponse is more than resolvers send over UDP, in bytes (RFC 6891 section 6.2.5 recommends 4096).
const maxUDPResponse = 8 << 10

// writeMessage and readMessage frame messages on a stream (RFC 1035 section 4.2.2).
func writeMessage(w io.Writer, message []byte) error {
	framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	_, err := w.Write(append(framed, message...))
	return err
}

func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

// isDNS reports whether dst is our resolver.
func (l *Link) isDNS(dst netip.AddrPort) bool {
	return dst.Port() == dnsPort && (dst.Addr() == l.plan.dns || dst.Addr() == l.plan.dns6)
}

// dnsQuery answers a datagram of the guest from src to our address, in a goroutine of its own.
func (l *Link) dnsQuery(ours netip.Addr, src netip.AddrPort, query []byte) {
	select {
	case l.resolver.slots <- struct{}{}:
	default:
		l.dns.dropped.Add(1)
		return
	}
	l.dns.queries.Add(1)
	query = append([]byte(nil), query...)
	l.wg.Go(func() {
		defer func() { <-l.resolver.slots }()
		if response := l.resolver.answer(l.ctx, "udp", query); response != nil {
			l.sendUDP(netip.AddrPortFrom(ours, dnsPort), src, response)
		}
	})
}

// serveDNS answers the queries on a connection of the guest, one after the other.
func (l *Link) serveDNS(conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(l.ctx, func() { conn.Close() })
	defer stop()
	for {
		conn.SetDeadline(time.Now().Add(dnsIdle))
		query, err := readMessage(conn)
		if err != nil {
			return
		}
		l.dns.queries.Add(1)
		response := l.resolver.answer(l.ctx, "tcp", query)
		if response == nil {
			return
		}
		conn.SetDeadline(time.Now().Add(dnsIdle))
		if err := writeMessage(conn, response); err != nil {
			return
		}
	}
}
