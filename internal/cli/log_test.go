package cli

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestLogger(t *testing.T) {
	var b strings.Builder
	NewLogger(&b, false, false).With("vm", 1).Error("network link failed", "card", "eth0", "error", errors.New("it is gone"))
	if want := "ukvm: network link failed vm=1 card=eth0 error=\"it is gone\"\n"; b.String() != want {
		t.Errorf("line is %q, want %q", b.String(), want)
	}
	b.Reset()
	NewLogger(&b, false, true).Info("call", "number", 3)
	if !regexp.MustCompile(`^ukvm: +\d+\.\d{3}ms call number=3\n$`).MatchString(b.String()) {
		t.Errorf("line is %q", b.String())
	}
	b.Reset()
	NewLogger(&b, true, true).Info("call", "number", 3)
	var v struct {
		Msg    string
		Number int
	}
	if err := json.Unmarshal([]byte(b.String()), &v); err != nil || v.Msg != "call" || v.Number != 3 {
		t.Errorf("object is %s: %v", b.String(), err)
	}
}
