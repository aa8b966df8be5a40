package packet_test

import (
	"testing"

	"ukvm.dev/netif/netiftest"
)

func TestAllocates(t *testing.T) { netiftest.Allocates(t, open(t, newWire(t, 1500).config())) }
