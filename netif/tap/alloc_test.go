package tap_test

import (
	"testing"

	"ukvm.dev/netif/netiftest"
)

func TestAllocates(t *testing.T) { netiftest.Allocates(t, open(t, config(netiftest.NewNetNS(t)))) }
