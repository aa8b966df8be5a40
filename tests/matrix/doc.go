// Package matrix has our TCP talk to other implementations over bad networks: to Linux's, which is behind a TAP device
// in a network namespace, and to gVisor's netstack. It has tests only.
//
//	┌─────────────┐  frames  ┌──────────────────────┐  frames  ┌────────────────────────┐
//	│ guest/net   ├─────────►│ cable: loss, delay,  ├─────────►│ TAP ─ Linux, namespace │
//	│ (or another │◄─────────┤ reordering, …        │◄─────────┤ (or gVisor)            │
//	│  TAP)       │          └──────────────────────┘          └────────────────────────┘
//	└─────────────┘
//
// A cell is what a network does to frames. In each, our stack moves data to both peers and from them, opens and closes
// short connections, half-closes, resets, and opens at the same moment as the peer. Two namespaces of Linux's on
// the same cable show what can be had: our goodput must be at least 0.8 of theirs. They take turns with ours. Every byte that
// arrives is compared with what was sent.
//
// The cable is a program's, and not netem, which kernels may lack, so that all pairs have the same one. Frames are whole and
// have complete checksums, which are all that protects them; devices have no offloads. Our stack hands frames to the
// cable itself where Linux needs a TAP device: where the processor is the limit, that favours us. Linux is set up
// as it is by default, with CUBIC, but for what has to do with measuring (settings).
//
// The same cells exist with two of our stacks in virtual time (testing/synctest).
//
// The sample of `go test` has a few cells with little data, and judges no goodput. UKVM_SOAK=1 runs them all.
package matrix
