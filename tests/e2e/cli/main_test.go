// Package cli has tests of what a user of the ukvm command sees.
package cli

import (
	"os"
	"strings"
	"testing"

	"ukvm.dev/tests/internal/ukvmtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(stageVariable) != "" {
		stage() // does not return
	}
	os.Exit(ukvmtest.Main(m))
}

// guest is an image of the program in directory guest.
func guest(t testing.TB) string { return ukvmtest.Image(t, "tests/e2e/cli/guest") }

// run runs the program in directory guest with flags of ukvm run and arguments.
func run(t testing.TB, flags []string, arguments ...string) ukvmtest.Result {
	t.Helper()
	return ukvmtest.Ukvm(t, words(t, flags, arguments)...)
}

// start starts it.
func start(t testing.TB, flags []string, arguments ...string) *ukvmtest.Process {
	t.Helper()
	return ukvmtest.Start(t, ukvmtest.Cmd{Args: words(t, flags, arguments)})
}

func words(t testing.TB, flags, arguments []string) []string {
	t.Helper()
	all := append([]string{"run"}, flags...)
	return append(append(all, guest(t), "--"), arguments...)
}

// checkSentence checks that a command has failed with a code and one sentence of ukvm's, and has printed nothing else.
func checkSentence(t testing.TB, name string, r ukvmtest.Result, code int, says string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Stderr, says) {
		t.Errorf("%s: code %d, said %q; want code %d and %q", name, r.Code, r.Stderr, code, says)
		return
	}
	text, newline := strings.CutSuffix(r.Stderr, "\n")
	sentence, prefix := strings.CutPrefix(text, "ukvm: ")
	if !newline || !prefix || sentence == "" || strings.ContainsAny(sentence, "\n\r\x00\x1b") || strings.HasSuffix(sentence, ".") {
		t.Errorf("%s: %q is not one sentence of ukvm's", name, r.Stderr)
	}
	if r.Stdout != "" {
		t.Errorf("%s: printed %q", name, r.Stdout)
	}
}
