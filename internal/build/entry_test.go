package build

import (
	"errors"
	"strings"
	"testing"
)

func TestPatchEntry(t *testing.T) {
	const text = "TEXT _rt0_amd64_linux(SB),NOSPLIT,$-8\n\tJMP\t_rt0_amd64(SB)\n\nTEXT _rt0_amd64_linux_lib(SB),NOSPLIT,$0\n\tJMP\t_rt0_amd64_lib(SB)\n"
	got, err := patchEntry("rt0.s", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"$-8\n\tJMP\tukvmnative\n", "QUAD\t$0x474d497f4d564b55\n", "JMP\tukvm∕kernel·Start(SB)\n", "ukvmnative:\n\tJMP\t_rt0_amd64(SB)\n\nTEXT _rt0_amd64_linux_lib"} {
		if !strings.Contains(got, s) {
			t.Errorf("no %q in\n%s", s, got)
		}
	}
	for name, text := range map[string]string{
		"no entry":        "TEXT _rt0_amd64_lib(SB),NOSPLIT,$0\n\tJMP\t_rt0_amd64(SB)\n",
		"other jump":      "TEXT _rt0_amd64_linux(SB),NOSPLIT,$-8\n\tJMP\tmain(SB)\n",
		"more than jumps": "TEXT _rt0_amd64_linux(SB),NOSPLIT,$-8\n\tJMP\t_rt0_amd64(SB)\n\tRET\n",
		"nothing":         "TEXT _rt0_amd64_linux(SB),NOSPLIT,$-8",
	} {
		var layout *LayoutError
		if _, err := patchEntry("rt0.s", text); !errors.As(err, &layout) {
			t.Errorf("%s: error %v, want a LayoutError", name, err)
		}
	}
}
