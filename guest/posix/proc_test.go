package posix

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"ukvm.dev/hypercall"
)

// slurp reads a whole file.
func (p *proc) slurp(path string) string {
	p.t.Helper()
	f, errno := p.call(syscall.SYS_OPEN, path, rdonly, 0)
	if errno != 0 {
		p.t.Fatalf("open %s: %v", path, errno)
	}
	defer p.call(syscall.SYS_CLOSE, int(f))
	var all []byte
	for {
		b := make([]byte, 100)
		n, errno := p.call(syscall.SYS_READ, int(f), b, len(b))
		if errno != 0 {
			p.t.Fatalf("read %s: %v", path, errno)
		}
		if n == 0 {
			return string(all)
		}
		all = append(all, b[:n]...)
	}
}

func (p *proc) names(dir string) (names []string) {
	p.base = fd(atFDCWD)
	for _, n := range p.list(dir) {
		names = append(names, n[:strings.IndexByte(n, ':')])
	}
	slices.Sort(names)
	return names
}

// TestProcForms compares the names of fields with the host's, and the form of lines with what the manual page says.
func TestProcForms(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	keys := func(text string) (list []string) {
		for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
			if k, _, ok := strings.Cut(s.Text(), ":"); ok {
				list = append(list, k)
			}
		}
		return list
	}
	for _, path := range []string{"/proc/cpuinfo", "/proc/meminfo", "/proc/self/status"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		host := keys(string(b))
		for _, k := range keys(p.slurp(path)) {
			if !slices.Contains(host, k) {
				t.Errorf("%s: the host has no %q", path, k)
			}
		}
	}
	for path, want := range map[string]string{
		"/proc/self/maps":      `^[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-]p [0-9a-f]{8} [0-9a-f]{2}:[0-9a-f]{2} \d+( +\S.*)?$`,
		"/proc/self/limits":    `^(Limit|Max)[ a-z]{16,22} {1,20}(Soft Limit|unlimited|\d+) +(Hard Limit|unlimited|\d+) +(Units|[a-z]*) *$`,
		"/proc/stat":           `^(cpu0? {1,2}\d+( \d+){9}|[a-z_]+ \d+)$`,
		"/proc/uptime":         `^\d+\.\d\d \d+\.\d\d$`,
		"/proc/loadavg":        `^\d\.\d\d \d\.\d\d \d\.\d\d \d+/\d+ \d+$`,
		"/proc/self/stat":      `^1 \(app\) R( -?\d+){49}$`,
		"/proc/self/statm":     `^\d+( \d+){6}$`,
		"/proc/self/cgroup":    `^0::/$`,
		"/proc/self/mounts":    `^\w+ \S+ \w+ r[wo],\S+ 0 0$`,
		"/proc/self/mountinfo": `^\d+ \d+ \d+:\d+ / \S+ r[wo],\S+ - \w+ \w+ r[wo]$`,
	} {
		re := regexp.MustCompile(want)
		text := p.slurp(path)
		if !strings.HasSuffix(text, "\n") || path == "/proc/self/stat" && strings.Count(text, " ") != 51 {
			t.Errorf("%s: %q", path, text)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
			if !re.MatchString(line) {
				t.Errorf("%s: %q", path, line)
			}
		}
	}
}

func TestProcText(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	for path, want := range map[string]string{
		"/proc/self/cmdline":                   "app\x00-x\x00",
		"/proc/1/environ":                      "A=b\x00",
		"/proc/thread-self/comm":               "app\n",
		"/proc/sys/kernel/hostname":            "box\n",
		"/proc/sys/kernel/osrelease":           osRelease + "\n",
		"/proc/sys/net/core/somaxconn":         "4096\n",
		"/proc/self/task/1/oom_score_adj":      "0\n",
		"/proc/mounts":                         "tmpfs / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\n",
		"/proc/self/cwd/proc/../proc/uptime":   "12.34 0.00\n",
		"/proc/self/root/proc/self/cgroup":     "0::/\n",
		"/proc/self/fd/../../1/task/../statm/": "",
	} {
		if strings.HasSuffix(path, "/") {
			if _, errno := g.call(syscall.SYS_OPEN, path, rdonly, 0); errno != syscall.ENOTDIR {
				t.Error(path, errno)
			}
			continue
		}
		if got := p.slurp(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	maps := p.slurp("/proc/self/maps")
	if !strings.HasPrefix(maps, "00400000-00500000 r-xp 00000000 00:12 1 ") || !strings.Contains(maps, " /app\n") ||
		!strings.HasSuffix(maps, " [stack]\n") {
		t.Error(maps)
	}
	if cpu := p.slurp("/proc/cpuinfo"); !strings.Contains(cpu, "cpu MHz\t\t: 2500.000\n") || !strings.Contains(cpu, " sse2 ") {
		t.Error(cpu)
	}
	boot := p.slurp("/proc/sys/kernel/random/boot_id")
	if len(boot) != 37 || boot[14] != '4' || p.slurp("/proc/sys/kernel/random/boot_id") != boot {
		t.Error(boot)
	}
	if p.slurp("/proc/sys/kernel/random/uuid") == p.slurp("/proc/sys/kernel/random/uuid") {
		t.Error("UUIDs repeat")
	}
	if got := p.names("/proc"); !slices.Contains(got, "1") || !slices.Contains(got, "self") || !slices.Contains(got, "cpuinfo") {
		t.Error(got)
	}
	if got := p.names("/proc/self/task"); !slices.Equal(got, []string{".", "..", "1"}) {
		t.Error(got)
	}

	f := fd(p.must(syscall.SYS_OPEN, "/proc/sys/kernel/hostname", rdwr|syscall.O_TRUNC, 0))
	p.write(f, "renamed\n")
	p.close(f)
	if got := p.slurp("/proc/sys/kernel/hostname"); got != "renamed\n" || g.s.hostname() != "renamed" {
		t.Error(got)
	}
	f = fd(p.must(syscall.SYS_OPEN, "/proc/self/oom_score_adj", wronly, 0))
	p.write(f, "-500")
	if got := p.slurp("/proc/1/oom_score_adj"); got != "-500\n" {
		t.Error(got)
	}
	f = fd(p.must(syscall.SYS_OPEN, "/proc/uptime", rdonly, 0))
	p.read(f, 3)
	p.must(syscall.SYS_LSEEK, f, 0, 0)
	if got := p.read(f, 50); got != "12.34 0.00\n" {
		t.Error(got)
	}
	for path, want := range map[string]syscall.Errno{
		"/proc/meminfo": syscall.EACCES, "/proc/new": syscall.ENOENT, "/proc": syscall.EISDIR, "/proc/2": syscall.ENOENT,
	} {
		if _, errno := g.call(syscall.SYS_OPEN, path, wronly|creat, 0o600); errno != want {
			t.Error(path, errno)
		}
	}
	if _, errno := g.call(syscall.SYS_UNLINK, "/proc/meminfo"); errno != syscall.EPERM {
		t.Error(errno)
	}
}

func TestProcFD(t *testing.T) {
	g := newGuest(t)
	p := &proc{caller: g, t: t}
	link := func(path string) string {
		b := make([]byte, 100)
		n, errno := g.call(syscall.SYS_READLINK, path, b, len(b))
		if errno != 0 {
			return errno.Error()
		}
		return string(b[:n])
	}
	f := p.must(syscall.SYS_OPEN, "/tmp/file", creat|rdwr, 0o600)
	r, w := p.pipe(0)
	x, _ := p.pair(syscall.SOCK_STREAM)
	m := p.must(sysMEMFDCREATE, "shared", 0)
	d := p.must(syscall.SYS_OPEN, "/proc/self/task", rdonly, 0)
	for n, want := range map[int]string{
		f: "^/tmp/file$", int(r): `^pipe:\[\d+\]$`, int(w): `^pipe:\[\d+\]$`, int(x): `^socket:\[\d+\]$`,
		m: `^/memfd:shared \(deleted\)$`, d: "^/proc/1/task$", 0: `^/dev/console$`, 77: "no such file",
	} {
		if got := link(fmt.Sprint("/dev/fd/", n)); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	p.write(fd(f), "contents")
	again := p.must(syscall.SYS_OPEN, fmt.Sprint("/proc/self/fd/", f), rdonly, 0)
	if got := p.read(fd(again), 20); got != "contents" {
		t.Error(got)
	}
	p.must(syscall.SYS_UNLINK, "/tmp/file")
	if got := link(fmt.Sprint("/proc/self/fd/", f)); got != "/tmp/file (deleted)" {
		t.Error(got)
	}
	if _, errno := g.call(syscall.SYS_LINKAT, fd(atFDCWD), fmt.Sprint("/proc/self/fd/", m), fd(atFDCWD), "/tmp/named",
		atSymlinkFollow); errno != syscall.EXDEV {
		t.Error(errno)
	}
	end := p.must(syscall.SYS_OPEN, fmt.Sprint("/dev/fd/", w), wronly, 0)
	p.write(fd(end), "reopened")
	if got := p.read(r, 20); got != "reopened" {
		t.Error(got)
	}
	if _, errno := g.call(syscall.SYS_OPEN, fmt.Sprint("/dev/fd/", x), rdwr, 0); errno != syscall.ENXIO {
		t.Error(errno)
	}
	out := p.must(syscall.SYS_OPEN, "/dev/stdout", wronly, 0)
	if n, errno := g.c.Write(out, []byte("hello")); n != 5 || errno != 0 || string(g.c.out[1]) != "hello" {
		t.Error(n, errno, g.c.out)
	}
	names := p.names("/proc/self/fd")
	for _, n := range []int{0, 1, 2, f, m, out} {
		if !slices.Contains(names, fmt.Sprint(n)) {
			t.Error(n, "is not in", names)
		}
	}
	var st syscall.Stat_t
	p.must(syscall.SYS_STAT, fmt.Sprint("/proc/self/fd/", r), unsafe.Pointer(&st))
	if st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		t.Errorf("%o", st.Mode)
	}
}

func TestEtc(t *testing.T) {
	s, c := newTestSystem(func(b *hypercall.Boot) {
		b.Devices = 1
		b.Device[0] = hypercall.Device{Kind: hypercall.DeviceNet, Net: hypercall.NetConfig{
			Addr: [4]byte{10, 0, 2, 15}, DNS: [3][4]byte{{10, 0, 2, 3}, {9, 9, 9, 9}}, Host: [4]byte{10, 0, 2, 2},
		}}
		copy(b.Device[0].Net.Search[:], "example.org corp")
	})
	p := &proc{caller: &guest{s, c}, t: t}
	for path, want := range map[string]string{
		"/etc/hosts":       "127.0.0.1\tlocalhost\n10.0.2.15\tbox\n10.0.2.2\thost.ukvm.internal host\n",
		"/etc/resolv.conf": "search example.org corp\nnameserver 10.0.2.3\nnameserver 9.9.9.9\n",
		"/etc/hostname":    "box\n",
	} {
		if got := p.slurp(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	s.setResolvers([]string{"1.1.1.1"}, nil)
	if got := p.slurp("/etc/resolv.conf"); got != "nameserver 1.1.1.1\n" {
		t.Errorf("%q", got)
	}
	if _, errno := p.call(syscall.SYS_STAT, "/etc/localtime", make([]byte, 200)); errno != syscall.ENOENT {
		t.Error(errno)
	}
	early, c := newTestSystem(nil)
	early.setResolvers([]string{"8.8.8.8"}, []string{"x"})
	p = &proc{caller: &guest{early, c}, t: t}
	if got := p.slurp("/etc/resolv.conf"); got != "search x\nnameserver 8.8.8.8\n" {
		t.Errorf("%q", got)
	}
	f := fd(p.must(syscall.SYS_OPEN, "/etc/hosts", wronly|syscall.O_APPEND, 0))
	p.write(f, "1.2.3.4 x\n")
	if got := p.slurp("/etc/hosts"); got != "127.0.0.1\tlocalhost\n127.0.1.1\tbox\n1.2.3.4 x\n" {
		t.Errorf("%q", got)
	}
}
