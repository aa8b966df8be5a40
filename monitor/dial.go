package monitor

import (
	"context"
	"errors"
	"net"

	"ukvm.dev/netif"
)

// ErrNoDialer means that none of the VM's links leads from this process into the guest; that of package user does.
var ErrNoDialer = errors.New("no network link to reach the guest from this process")

// Dial connects to a port of the guest: network is "tcp" or "udp", address is ":80" or the like; only the port counts.
func (vm *VM) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	for i := range vm.config.NICs {
		if d, ok := vm.config.NICs[i].Link.(netif.Dialer); ok {
			return d.DialContext(ctx, network, address)
		}
	}
	return nil, ErrNoDialer
}
