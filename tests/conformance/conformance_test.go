package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leastScripts is how many scripts there are at least: fewer means that some are not found.
const leastScripts = 150

// leastOver6 is how many of them run over IPv6.
const leastOver6 = 300

// TestScripts runs all scripts, over both versions of IP where a script is not about one, each three times: see doc.go.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.tcp")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts: ", err)
	}
	count, over6 := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		scripts, err := parseScripts(string(text))
		if err != nil {
			t.Fatalf("%s:%v", file, err)
		}
		count += len(scripts)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".tcp"), func(t *testing.T) {
			for _, s := range scripts {
				if s.card.ip != 6 {
					t.Run(s.name, func(t *testing.T) { s.thrice(t, file) })
				}
				if s.card.ip != 4 {
					over6++
					s.card.six = true
					t.Run(s.name+"-6", func(t *testing.T) { s.thrice(t, file) })
				}
			}
		})
	}
	t.Logf("%d scripts, %d over IPv6", count, over6)
	if count < leastScripts || over6 < leastOver6 {
		t.Errorf("%d scripts, %d over IPv6, want at least %d and %d", count, over6, leastScripts, leastOver6)
	}
}

// thrice runs a script as it is, and then with our numbers around 0 and 2³¹: they move by one in 4 µs (RFC 6528 §3).
func (s *script) thrice(t *testing.T, file string) {
	iss := s.run(t, file, 0x12345678, 0)
	for _, at := range []uint32{0xfffffe00, 0x7ffffe00} {
		s.run(t, file, at, int64(at-iss)*4000)
	}
}
