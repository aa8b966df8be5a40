package hypercall

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"
	"unsafe"
)

// wired is a structure of share.go.
type wired[T any] interface {
	*T
	Put([]byte)
	Get([]byte)
}

// TestShareWire: structures of random contents go over the wire as they lie in memory, and come back the same.
func TestShareWire(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		wire[ShareRequest](t, r, ShareRequestSize)
		wire[ShareReply](t, r, ShareReplySize)
		wire[ShareForgotten](t, r, ShareForgottenSize)
		wire[ShareEntry](t, r, ShareEntrySize)
		wire[ShareStat](t, r, ShareStatSize)
	}
}

func wire[T any, P wired[T]](t *testing.T, r *rand.Rand, size int) {
	t.Helper()
	var want, got T
	randomise(reflect.ValueOf(&want).Elem(), r)
	b := bytes.Repeat([]byte{0xaa}, size)
	P(&want).Put(b)
	if memory := unsafe.Slice((*byte)(unsafe.Pointer(&want)), unsafe.Sizeof(want)); !bytes.Equal(b, memory) {
		t.Errorf("%T is %x on the wire and %x in memory", want, b, memory)
	}
	if P(&got).Get(b); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v came back as %+v", want, got)
	}
}

// randomise sets all fields that have a name.
func randomise(v reflect.Value, r *rand.Rand) {
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case v.Type().Field(i).Name == "_":
		case f.Kind() == reflect.Struct:
			randomise(f, r)
		case f.CanInt():
			f.SetInt(int64(r.Uint64()))
		default:
			f.SetUint(r.Uint64() >> (64 - f.Type().Bits()))
		}
	}
}
