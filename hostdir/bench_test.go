package hostdir_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"ukvm.dev/hostdir"
)

// chunk is what one large request moves.
const chunk = 128 << 10

func BenchmarkLookup(b *testing.B) {
	d, _ := export(b, hostdir.Options{})
	n := mk(b, d, hostdir.Root, "file", unix.S_IFREG|0o600)
	for b.Loop() {
		lookup(b, d, hostdir.Root, "file")
		d.Forget(n, 1)
	}
}

func BenchmarkAttr(b *testing.B) {
	d, _ := export(b, hostdir.Options{})
	n := mk(b, d, hostdir.Root, "file", unix.S_IFREG|0o600)
	for b.Loop() {
		if _, e := d.Attr(n); e != 0 {
			b.Fatal(e)
		}
	}
}

// benchmarkContents has a file of 64 chunks, which stays in the host's cache.
func benchmarkContents(b *testing.B, f func(d *hostdir.Dir, n hostdir.Node, bufs [][]byte, off int64) (int, error)) {
	d, _ := export(b, hostdir.Options{})
	n := mk(b, d, hostdir.Root, "file", unix.S_IFREG|0o600)
	want(b, "open", d.Open(n, true), ok)
	defer d.Done(n)
	bufs := [][]byte{make([]byte, chunk)}
	const chunks = 64
	for i := range int64(chunks) {
		_, _, e := d.WriteAt(n, bufs, i*chunk, false)
		want(b, "write", e, ok)
	}
	b.SetBytes(chunk)
	i := int64(0)
	for b.Loop() {
		size, err := f(d, n, bufs, i%chunks*chunk)
		if size != chunk {
			b.Fatal(size, err)
		}
		i++
	}
}

func BenchmarkReadAt(b *testing.B) {
	benchmarkContents(b, func(d *hostdir.Dir, n hostdir.Node, bufs [][]byte, off int64) (int, error) {
		size, e := d.ReadAt(n, bufs, off, false)
		return size, e
	})
}

func BenchmarkReadAtNoWait(b *testing.B) {
	benchmarkContents(b, func(d *hostdir.Dir, n hostdir.Node, bufs [][]byte, off int64) (int, error) {
		size, e := d.ReadAt(n, bufs, off, true)
		return size, e
	})
}

func BenchmarkWriteAt(b *testing.B) {
	benchmarkContents(b, func(d *hostdir.Dir, n hostdir.Node, bufs [][]byte, off int64) (int, error) {
		size, _, e := d.WriteAt(n, bufs, off, false)
		return size, e
	})
}
