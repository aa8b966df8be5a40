package build

import (
	"errors"
	"strings"
	"testing"
)

func TestPatchPanic(t *testing.T) {
	const text = "package runtime\n\nfunc gopanic(e any) {\n\tvar p _panic\n\tpreprintpanics(&p)\n\n\tfatalpanic(&p)\n}\n"
	got, err := patchPanic("panic.go", text)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(text, "preprint", "ukvmAtPanic(); preprint", 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for name, change := range map[string][2]string{
		"no function": {"func gopanic", "func other"}, "no call": {"preprintpanics(", "other("},
		"two calls": {"fatalpanic(", "preprintpanics("},
	} {
		var layout *LayoutError
		if _, err := patchPanic("panic.go", strings.Replace(text, change[0], change[1], 1)); !errors.As(err, &layout) {
			t.Errorf("%s: error %v, want a LayoutError", name, err)
		}
	}
	if _, err := patchPanic("panic.go", "package"); err == nil {
		t.Error("no error for a file that is not Go")
	}
}
