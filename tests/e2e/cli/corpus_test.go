package cli

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/internal/kvmtest"
	"ukvm.dev/tests/internal/ukvmtest"
)

// TestBrokenImages runs every file that the loader's tests know to be broken.
func TestBrokenImages(t *testing.T) {
	ukvmtest.Command(t)
	path := filepath.Join(t.TempDir(), "image")
	for _, c := range kvmtest.Broken {
		if err := os.WriteFile(path, c.Patch(kvmtest.Sample()), 0o644); err != nil {
			t.Fatal(err)
		}
		checkSentence(t, c.Name, ukvmtest.Ukvm(t, "run", path), 126, c.Says)
	}
}

// TestDamagedImages runs damaged copies of a real image. Those that are no image any more are refused with 126 and a
// sentence. The others run, and do what their damage makes of them: any exit code is theirs but ukvm's own, 125 and 127.
// A guest that does not end is ended by two signals.
func TestDamagedImages(t *testing.T) {
	many := 250
	if ukvmtest.Soak() {
		many = 5000
	}
	image := []byte(readFile(t, ukvmtest.Image(t, "examples/hello")))
	path := filepath.Join(t.TempDir(), "image")
	codes := map[int]int{}
	for n := range many {
		damaged, how := damage(rand.New(rand.NewPCG(2, uint64(n))), image)
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("copy %d: %s", n, how)
		p := ukvmtest.Start(t, ukvmtest.Cmd{Args: []string{"run", "--stop-timeout", "1s", path}})
		select {
		case <-p.Done():
		case <-time.After(5 * time.Second):
			p.Signal(syscall.SIGTERM)
			time.Sleep(100 * time.Millisecond)
			p.Signal(syscall.SIGTERM)
		}
		r := p.Wait()
		codes[r.Code]++
		switch {
		case r.Code == 126:
			checkSentence(t, name, r, 126, "")
		case r.Code == 125 || r.Code == 127 || strings.Contains(r.Stderr, "ukvm.dev/monitor"):
			t.Errorf("%s: code %d, said %q", name, r.Code, r.Stderr)
		case r.Code > 128 && r.Code <= 128+64 && r.Code != 128+int(syscall.SIGTERM): // a signal, of 64
			if i := strings.LastIndex(r.Stderr, "ukvm: "); i < 0 || strings.Count(r.Stderr[i:], "\n") != 1 {
				t.Errorf("%s: code %d, said %q", name, r.Code, r.Stderr)
			}
		}
	}
	t.Logf("exit codes: %v", codes)
	if codes[0] == 0 || codes[126] == 0 || codes[134] == 0 {
		t.Errorf("the damage is of too few kinds: %v", codes)
	}
}

// damage returns a damaged copy of an image, and says what was done.
func damage(r *rand.Rand, image []byte) (damaged []byte, how string) {
	b := bytes.Clone(image)
	const headers = 1024 // the ELF header, the program headers and some more
	switch r.IntN(8) {
	case 0:
		n := r.IntN(len(b))
		if r.IntN(2) == 0 {
			n = r.IntN(2 * headers)
		}
		return b[:n], fmt.Sprintf("cut to %d bytes", n)
	case 1:
		at := r.IntN(headers)
		b[at] ^= 1 << r.IntN(8)
		return b, fmt.Sprintf("a bit at %#x", at)
	case 2:
		at, v := r.IntN(headers/8)*8, r.Uint64()>>r.IntN(64)
		binary.LittleEndian.PutUint64(b[at:], v)
		return b, fmt.Sprintf("%#x at %#x", v, at)
	case 3:
		n := 1 + r.IntN(64)
		for range n {
			b[r.IntN(headers)] = byte(r.Uint32())
		}
		return b, fmt.Sprintf("%d bytes in the headers", n)
	case 4:
		n := 1 + r.IntN(256)
		for range n {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b, fmt.Sprintf("%d bits anywhere", n)
	case 5:
		at, n := r.IntN(len(b)), 1+r.IntN(1<<16)
		clear(b[at:min(at+n, len(b))])
		return b, fmt.Sprintf("zeroes from %#x on, at most %d", at, n)
	case 6:
		from, to := r.IntN(len(b)>>12)<<12, r.IntN(len(b)>>12)<<12
		copy(b[to:], b[from:from+4096])
		return b, fmt.Sprintf("the page at %#x also at %#x", from, to)
	}
	at := r.IntN(len(b) - 256)
	for i := range 256 {
		b[at+i] = byte(r.Uint32())
	}
	return b, fmt.Sprintf("noise at %#x", at)
}
