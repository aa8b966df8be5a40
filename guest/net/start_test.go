package net

import (
	"testing"

	"ukvm.dev/guest/net/nic"
	"ukvm.dev/hypercall"
)

// TestFeatures: a card does what the boot information says, and its frames have room.
func TestFeatures(t *testing.T) {
	const checksums = hypercall.NetTxChecksum | hypercall.NetRxChecksum
	for _, c := range []struct {
		config  hypercall.NetConfig
		want    nic.Features
		longest int
	}{
		{hypercall.NetConfig{MTU: 1500}, nic.Features{}, 1518},
		{hypercall.NetConfig{MTU: 1500, Flags: checksums}, nic.Features{TxChecksum: true}, 1518},
		{
			hypercall.NetConfig{MTU: 1500, Flags: checksums | hypercall.NetTxTCP4 | hypercall.NetRxTCP4, TxSegment: 65549, RxSegment: 65549},
			nic.Features{TxChecksum: true, TSO4: 65535 - 20 - 60}, 65549,
		},
		{
			hypercall.NetConfig{MTU: 1500, Flags: checksums | hypercall.NetTxTCP6, TxSegment: 65549},
			nic.Features{TxChecksum: true, TSO6: 65535 - 40 - 60}, 1518,
		},
		{hypercall.NetConfig{MTU: 9000, Flags: hypercall.NetRxChecksum | hypercall.NetRxTCP4, RxSegment: 4000}, nic.Features{}, 9018},
		{hypercall.NetConfig{MTU: 1500, Flags: checksums | hypercall.NetTxTCP4, TxSegment: 1 << 30}, nic.Features{TxChecksum: true, TSO4: 65535 - 20 - 60}, 1518},
		{hypercall.NetConfig{MTU: 1500, Flags: checksums | hypercall.NetTxTCP4, TxSegment: 50}, nic.Features{TxChecksum: true}, 1518},
		{hypercall.NetConfig{MTU: 1500, Flags: hypercall.NetTxTCP4, TxSegment: 65549}, nic.Features{}, 1518}, // needs checksums
		{hypercall.NetConfig{MTU: 1500, TxSegment: 65549, RxSegment: 65549}, nic.Features{}, 1518},
	} {
		if got, n := features(&c.config), longestFrame(&c.config); got != c.want || n != c.longest {
			t.Errorf("flags %#x: %+v and frames of %d bytes, want %+v and %d", c.config.Flags, got, n, c.want, c.longest)
		}
	}
}
