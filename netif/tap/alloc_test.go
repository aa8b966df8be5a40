package tap_test

import (
	"testing"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/tap"
)

func TestAllocates(t *testing.T) {
	bothWays(t, func(t *testing.T, open func(*netiftest.NetNS, tap.Config) *tap.Link) {
		ns := netiftest.NewNetNS(t)
		netiftest.Allocates(t, open(ns, config(ns)))
	})
}
