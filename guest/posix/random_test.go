package posix

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

var (
	randomSeed  = flag.Uint64("posix.seed", 1, "first seed of the random comparison with Linux")
	randomSeeds = flag.Uint64("posix.seeds", 30, "number of seeds")
)

// TestRandom makes random calls on files and names, in the manner of fsx and fsstress, on the host's kernel and on a
// System, and compares every result. (go test -run TestRandom -args -posix.seed=7 -posix.seeds=1 repeats one.)
func TestRandom(t *testing.T) {
	for seed := *randomSeed; seed < *randomSeed+*randomSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			compare(t, func(p *proc) { (&stress{proc: p, r: rand.New(rand.NewPCG(seed, 99))}).run(600) })
		})
	}
}

// stress makes random calls. Its choices depend on the random numbers and on results only, so they are the same for
// both as long as the results are.
type stress struct {
	*proc
	r    *rand.Rand
	open []fd
}

func (s *stress) pick(list ...string) string { return list[s.r.IntN(len(list))] }

// path is a short path over few names, so that calls meet. ".." is not among them: through symbolic links it could lead
// out of the test's directory.
func (s *stress) path() string {
	n := 1
	for s.r.IntN(3) == 0 && n < 4 {
		n++
	}
	parts := make([]string, n)
	for i := range parts {
		parts[i] = s.pick("a", "b", "c", "d", "e", "a", "b", "c", "d", ".")
	}
	path := strings.Join(parts, "/")
	if s.r.IntN(15) == 0 {
		path += "/"
	}
	return path
}

func (s *stress) run(steps int) {
	for range steps {
		s.step()
	}
	s.walk(".", 0)
	for _, f := range s.open {
		s.call(syscall.SYS_CLOSE, f)
	}
}

func (s *stress) file() (fd, bool) {
	if len(s.open) == 0 {
		return 0, false
	}
	return s.open[s.r.IntN(len(s.open))], true
}

func (s *stress) text() string {
	n := s.r.IntN(200)
	if s.r.IntN(10) == 0 {
		n = s.r.IntN(100_000)
	}
	return strings.Repeat(string(rune('a'+s.r.IntN(26))), n)
}

func (s *stress) step() {
	switch k := s.r.IntN(30); {
	case k < 6:
		flags := []int{rdonly, wronly, rdwr}[s.r.IntN(3)]
		for _, f := range []int{creat, creat, excl, syscall.O_TRUNC, syscall.O_APPEND, syscall.O_DIRECTORY, syscall.O_NOFOLLOW} {
			if s.r.IntN(4) == 0 {
				flags |= f
			}
		}
		if s.r.IntN(20) == 0 {
			flags = oPath | flags&(syscall.O_NOFOLLOW|syscall.O_DIRECTORY)
		}
		f := s.proc.open(s.path(), flags|syscall.O_NONBLOCK, 0o600+s.r.IntN(64))
		if f >= 0 {
			s.open = append(s.open, f)
		}
	case k < 8:
		s.do(syscall.SYS_MKDIRAT, s.base, s.path(), 0o700+s.r.IntN(64))
	case k < 10:
		s.do(syscall.SYS_UNLINKAT, s.base, s.path(), s.r.IntN(2)*atRemoveDir)
	case k < 13:
		flags := 0
		if s.r.IntN(3) == 0 {
			flags = s.r.IntN(4)
		}
		s.do(sysRENAMEAT2, s.base, s.path(), s.base, s.path(), flags)
	case k == 13:
		s.do(syscall.SYS_LINKAT, s.base, s.path(), s.base, s.path(), s.r.IntN(2)*atSymlinkFollow)
	case k == 14:
		s.do(syscall.SYS_SYMLINKAT, s.path(), s.base, s.path())
	case k == 15:
		s.stat(s.path(), s.r.IntN(2)*atSymlinkNoFollow)
	case k == 16:
		s.readlink(s.path())
	case k == 17:
		s.list(s.path())
	case k == 18:
		s.do(syscall.SYS_FCHMODAT, s.base, s.path(), s.r.IntN(0o10000))
	default:
		s.fileStep()
	}
}

func (s *stress) fileStep() {
	f, ok := s.file()
	if !ok {
		return
	}
	off := s.r.IntN(150_000)
	switch s.r.IntN(13) {
	case 0:
		s.write(f, s.text())
	case 1:
		s.pwrite(f, s.text(), off)
	case 2:
		s.read(f, s.r.IntN(1000))
	case 3:
		s.pread(f, s.r.IntN(100_000), off)
	case 4:
		s.do(syscall.SYS_LSEEK, f, off-1000, s.r.IntN(3))
	case 5:
		s.do(syscall.SYS_FTRUNCATE, f, off-100)
	case 6:
		s.fstat(f)
	case 7:
		s.do(syscall.SYS_FALLOCATE, f, []int{0, 1, 3}[s.r.IntN(3)], off, s.r.IntN(100_000))
	case 8:
		g, _ := s.file()
		s.do(syscall.SYS_LSEEK, f, off/2, 0)
		s.do(sysCOPYFILERANGE, f, nil, g, nil, s.r.IntN(50_000), 0)
	case 9:
		g, _ := s.file()
		if s.ino(f) == s.ino(g) {
			return // Linux moves pages, so that what it copies depends on how the ranges overlap
		}
		s.do(syscall.SYS_SENDFILE, g, f, nil, s.r.IntN(50_000))
	case 10:
		d := s.make(syscall.SYS_DUP, f)
		s.open = append(s.open, d)
	case 11:
		bufs := iovecs(make([]byte, s.r.IntN(300)), make([]byte, s.r.IntN(300)))
		s.do(syscall.SYS_READV, f, unsafe.Pointer(&bufs[0]), 2)
	case 12:
		if s.r.IntN(2) == 0 {
			for i := range s.open {
				if s.open[i] == f {
					s.open = append(s.open[:i:i], s.open[i+1:]...)
					break
				}
			}
			s.close(f)
		}
	}
}

func (s *stress) ino(f fd) uint64 {
	var st syscall.Stat_t
	s.call(syscall.SYS_FSTAT, f, unsafe.Pointer(&st))
	return st.Ino
}

// walk notes everything below a directory.
func (s *stress) walk(path string, depth int) {
	for _, name := range s.list(path) {
		name = name[:strings.IndexByte(name, ':')]
		if name == "." || name == ".." {
			continue
		}
		p := path + "/" + name
		s.stat(p, atSymlinkNoFollow)
		s.readlink(p)
		var st syscall.Stat_t
		if _, errno := s.call(syscall.SYS_NEWFSTATAT, s.base, p, unsafe.Pointer(&st), atSymlinkNoFollow); errno != 0 {
			continue
		}
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			if depth < 10 {
				s.walk(p, depth+1)
			}
		case syscall.S_IFREG:
			f := s.proc.open(p, rdonly, 0)
			sum, n := uint32(0), 0
			b := make([]byte, 65536)
			for {
				k, errno := s.call(syscall.SYS_READ, f, b, len(b))
				if errno != 0 || k == 0 {
					break
				}
				for _, c := range b[:k] {
					sum = sum*31 + uint32(c)
				}
				n += int(k)
			}
			s.note("contents %d %x", n, sum)
			s.call(syscall.SYS_CLOSE, f)
		}
	}
}
