//go:build !race

package pair_test

// transferSize is what a transfer moves each way, in bytes.
const transferSize = 20 << 20
