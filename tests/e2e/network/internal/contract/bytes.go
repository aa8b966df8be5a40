package contract

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"math/rand/v2"
)

// Bytes are n bytes that no two seeds have in common.
func Bytes(n int64, seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

// SumOf is the sum of Bytes.
func SumOf(n int64, seed uint64) Sum {
	s := NewSummer()
	_, _ = io.CopyBuffer(s, Bytes(n, seed), make([]byte, 64<<10)) // neither side fails
	return s.Sum()
}

// Summer is a Writer that sums up. It is not safe for concurrent use.
type Summer struct {
	hash hash.Hash
	n    int64
}

// NewSummer makes one that has seen nothing.
func NewSummer() *Summer { return &Summer{hash: sha256.New()} }

func (s *Summer) Write(b []byte) (int, error) {
	s.n += int64(len(b))
	return s.hash.Write(b)
}

// Sum is of all that was written.
func (s *Summer) Sum() Sum { return Sum{s.n, hex.EncodeToString(s.hash.Sum(nil))} }
