package kernel

// Random bytes: ChaCha20 (RFC 8439 §2.3) as a generator with fast key erasure (each buffer's first bytes become the
// next key), keyed by the host's entropy at boot and again every reseedBytes.

const reseedBytes = 1 << 20

var (
	randomKey    [8]uint32
	randomBuf    [16 * randomBlocks]uint32
	randomUsed   uint64 // bytes of randomBuf that are used up
	randomSince  uint64 // bytes made since the key last came from the host
	randomReady  bool
	entropyBytes [32]byte
)

const (
	randomBlocks = 4
	randomSize   = 64 * randomBlocks
)

// reseed mixes 32 bytes of the host's into the key.
func reseed() {
	a := addressOf(&entropyBytes[0])
	entropy(a, 32)
	mixKey(a)
}

func mixKey(addr uint64) {
	for i := range randomKey {
		randomKey[i] ^= *word32(addr + uint64(4*i))
		*word32(addr + uint64(4*i)) = 0
	}
	randomUsed = randomSize
	randomSince = 0
	randomReady = true
}

func refill() {
	if !randomReady || randomSince >= reseedBytes {
		reseed()
	}
	for b := range randomBlocks {
		chacha((*[16]uint32)(randomBuf[16*b:]), &randomKey, uint32(b))
	}
	copy(randomKey[:], randomBuf[:8])
	clear(randomBuf[:8])
	randomUsed = 32
	randomSince += randomSize
}

// chacha is the ChaCha20 block function with a zero nonce.
func chacha(out *[16]uint32, key *[8]uint32, counter uint32) {
	in := [16]uint32{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,
		key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7], counter}
	x := in
	for range 10 {
		quarter(&x, 0, 4, 8, 12)
		quarter(&x, 1, 5, 9, 13)
		quarter(&x, 2, 6, 10, 14)
		quarter(&x, 3, 7, 11, 15)
		quarter(&x, 0, 5, 10, 15)
		quarter(&x, 1, 6, 11, 12)
		quarter(&x, 2, 7, 8, 13)
		quarter(&x, 3, 4, 9, 14)
	}
	for i := range x {
		out[i] = x[i] + in[i]
	}
}

func quarter(x *[16]uint32, a, b, c, d int) {
	x[a] += x[b]
	x[d] = rotate(x[d]^x[a], 16)
	x[c] += x[d]
	x[b] = rotate(x[b]^x[c], 12)
	x[a] += x[b]
	x[d] = rotate(x[d]^x[a], 8)
	x[c] += x[d]
	x[b] = rotate(x[b]^x[c], 7)
}

func rotate(v uint32, n uint) uint32 { return v<<n | v>>(32-n) }

// sysGetrandom fills memory of the program's; all flags mean the same here.
func sysGetrandom(addr, n, flags uint64) uint64 {
	if flags > 7 {
		return fail(eINVAL)
	}
	if !userRange(addr, n, protWrite) {
		return fail(eFAULT)
	}
	n = min(n, 1<<20)
	for i := range n {
		if randomUsed == randomSize {
			refill()
		}
		p := &randomBuf[randomUsed/4]
		*byteAt(addr + i) = byte(*p >> (8 * (randomUsed % 4)))
		*p &^= 0xff << (8 * (randomUsed % 4))
		randomUsed++
	}
	return n
}
