package user

import "ukvm.dev/netif"

// WithResolvConf makes c read another file than the host's.
func WithResolvConf(c Config, path string) Config {
	c.resolvConf = path
	return c
}

// DialPing makes an ICMP socket.
var DialPing = dialPing

// Proxied reports whether a frame of the guest is a segment for package tcpproxy.
func (l *Link) Proxied(frame []byte) bool {
	f := netif.Frame{Data: [][]byte{frame}, Len: len(frame)}
	_, ok := l.segment(frame[:min(len(frame), headSize)], &f)
	return ok
}

// InNetstack is how many bytes of the guest netstack holds.
func (l *Link) InNetstack() int {
	n, _ := l.inNetstack()
	return n
}
