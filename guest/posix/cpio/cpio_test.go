package cpio

import (
	"bytes"
	"fmt"
	"testing"
)

// member encodes one member independently of the reader, with fmt.
func member(name string, mode uint32, data string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "070701%08X%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		7, mode, 1, 2, 1, 1234567890, len(data), 8, 1, 259, 300, len(name)+1, 0)
	b.WriteString(name)
	b.WriteByte(0)
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	b.WriteString(data)
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
	return b.Bytes()
}

func archive() []byte {
	b := member("etc", 0o40755, "")
	b = append(b, member("etc/motd", 0o100644, "hello")...)
	b = append(b, member("etc/link", 0o120777, "motd")...)
	return append(b, member("TRAILER!!!", 0, "")...)
}

func TestNext(t *testing.T) {
	b := archive()
	r := NewReader(append(b, make([]byte, 300)...))
	want := []struct {
		name, data string
		mode       uint32
	}{{"etc", "", 0o40755}, {"etc/motd", "hello", 0o100644}, {"etc/link", "motd", 0o120777}}
	for _, w := range want {
		h, ok, err := r.Next()
		if err != nil || !ok || h.Name != w.name || string(h.Data) != w.data || h.Mode != w.mode {
			t.Fatalf("%+v %v %v, want %+v", h, ok, err, w)
		}
		if h.UID != 1 || h.GID != 2 || h.Mtime != 1234567890 {
			t.Fatalf("%+v", h)
		}
		if want := uint64(300&0xff | 259<<8 | (300&^0xff)<<12); h.Rdev != want {
			t.Fatalf("rdev %x, want %x", h.Rdev, want)
		}
	}
	if _, ok, err := r.Next(); ok || err != nil {
		t.Fatal("after the trailer:", ok, err)
	}
}

func TestDamaged(t *testing.T) {
	whole := archive()
	for _, c := range []struct {
		name string
		b    []byte
		err  error
	}{
		{"empty", nil, nil},
		{"no trailer", member("a", 0o100644, "abc"), nil},
		{"half a header", whole[:50], ErrShort},
		{"half a member", whole[:len(member("etc", 0o40755, ""))+120], ErrShort},
		{"other magic", append([]byte("070707"), whole[6:]...), ErrFormat},
		{"bad digit", bytes.Replace(whole, []byte("000041ed"), []byte("00004xed"), 1), ErrFormat},
		{"name without NUL", bytes.Replace(whole, []byte("etc\x00"), []byte("etcc"), 1), ErrFormat},
		{"huge size", bytes.Replace(member("a", 0, "abc"), []byte("00000003"), []byte("ffffffff"), 1), ErrShort},
	} {
		r := NewReader(c.b)
		var err error
		for ok := true; ok && err == nil; {
			_, ok, err = r.Next()
		}
		if err != c.err {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add(archive())
	f.Add([]byte("070701"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(b)
		total := 0
		for {
			at := r.Offset()
			h, ok, err := r.Next()
			if ok && err != nil || !ok && h.Name != "" {
				t.Fatal("both a member and an end")
			}
			if !ok {
				return
			}
			if r.Offset() <= at || r.Offset() > len(b) {
				t.Fatal("offset went from", at, "to", r.Offset(), "of", len(b))
			}
			if total += len(h.Data); total > len(b) {
				t.Fatal("more contents than archive")
			}
		}
	})
}
