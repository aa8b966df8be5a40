package posix

import (
	"syscall"
	"testing"
	"unsafe"
)

// benchmarkGuest is a System on package kernel's model, whose calls cost less than they do in a guest (44 to 78 ns).
func benchmarkGuest(b *testing.B) (*System, *proc) {
	s, c := newTestSystem(nil)
	b.ReportAllocs()
	return s, &proc{caller: &guest{s, c}, t: b}
}

func BenchmarkReadFile(b *testing.B)  { benchmarkFile(b, syscall.SYS_PREAD64, 64) }
func BenchmarkWriteFile(b *testing.B) { benchmarkFile(b, syscall.SYS_PWRITE64, 64) }
func BenchmarkRead4K(b *testing.B)    { benchmarkFile(b, syscall.SYS_PREAD64, 4096) }
func BenchmarkRead64K(b *testing.B)   { benchmarkFile(b, syscall.SYS_PREAD64, 65536) }
func BenchmarkWrite64K(b *testing.B)  { benchmarkFile(b, syscall.SYS_PWRITE64, 65536) }

func benchmarkFile(b *testing.B, nr uintptr, n int) {
	s, p := benchmarkGuest(b)
	f := uintptr(p.must(syscall.SYS_OPEN, "/tmp/f", creat|rdwr, 0o600))
	buf := make([]byte, n)
	s.call(syscall.SYS_PWRITE64, args{a1: f, a3: uintptr(n), p2: unsafe.Pointer(&buf[0])})
	b.SetBytes(int64(n))
	for b.Loop() {
		s.call(nr, args{a1: f, a3: uintptr(n), p2: unsafe.Pointer(&buf[0])})
	}
}

func BenchmarkReadNull(b *testing.B) {
	s, p := benchmarkGuest(b)
	f := uintptr(p.must(syscall.SYS_OPEN, "/dev/null", rdwr, 0))
	buf := make([]byte, 64)
	for b.Loop() {
		s.call(syscall.SYS_READ, args{a1: f, a3: 64, p2: unsafe.Pointer(&buf[0])})
	}
}

// BenchmarkForeign is what a call costs that is not ours: write(1).
func BenchmarkForeign(b *testing.B) {
	s, _ := benchmarkGuest(b)
	buf := make([]byte, 64)
	for b.Loop() {
		s.call(syscall.SYS_WRITE, args{a1: 1, a3: 64, p2: unsafe.Pointer(&buf[0])})
	}
}

// BenchmarkPipe is a write and a read of 64 bytes.
func BenchmarkPipe(b *testing.B) {
	s, p := benchmarkGuest(b)
	r, w := p.pipe(syscall.O_NONBLOCK)
	benchmarkPair(b, s, uintptr(w), uintptr(r), 64)
}

func BenchmarkPipe64K(b *testing.B) {
	s, p := benchmarkGuest(b)
	r, w := p.pipe(syscall.O_NONBLOCK)
	benchmarkPair(b, s, uintptr(w), uintptr(r), 65536)
}

func BenchmarkUnix(b *testing.B) {
	s, p := benchmarkGuest(b)
	x, y := p.pair(syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK)
	benchmarkPair(b, s, uintptr(x), uintptr(y), 64)
}

func BenchmarkUnixDatagram(b *testing.B) {
	s, p := benchmarkGuest(b)
	x, y := p.pair(syscall.SOCK_DGRAM | syscall.SOCK_NONBLOCK)
	benchmarkPair(b, s, uintptr(x), uintptr(y), 64)
}

func benchmarkPair(b *testing.B, s *System, w, r uintptr, n int) {
	buf := make([]byte, n)
	b.SetBytes(int64(n))
	for b.Loop() {
		s.call(syscall.SYS_WRITE, args{a1: w, a3: uintptr(n), p2: unsafe.Pointer(&buf[0])})
		s.call(syscall.SYS_READ, args{a1: r, a3: uintptr(n), p2: unsafe.Pointer(&buf[0])})
	}
}

// BenchmarkPipeBlocking passes 64 bytes to and fro between two goroutines that wait for each other.
func BenchmarkPipeBlocking(b *testing.B) {
	s, p := benchmarkGuest(b)
	r1, w1 := p.pipe(0)
	r2, w2 := p.pipe(0)
	go func() {
		buf := make([]byte, 64)
		for {
			if n, _, _ := s.call(syscall.SYS_READ, args{a1: uintptr(r1), a3: 64, p2: unsafe.Pointer(&buf[0])}); n == 0 {
				return
			}
			s.call(syscall.SYS_WRITE, args{a1: uintptr(w2), a3: 64, p2: unsafe.Pointer(&buf[0])})
		}
	}()
	buf := make([]byte, 64)
	for b.Loop() {
		s.call(syscall.SYS_WRITE, args{a1: uintptr(w1), a3: 64, p2: unsafe.Pointer(&buf[0])})
		s.call(syscall.SYS_READ, args{a1: uintptr(r2), a3: 64, p2: unsafe.Pointer(&buf[0])})
	}
	p.close(w1)
}

func BenchmarkOpenClose(b *testing.B) {
	s, p := benchmarkGuest(b)
	path := []byte("/tmp/file\x00")
	p.close(fd(p.must(syscall.SYS_OPEN, "/tmp/file", creat|rdwr, 0o600)))
	for b.Loop() {
		f, _, _ := s.call(syscall.SYS_OPENAT, args{a1: cwd, a3: rdonly, p2: unsafe.Pointer(&path[0])})
		s.call(syscall.SYS_CLOSE, args{a1: f})
	}
}

func BenchmarkStat(b *testing.B) {
	s, p := benchmarkGuest(b)
	path := []byte("/tmp/file\x00")
	p.close(fd(p.must(syscall.SYS_OPEN, "/tmp/file", creat|rdwr, 0o600)))
	var st syscall.Stat_t
	for b.Loop() {
		s.call(syscall.SYS_NEWFSTATAT, args{a1: cwd, p2: unsafe.Pointer(&path[0]), p3: unsafe.Pointer(&st)})
	}
}

// BenchmarkStart is the first call that needs the tree of files.
func BenchmarkStart(b *testing.B) {
	path := []byte("/tmp\x00")
	var st syscall.Stat_t
	b.ReportAllocs()
	for b.Loop() {
		s, _ := newTestSystem(nil)
		s.call(syscall.SYS_STAT, args{p1: unsafe.Pointer(&path[0]), p2: unsafe.Pointer(&st)})
	}
}
