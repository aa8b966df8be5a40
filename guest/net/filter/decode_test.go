package filter

import (
	"testing"

	"ukvm.dev/hypercall"
)

// FuzzDecode: whatever the bytes are, they are refused or become rules that can be run.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("UKFW\x01\x00\x00\x01\x00\x05input\x02\x01\x00\x0f\x01"))
	f.Add([]byte("UKFW\x01\x02\x00\x01\x01\x00\x04\x08\x0a\x00\x00\x00\x02\x01\x00P\x00P\x00\x02\x00\x05input\x02\x01\x00" +
		"\x03\x06\x04\x00\x80\x07\x01\x00\x01\x04eth0\x0f\x04\x01\x00\x04more\x00\x01\x00\x0c\x03abc\x0f\x03\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		if len(data) > hypercall.FirewallMax {
			return
		}
		if _, err := Compile(c); err != nil {
			return
		}
		b := newBench(t, c)
		for h := range Hooks {
			b.pass(h, sample{proto: tcp, dstPort: 80, src: "10.0.0.9"})
			b.pass(h, sample{proto: protoICMPv6, src: "fd00::1", dst: "fd00::2"})
		}
	})
}

// TestDecode refuses every beginning of something right, and what follows it.
func TestDecode(t *testing.T) {
	const right = "UKFW\x01\x02\x00\x01\x01\x00\x04\x08\x0a\x00\x00\x00\x02\x01\x00P\x00P\x00\x02\x00\x05input\x02\x01\x00" +
		"\x03\x06\x04\x00\x80\x07\x01\x00\x01\x04eth0\x0f\x04\x01\x00\x04more\x00\x01\x00\x0c\x03abc\x0f\x03\x01"
	if c, err := Decode([]byte(right)); err != nil || len(c.Chains) != 2 || c.Chains[0].Rules[0].Chain != "more" || !c.Chains[0].Rules[0].Src.Not {
		t.Fatalf("%+v, %v", c, err)
	}
	for n := range len(right) {
		if _, err := Decode([]byte(right[:n])); err == nil {
			t.Errorf("%d bytes are taken", n)
		}
	}
	if _, err := Decode([]byte(right + "\x00")); err == nil {
		t.Error("bytes behind the end are taken")
	}
}
