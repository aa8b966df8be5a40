package tap_test

import (
	"testing"

	"ukvm.dev/netif/netiftest"
	"ukvm.dev/netif/tap"
)

func TestAllocates(t *testing.T) {
	bothWays(t, func(t *testing.T, prepare func(*netiftest.NetNS, tap.Config)) {
		ns := netiftest.NewNetNS(t)
		prepare(ns, config(ns))
		netiftest.Allocates(t, open(t, config(ns)))
	})
}
