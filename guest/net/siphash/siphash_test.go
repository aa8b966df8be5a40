package siphash

import "testing"

// TestVectors has values of the reference implementation (vectors_sip64 of the paper's authors): the key is 00 01 … 0f,
// message i is the first i bytes of 00 01 02 ….
func TestVectors(t *testing.T) {
	var key Key
	for i := range key {
		key[i] = byte(i)
	}
	m := make([]byte, 64)
	for i := range m {
		m[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		7:  0xab0200f58b01d137,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5,
	} {
		if got := Sum64(key, m[:n]); got != want {
			t.Errorf("%d bytes: %#x, want %#x", n, got, want)
		}
	}
}
