package std

import (
	"slices"
	"strings"
	"testing"
)

// TestEvents reads a run in which a test passes, one fails, one skips itself and one does not end.
func TestEvents(t *testing.T) {
	r, failures := events(t, strings.ReplaceAll(`{'Action':'start','Package':'p'}
{'Action':'run','Package':'p','Test':'TestGood'}
{'Action':'run','Package':'p','Test':'TestGood/sub'}
{'Action':'output','Package':'p','Test':'TestGood/sub','Output':'all is well'}
{'Action':'skip','Package':'p','Test':'TestGood/sub'}
{'Action':'pass','Package':'p','Test':'TestGood'}
{'Action':'run','Package':'p','Test':'TestBad'}
{'Action':'run','Package':'p','Test':'TestBad/sub'}
{'Action':'output','Package':'p','Test':'TestBad/sub','Output':'one is not two'}
{'Action':'fail','Package':'p','Test':'TestBad/sub'}
{'Action':'fail','Package':'p','Test':'TestBad'}
{'Action':'run','Package':'p','Test':'TestSkip'}
{'Action':'skip','Package':'p','Test':'TestSkip'}
{'Action':'run','Package':'p','Test':'TestHang'}
{'Action':'output','Package':'p','Output':'FAIL p 1s'}
{'Action':'fail','Package':'p'}
`, "'", `"`))
	for outcome, want := range map[string]string{"pass": "TestGood", "fail": "TestBad", "skip": "TestSkip", "": "TestHang"} {
		if got := r.names(outcome); !slices.Equal(got, []string{want}) {
			t.Errorf("%q: %q, want %s", outcome, got, want)
		}
	}
	if !strings.Contains(failures, "one is not two") || !strings.Contains(failures, "FAIL p") || strings.Contains(failures, "well") {
		t.Errorf("failures: %q", failures)
	}
}

// TestDeclarations finds tests and fuzz targets, and neither TestMain, helpers nor benchmarks; and which of them want hosts
// of the Internet.
func TestDeclarations(t *testing.T) {
	const text = "func Test(t *testing.T) {\nfunc TestA(t *testing.T) {\n\ttestenv.MustHaveExternalNetwork(t)\n}\nfunc Test_b(x *T) {\n" +
		"func FuzzC(f *testing.F) {\n}\nfunc TestMain(m *testing.M) {\nfunc Testing(t *testing.T) {\nfunc TestD(t *testing.T, n int) {\n" +
		"func BenchmarkE(b *testing.B) {\nfunc mustHaveExternalNetwork(t *testing.T) {\n}\nfunc TestF(t *testing.T) {\n\tmustHaveExternalNetwork(t)\n}\n"
	var p pkg
	p.read(text)
	if want := []string{"Test", "TestA", "Test_b", "FuzzC", "TestF"}; !slices.Equal(p.declared, want) {
		t.Errorf("%q, want %q", p.declared, want)
	}
	if want := []string{"TestA", "TestF"}; !slices.Equal(p.external, want) {
		t.Errorf("want the Internet: %q, want %q", p.external, want)
	}
}
