package posix_test

import (
	"ukvm.dev/guest/net"
	"ukvm.dev/guest/posix"
)

// The tests of AF_INET sockets use the real network stack. It imports package posix, so it is handed over from here.
func init() {
	posix.TestFamily = func() posix.Family { return net.New(net.Config{Memory: 64 << 20}).Family() }
}
