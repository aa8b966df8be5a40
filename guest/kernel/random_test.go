package kernel

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
)

// TestChaCha20 checks the block function with a test vector of RFC 8439 (§A.1, vectors 1 and 2: key and nonce of zeros,
// counters 0 and 1) and with a key (§A.1, vector 3: last byte 1, counter 1).
func TestChaCha20(t *testing.T) {
	for _, v := range []struct {
		key     [8]uint32
		counter uint32
		want    string
	}{
		{[8]uint32{}, 0, "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
		{[8]uint32{}, 1, "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
		{[8]uint32{7: 1 << 24}, 1, "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"},
	} {
		var out [16]uint32
		chacha(&out, &v.key, v.counter)
		b := make([]byte, 0, 64)
		for _, w := range out {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		if got := hex.EncodeToString(b); got != v.want {
			t.Errorf("counter %d:\n%s, want\n%s", v.counter, got, v.want)
		}
	}
}

// TestGetrandom compares the generator with a naive one: one stream of blocks, the first half block of each buffer being
// the next key.
func TestGetrandom(t *testing.T) {
	boots(t)
	b := boot_()
	for i := range b.Seed {
		b.Seed[i] = byte(i * 3)
	}
	initRandom(b)
	var key [8]uint32
	for i := range key {
		key[i] = binary.LittleEndian.Uint32(b.Seed[4*i:])
	}
	var stream []byte
	r := random(11)
	for range 300 {
		n := r.Uint64N(700)
		if got := sys(nrGetrandom, arena, n, 0); got != n {
			t.Fatalf("getrandom(%d): %d", n, int64(got))
		}
		for uint64(len(stream)) < n {
			var out [16 * randomBlocks]uint32
			for i := range randomBlocks {
				chacha((*[16]uint32)(out[16*i:]), &key, uint32(i))
			}
			copy(key[:], out[:8])
			for _, w := range out[8:] {
				stream = binary.LittleEndian.AppendUint32(stream, w)
			}
		}
		if got := bytesAt(arena, n); string(got) != string(stream[:n]) {
			t.Fatalf("%x, want %x", got, stream[:n])
		}
		stream = stream[n:]
	}
	// What was given out is not kept.
	for i := range randomUsed / 4 {
		if randomBuf[i] != 0 {
			t.Fatalf("word %d of the buffer is still there", i)
		}
	}
	if n := monitor.calls[hypercall.CallEntropy]; n != 0 {
		t.Errorf("%d calls for entropy", n)
	}
}

// TestReseed sees that the host's entropy goes into the key now and then, and never replaces it.
func TestReseed(t *testing.T) {
	boots(t)
	sys(nrGetrandom, arena, 16, 0)
	if n := monitor.calls[hypercall.CallEntropy]; n != 1 {
		t.Errorf("%d calls for entropy at the first use without a seed", n)
	}
	for range 2 * reseedBytes / 4096 {
		sys(nrGetrandom, arena, 4096, 0)
	}
	if n := monitor.calls[hypercall.CallEntropy]; n < 3 || n > 4 {
		t.Errorf("%d calls for entropy after 2 MiB", n)
	}
	if entropyBytes != [32]byte{} {
		t.Error("the host's bytes are kept")
	}
	was := randomKey
	monitor.entropy = 0
	reseed()
	for i := range was {
		k := uint32(4*i+1) | uint32(4*i+2)<<8 | uint32(4*i+3)<<16 | uint32(4*i+4)<<24
		if randomKey[i] != was[i]^k {
			t.Fatalf("key word %d: %#x, want %#x", i, randomKey[i], was[i]^k)
		}
	}
	if strings.Repeat("\x00", 32) == string(bytesAt(arena, 32)) {
		t.Error("zeroes")
	}
}
