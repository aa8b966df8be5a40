package posix

import (
	"strconv"
	"syscall"

	"ukvm.dev/guest/posix/vnode"
)

// procInfo describes a file of /proc.
type procInfo struct {
	path  string
	show  func(s *System) string
	store func(s *System, text string) syscall.Errno // nil: read-only
	mode  uint32                                     // 0: as store says
}

func (f procInfo) permissions() uint32 {
	switch {
	case f.mode != 0:
		return f.mode
	case f.store != nil:
		return 0o644
	}
	return 0o444
}

// procFiles are the files with generated contents. (A function, so that programs that never look do not pay for it at
// their start; likewise procLinks.)
func procFiles() []procInfo {
	return append(append([]procInfo{
		{path: "cmdline", show: fixed("ukvm\n")},
		{path: "cpuinfo", show: cpuinfoText},
		{path: "filesystems", show: fixed("nodev\tproc\nnodev\ttmpfs\n")},
		{path: "loadavg", show: fixed("0.00 0.00 0.00 1/1 1\n")},
		{path: "meminfo", show: meminfoText},
		{path: "stat", show: systemStatText},
		{path: "uptime", show: uptimeText},
		{path: "version", show: fixed(osType + " version " + osRelease + " (ukvm) (go) " + osVersion + "\n")},

		{path: "sys/kernel/hostname", show: func(s *System) string { return s.hostname() + "\n" }, store: storeHostname},
		{path: "sys/kernel/domainname", show: fixed("(none)\n")},
		{path: "sys/kernel/osrelease", show: fixed(osRelease + "\n")},
		{path: "sys/kernel/ostype", show: fixed(osType + "\n")},
		{path: "sys/kernel/version", show: fixed(osVersion + "\n")},
		{path: "sys/kernel/pid_max", show: fixed("4194304\n")},
		{path: "sys/kernel/threads-max", show: fixed("1024\n")},
		{path: "sys/kernel/cap_last_cap", show: fixed("40\n")},
		{path: "sys/kernel/ngroups_max", show: fixed("65536\n")},
		{path: "sys/kernel/random/boot_id", show: bootIDText},
		{path: "sys/kernel/random/uuid", show: func(s *System) string { return s.uuid() + "\n" }},
		{path: "sys/kernel/random/entropy_avail", show: fixed("256\n")},
		{path: "sys/kernel/random/poolsize", show: fixed("256\n")},
		setting("sys/net/core/somaxconn", strconv.Itoa(somaxconn)),
		setting("sys/net/core/rmem_max", strconv.Itoa(unixSendLimit)),
		setting("sys/net/core/wmem_max", strconv.Itoa(unixSendLimit)),
		setting("sys/net/ipv4/ip_local_port_range", "32768\t60999"),
		{path: "sys/net/ipv4/tcp_ecn", show: ecnText, store: storeECN},
		setting("sys/vm/overcommit_memory", "1"),
		setting("sys/vm/max_map_count", "8000"),
		setting("sys/vm/swappiness", "0"),
		{path: "sys/fs/file-max", show: fixed(strconv.Itoa(maxDescriptors) + "\n")},
		{path: "sys/fs/nr_open", show: fixed(strconv.Itoa(maxDescriptors) + "\n")},
		{path: "sys/fs/pipe-max-size", show: fixed(strconv.Itoa(pipeMaxSize) + "\n")},
	}, processFiles("1/")...), processFiles("1/task/1/")...)
}

// processFiles are the files of a process or thread, of which there is one.
func processFiles(base string) []procInfo {
	files := []procInfo{
		{path: "auxv", show: fixed("")},
		{path: "cgroup", show: fixed("0::/\n")},
		{path: "cmdline", show: cmdlineText},
		{path: "comm", show: func(s *System) string { return s.command() + "\n" }},
		{path: "environ", show: environText, mode: 0o400},
		{path: "io", show: fixed("rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"), mode: 0o400},
		{path: "limits", show: limitsText},
		{path: "maps", show: mapsText},
		{path: "mountinfo", show: mountinfoText},
		{path: "mounts", show: mountsText},
		{path: "net/dev", show: netDevText},
		{path: "net/if_inet6", show: ifInet6Text},
		{path: "net/igmp", show: igmpText},
		{path: "net/igmp6", show: igmp6Text},
		{path: "net/ipv6_route", show: route6Text},
		{path: "net/netstat", show: netstatText},
		{path: "net/route", show: route4Text},
		setting("oom_score_adj", "0"),
		{path: "oom_score", show: fixed("0\n")},
		{path: "schedstat", show: func(s *System) string { return decimal(s.gate.Clock(clockProcess)) + " 0 0\n" }},
		{path: "stat", show: processStatText},
		{path: "statm", show: statmText},
		{path: "status", show: statusText},
	}
	for i := range files {
		files[i].path = base + files[i].path
	}
	return files
}

// fixed is a text that never changes.
func fixed(text string) func(*System) string { return func(*System) string { return text } }

// setting is a file that keeps what is written to it, without effect.
func setting(path, value string) procInfo {
	return procInfo{
		path: path,
		show: func(s *System) string {
			s.proc.mu.Lock()
			defer s.proc.mu.Unlock()
			if v, ok := s.proc.settings[path]; ok {
				return v + "\n"
			}
			return value + "\n"
		},
		store: func(s *System, text string) syscall.Errno {
			s.proc.mu.Lock()
			defer s.proc.mu.Unlock()
			if s.proc.settings == nil {
				s.proc.settings = make(map[string]string)
			}
			s.proc.settings[path] = text
			return 0
		},
	}
}

// procLinkInfo is a symbolic link. One with jump leads to a node; its text is only shown.
type procLinkInfo struct {
	path   string
	target func(s *System) string
	jump   func(s *System) (vnode.Node, syscall.Errno)
}

func procLinks() []procLinkInfo {
	return []procLinkInfo{
		{"self", fixed("1"), nil},
		{"thread-self", fixed("1/task/1"), nil},
		{"mounts", fixed("self/mounts"), nil},
		{"net", fixed("self/net"), nil},
		{"1/exe", (*System).executable, nil},
		{"1/cwd", cwdText, func(s *System) (vnode.Node, syscall.Errno) { return s.fs().workDir(), 0 }},
		{"1/root", fixed("/"), func(s *System) (vnode.Node, syscall.Errno) { return s.fs().root, 0 }},
	}
}

func cwdText(s *System) string {
	path, errno := s.fs().pathOf(s.tree.workDir())
	if errno != 0 {
		return "/ (deleted)"
	}
	return path
}

func storeHostname(s *System, text string) syscall.Errno {
	if len(text) > hostNameMax {
		return syscall.EINVAL
	}
	s.mu.Lock()
	s.hostLocked().name = text
	s.mu.Unlock()
	return 0
}

// uuid makes a random UUID (RFC 9562 §5.4).
func (s *System) uuid() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 16)
	s.gate.Random(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := make([]byte, 0, 36)
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, digits[c>>4], digits[c&15])
	}
	return string(text)
}

func bootIDText(s *System) string {
	s.proc.mu.Lock()
	defer s.proc.mu.Unlock()
	if s.proc.bootID == "" {
		s.proc.bootID = s.uuid()
	}
	return s.proc.bootID + "\n"
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
