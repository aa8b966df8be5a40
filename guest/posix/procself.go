package posix

import (
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"ukvm.dev/hypercall"
)

// Clocks of clock_gettime(2).
const (
	clockProcess  = 2 // CLOCK_PROCESS_CPUTIME_ID
	clockBoottime = 7
)

// tick is a clock tick as /proc counts them (USER_HZ), in ns.
const tick = 1e9 / 100

// executable is what /proc/self/exe shows: the program's name as an absolute path. No file is there: the program came
// as the guest, not as a file in it.
func (s *System) executable() string {
	args := s.env.args()
	if len(args) == 0 || args[0] == "" {
		return "/ukvm"
	}
	if args[0][0] == '/' {
		return args[0]
	}
	return "/" + path.Base(args[0])
}

// command is the program's name as threads carry it: 15 bytes.
func (s *System) command() string {
	name := path.Base(s.executable())
	return name[:min(len(name), 15)]
}

func cmdlineText(s *System) string { return terminated(s.env.args()) }

func environText(s *System) string { return terminated(s.env.environ()) }

func terminated(list []string) string {
	var b strings.Builder
	for _, a := range list {
		b.WriteString(a)
		b.WriteByte(0)
	}
	return b.String()
}

// virtualSize is the size of everything mapped with access.
func (s *System) virtualSize() (bytes uint64) {
	for _, r := range s.env.regions() {
		if r.Prot != hypercall.ProtNone {
			bytes += uint64(r.End - r.Start)
		}
	}
	return bytes
}

// threads is how many threads the runtime has started.
func threads() int {
	n, _ := runtime.ThreadCreateProfile(nil)
	return max(n, 1)
}

// mapsText is /proc/self/maps: the region table, with the program's segments by name.
func mapsText(s *System) string {
	b := s.env.boot()
	exe := s.executable()
	var out []byte
	for _, r := range s.env.regions() {
		start := len(out)
		out = appendHex(out, uint64(r.Start), 8)
		out = append(out, '-')
		out = appendHex(out, uint64(r.End), 8)
		perms := []byte(" ---p ")
		for i, bit := range [...]uint32{hypercall.ProtRead, hypercall.ProtWrite, hypercall.ProtExec} {
			if r.Prot&bit != 0 {
				perms[1+i] = "rwx"[i]
			}
		}
		out = append(out, perms...)
		name, offset := "", uint64(0)
		switch {
		case r.Start >= b.ImageStart && r.End <= b.ImageEnd:
			name, offset = exe, uint64(r.Start-b.ImageStart)
		case r.End == hypercall.StackTop:
			name = "[stack]"
		}
		out = appendHex(out, offset, 8)
		if name == exe {
			out = append(out, " 00:12 1"...)
		} else {
			out = append(out, " 00:00 0"...)
		}
		if name != "" {
			for len(out)-start < 73 {
				out = append(out, ' ')
			}
			out = append(out, name...)
		}
		out = append(out, '\n')
	}
	return string(out)
}

// appendHex appends n with at least so many digits.
func appendHex(b []byte, n uint64, digits int) []byte {
	s := strconv.FormatUint(n, 16)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}

// processStatText is /proc/self/stat: 52 fields.
func processStatText(s *System) string {
	f := make([]string, 52)
	for i := range f {
		f[i] = "0"
	}
	busy := s.gate.Clock(clockProcess) / tick
	f[0], f[1], f[2] = "1", "("+s.command()+")", "R"
	f[4], f[5] = "1", "1" // group, session
	f[7] = "-1"           // no controlling terminal's group
	f[13] = decimal(busy) // user time
	f[17], f[18] = "20", "0"
	f[19] = strconv.Itoa(threads())
	f[21] = "0" // started with the system
	f[22] = strconv.FormatUint(s.virtualSize(), 10)
	f[23] = strconv.FormatUint(s.env.resident()/pageSize, 10)
	f[24] = "18446744073709551615"
	b := s.env.boot()
	f[25], f[26] = strconv.FormatUint(uint64(b.ImageStart), 10), strconv.FormatUint(uint64(b.ImageEnd), 10)
	f[27] = strconv.FormatUint(uint64(hypercall.StackTop), 10)
	f[37] = "17"
	return strings.Join(f, " ") + "\n"
}

// statmText is /proc/self/statm, in pages: size, resident, shared, text, unused, data, unused.
func statmText(s *System) string {
	b := s.env.boot()
	size, resident := s.virtualSize()/pageSize, s.env.resident()/pageSize
	text := uint64(b.ImageEnd-b.ImageStart) / pageSize
	var f []string
	for _, n := range []uint64{size, resident, 0, text, 0, size - min(size, text), 0} {
		f = append(f, strconv.FormatUint(n, 10))
	}
	return strings.Join(f, " ") + "\n"
}

// statusText is /proc/self/status.
func statusText(s *System) string {
	size, resident := s.virtualSize()/1024, s.env.resident()/1024
	kb := func(n uint64) string { return strconv.FormatUint(n, 10) + " kB" }
	const allCaps = "000001ffffffffff"
	var b strings.Builder
	for _, f := range [...][2]string{
		{"Name", s.command()}, {"Umask", "0" + strconv.FormatUint(uint64(atomic.LoadUint32(s.fs().mask)), 8)}, {"State", "R (running)"},
		{"Tgid", "1"}, {"Ngid", "0"}, {"Pid", "1"}, {"PPid", "0"}, {"TracerPid", "0"},
		{"Uid", "0\t0\t0\t0"}, {"Gid", "0\t0\t0\t0"}, {"FDSize", strconv.Itoa(s.descriptorTop())}, {"Groups", ""},
		{"VmPeak", kb(size)}, {"VmSize", kb(size)}, {"VmLck", kb(0)}, {"VmPin", kb(0)}, {"VmHWM", kb(resident)},
		{"VmRSS", kb(resident)}, {"RssAnon", kb(resident)}, {"RssFile", kb(0)}, {"RssShmem", kb(0)}, {"VmData", kb(size)},
		{"VmStk", kb(hypercall.StackSize / 1024)}, {"VmExe", kb(uint64(s.env.boot().ImageEnd-s.env.boot().ImageStart) / 1024)},
		{"VmLib", kb(0)}, {"VmPTE", kb(0)}, {"VmSwap", kb(0)}, {"Threads", strconv.Itoa(threads())},
		{"CapInh", "0000000000000000"}, {"CapPrm", allCaps}, {"CapEff", allCaps}, {"CapBnd", allCaps},
		{"CapAmb", "0000000000000000"}, {"NoNewPrivs", "0"}, {"Seccomp", "0"},
		{"Cpus_allowed", "1"}, {"Cpus_allowed_list", "0"}, {"Mems_allowed", "1"}, {"Mems_allowed_list", "0"},
		{"voluntary_ctxt_switches", "0"}, {"nonvoluntary_ctxt_switches", "0"},
	} {
		b.WriteString(f[0] + ":\t" + f[1] + "\n")
	}
	return b.String()
}

// limitNames are the resource limits in the order of their numbers.
var limitNames = [...]struct{ name, unit string }{
	{"Max cpu time", "seconds"}, {"Max file size", "bytes"}, {"Max data size", "bytes"}, {"Max stack size", "bytes"},
	{"Max core file size", "bytes"}, {"Max resident set", "bytes"}, {"Max processes", "processes"},
	{"Max open files", "files"}, {"Max locked memory", "bytes"}, {"Max address space", "bytes"},
	{"Max file locks", "locks"}, {"Max pending signals", "signals"}, {"Max msgqueue size", "bytes"},
	{"Max nice priority", ""}, {"Max realtime priority", ""}, {"Max realtime timeout", "us"},
}

// limitsText is /proc/self/limits.
func limitsText(s *System) string {
	var b strings.Builder
	column := func(text string, width int) {
		b.WriteString(text)
		for range width - len(text) {
			b.WriteByte(' ')
		}
		b.WriteByte(' ')
	}
	value := func(v uint64) string {
		if v == ^uint64(0) {
			return "unlimited"
		}
		return strconv.FormatUint(v, 10)
	}
	line := func(name, soft, hard, unit string) {
		column(name, 25)
		column(soft, 20)
		column(hard, 20)
		column(unit, 10)
		b.WriteByte('\n')
	}
	line("Limit", "Soft Limit", "Hard Limit", "Units")
	for i, l := range limitNames {
		r := s.gate.Limit(i)
		line(l.name, value(r.Cur), value(r.Max), l.unit)
	}
	return b.String()
}

// mountsText is /proc/mounts, in the manner of fstab(5).
func mountsText(s *System) string {
	var b strings.Builder
	for _, m := range *s.fs().mounts.Load() {
		b.WriteString(m.kind + " " + m.path + " " + m.kind + " " + m.access() + ",relatime 0 0\n")
	}
	return b.String()
}

func (m *mount) access() string {
	if m.fs.Statfs().ReadOnly {
		return "ro"
	}
	return "rw"
}

// mountinfoText is /proc/self/mountinfo.
func mountinfoText(s *System) string {
	var b strings.Builder
	for i, m := range *s.fs().mounts.Load() {
		parent := 20
		if i == 0 {
			parent = 1
		}
		major, minor := majorMinor(m.root.Attr().Dev)
		b.WriteString(strconv.Itoa(20+i) + " " + strconv.Itoa(parent) + " " + strconv.Itoa(int(major)) + ":" +
			strconv.Itoa(int(minor)) + " / " + m.path + " " + m.access() + ",relatime - " + m.kind + " " + m.kind + " " +
			m.access() + "\n")
	}
	return b.String()
}
