package user

// WithResolvConf makes c read another file than the host's.
func WithResolvConf(c Config, path string) Config {
	c.resolvConf = path
	return c
}

// DialPing makes an ICMP socket.
var DialPing = dialPing
