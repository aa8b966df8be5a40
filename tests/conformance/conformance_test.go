package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leastScripts is how many scripts there are at least: fewer means that some are not found.
const leastScripts = 150

// TestScripts runs all scripts, each three times: see doc.go.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.tcp")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts: ", err)
	}
	count := 0
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
				t.Run(s.name, func(t *testing.T) {
					iss := s.run(t, file, 0x12345678, 0)
					// Once more with our numbers around 0 and 2³¹: they move by one in 4 µs (RFC 6528 §3).
					for _, at := range []uint32{0xfffffe00, 0x7ffffe00} {
						s.run(t, file, at, int64(at-iss)*4000)
					}
				})
			}
		})
	}
	t.Logf("%d scripts", count)
	if count < leastScripts {
		t.Errorf("%d scripts, want at least %d", count, leastScripts)
	}
}
