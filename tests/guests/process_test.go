package guests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"ukvm.dev/tests/internal/ukvmtest"
)

// TestSmallMemory boots in the least memory that is promised to be enough.
func TestSmallMemory(t *testing.T) {
	t.Parallel()
	r := ukvmtest.Ukvm(t, "run", "-m", "16M", ukvmtest.Image(t, "examples/hello"))
	expect{stdout: "Hello, world!\n"}.check(t, r)
}

func TestExit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
	}{
		{"0", 0}, {"1", 1}, {"2", 2}, {"42", 42}, {"125", 125}, {"137", 137}, {"255", 255}, {"256", 0}, {"-1", 255}, {"7 deferred", 7},
	} {
		expect{code: c.code}.check(t, run(t, "exit", append([]string{"--"}, strings.Fields(c.args)...)...))
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	args := []string{"a", "", "b c", "-x", "--", "quote\"s'", "line\nbreak", "\xff\xfe", "héllo", strings.Repeat("long", 5000)}
	words := []string{"-e", "A=1", "-e", "EMPTY=", "-e", "SPACE= x y ", "-e", "MULTI=a=b=c", "-e", "GOMEMLIMIT=off", "--"}
	want := ""
	for _, a := range args {
		want += fmt.Sprintf("arg %q\n", a)
	}
	want += lines(`env "A=1"`, `env "EMPTY="`, `env "SPACE= x y "`, `env "MULTI=a=b=c"`, `env "GOMEMLIMIT=off"`)
	expect{stdout: want}.check(t, run(t, "args", append(words, args...)...))
}

// TestEnvironment: nothing of the host's comes in unless it is named.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	c := command(t, "args", "-e", "NAMED", "-e", "GOMEMLIMIT=off")
	c.Env = []string{"NAMED=from the host", "SECRET=1"}
	expect{stdout: lines(`env "NAMED=from the host"`, `env "GOMEMLIMIT=off"`)}.check(t, ukvmtest.Run(t, c))
}

func TestStdin(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), 20<<20/37)
	for _, c := range []struct {
		name string
		in   io.Reader
		data []byte
	}{
		{"the null device", nil, nil},
		{"empty", strings.NewReader(""), nil},
		{"small", strings.NewReader("hello"), []byte("hello")},
		{"large", bytes.NewReader(large), large},
		{"slow", slowly(large[:100_000], 2000), large[:100_000]},
	} {
		cmd := command(t, "stdin")
		cmd.Stdin = c.in
		r := ukvmtest.Run(t, cmd)
		if want := fmt.Sprintf("%d %x <nil>\n", len(c.data), sha256.Sum256(c.data)); r.Code != 0 || r.Stdout != want || r.Stderr != "" {
			t.Errorf("%s: code %d, %q, want %q\n%s", c.name, r.Code, r.Stdout, want, r.Stderr)
		}
	}
	cmd := command(t, "stdin", "-i=false")
	cmd.Stdin = neverEnding(t)
	expect{stdout: fmt.Sprintf("0 %x <nil>\n", sha256.Sum256(nil))}.check(t, ukvmtest.Run(t, cmd))

	// A regular file.
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, large, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd = command(t, "stdin")
	cmd.Stdin = f
	expect{stdout: fmt.Sprintf("%d %x <nil>\n", len(large), sha256.Sum256(large))}.check(t, ukvmtest.Run(t, cmd))
}

// slowly hands out data in pieces.
func slowly(data []byte, piece int) io.Reader {
	r, w := io.Pipe()
	go func() {
		for len(data) > 0 {
			n := min(piece, len(data))
			w.Write(data[:n])
			data = data[n:]
			time.Sleep(2 * time.Millisecond)
		}
		w.Close()
	}()
	return r
}

// neverEnding is a file that has nothing to read until the test is over.
func neverEnding(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}

func TestConversation(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := command(t, "echo")
	cmd.Stdin = r
	p := ukvmtest.Start(t, cmd)
	want := ""
	for i := range 20 {
		time.Sleep(10 * time.Millisecond)
		fmt.Fprintf(w, "line %d\n", i)
		want += fmt.Sprintf("\"line %d\"\n", i)
		p.Await(want)
	}
	w.Close()
	expect{stdout: want + "end <nil>\n"}.check(t, p.Wait())
}
