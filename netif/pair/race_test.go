//go:build race

package pair_test

// transferSize is less where every access is checked.
const transferSize = 4 << 20
