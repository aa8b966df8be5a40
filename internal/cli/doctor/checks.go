package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"ukvm.dev/internal/build"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/netif/policy"
)

func (h *Host) checkKVM() Result {
	r := Result{Check: "kvm", Status: Fail}
	err := h.KVM()
	switch {
	case err == nil:
		return Result{Check: r.Check, Status: OK, Text: kvm.Device + " can be used"}
	case errors.Is(err, kvm.ErrMissing):
		r.Text, r.Fix = "there is no "+kvm.Device, h.fixMissing()
	case errors.Is(err, kvm.ErrPermission):
		r.Text, r.Fix = "you may not open "+kvm.Device, h.fixPermission()
	case errors.Is(err, kvm.ErrUnfit):
		r.Text, r.Fix = err.Error(), "boot a newer Linux kernel: 5.10 or later has all that is needed"
	default:
		r.Text, r.Fix = err.Error(), "look for the reason with: sudo dmesg | grep -i kvm"
	}
	return r
}

func (h *Host) fixMissing() string {
	if h.exists("/.dockerenv") || h.exists("/run/.containerenv") {
		return "start the container with --device " + kvm.Device
	}
	info, _ := h.ReadFile("/proc/cpuinfo") // unknown is as good as no flags
	for _, word := range strings.Fields(string(info)) {
		switch word {
		case "vmx":
			return "sudo modprobe kvm_intel"
		case "svm":
			return "sudo modprobe kvm_amd"
		}
	}
	return "enable virtualization in the firmware or, in a virtual machine, nested virtualization in its host"
}

func (h *Host) fixPermission() string {
	const groupRW = 0o060
	mode, group, err := h.Mode(kvm.Device)
	if err == nil && mode&groupRW == groupRW && group != "root" {
		return fmt.Sprintf("sudo usermod -aG %s $USER, then log in again", group)
	}
	return "sudo chmod 666 " + kvm.Device
}

func (h *Host) exists(path string) bool {
	_, err := h.ReadFile(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (h *Host) checkGuest(ctx context.Context) Result {
	const check = "guest"
	took, err := h.Trial(ctx)
	if err != nil {
		return Result{check, Fail, "a trial guest does not run: " + err.Error(), "look for the reason with: sudo dmesg | grep -i kvm"}
	}
	return Result{check, OK, fmt.Sprintf("a trial guest started and ended in %v", took.Round(10*time.Microsecond)), ""}
}

func (h *Host) checkGo(ctx context.Context) Result {
	const check = "go"
	version, root, err := h.Toolchain(ctx)
	switch {
	case err == nil:
		return Result{check, OK, fmt.Sprintf("%s in %s", version, root), ""}
	case errors.Is(err, build.ErrUnsupported):
		return Result{check, Warn, err.Error(), "go env -w GOTOOLCHAIN=" + build.MinGo + ".0+auto"}
	}
	return Result{check, Warn, "only images can be run, not packages: " + firstLine(err.Error()),
		"install Go " + strings.TrimPrefix(build.MinGo, "go") + " or later and put it into PATH"}
}

func (h *Host) checkCache() Result {
	const check = "cache"
	dir, err := h.CacheDir()
	if err == nil {
		err = h.Writable(dir)
	}
	if err != nil {
		return Result{check, Warn, "packages cannot be built: " + firstLine(err.Error()), "export UKVM_CACHE=/var/tmp/ukvm-$USER"}
	}
	return Result{check, OK, dir + " can be written", ""}
}

func (h *Host) checkTAP() Result {
	const check = "tap"
	err := h.Open("/dev/net/tun")
	switch {
	case err == nil && h.NetAdmin:
		return Result{check, OK, "--net tap can make devices", ""}
	case err == nil:
		return Result{check, Warn, "--net tap works with a device that root has made for you; --net user needs nothing",
			"sudo ip tuntap add dev tap0 mode tap user $USER"}
	case errors.Is(err, fs.ErrPermission):
		return Result{check, Warn, "--net tap does not work, as you may not open /dev/net/tun; --net user needs nothing", "sudo chmod 666 /dev/net/tun"}
	}
	return Result{check, Warn, "--net tap does not work: " + firstLine(err.Error()) + "; --net user needs nothing", "sudo modprobe tun"}
}

func (h *Host) checkPolicy() Result {
	const check = "policy"
	err := h.Policy()
	switch {
	case err == nil:
		return Result{check, OK, "--policy can have the kernel check packets of --net tap", ""}
	case errors.Is(err, policy.ErrUnsupported):
		return Result{check, Warn, "--policy does not work: the kernel has no TCX", "boot Linux 6.6 or later"}
	case errors.Is(err, fs.ErrPermission):
		return Result{check, Warn, "--policy does not work, as it takes CAP_BPF and CAP_NET_ADMIN", "run ukvm as root where --policy is wanted"}
	}
	return Result{check, Warn, "--policy does not work: " + firstLine(err.Error()), "look for the reason with: sudo dmesg | grep -i bpf"}
}

func (h *Host) checkPing() Result {
	const check = "ping"
	if err := h.Ping(); err != nil {
		return Result{check, Warn, "guests on --net user cannot ping others than their router: " + firstLine(err.Error()),
			`sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"`}
	}
	return Result{check, OK, "guests on --net user can ping", ""}
}

func (h *Host) checkPorts() Result {
	const check = "ports"
	const setting = "net.ipv4.ip_unprivileged_port_start"
	start := 1024
	if b, err := h.ReadFile("/proc/sys/" + strings.ReplaceAll(setting, ".", "/")); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			start = n
		}
	}
	if h.NetBind || start <= 80 {
		return Result{check, OK, "-p can publish every port that is free", ""}
	}
	return Result{check, Warn, fmt.Sprintf("-p cannot publish ports below %d", start), "sudo sysctl -w " + setting + "=80"}
}

// Bounds below which something is said.
const (
	leastMemory = 256 << 20 // bytes that are free
	leastFiles  = 1024      // file descriptors
)

func (h *Host) checkMemory() Result {
	const check = "memory"
	info, err := h.ReadFile("/proc/meminfo")
	free := field(string(info), "MemAvailable:") << 10
	if err != nil || free == 0 {
		return Result{check, Warn, "it is unknown how much memory is free", "mount -t proc proc /proc"}
	}
	if mode, err := h.ReadFile("/proc/sys/vm/overcommit_memory"); err == nil && strings.TrimSpace(string(mode)) == "2" {
		return Result{check, Warn, "memory of guests counts in full before it is used, as overcommit is off", "sudo sysctl -w vm.overcommit_memory=0"}
	}
	if free < leastMemory {
		return Result{check, Warn, fmt.Sprintf("only %d MiB of memory are free", free>>20), "end something, or run guests with a small -m"}
	}
	return Result{check, OK, fmt.Sprintf("%d MiB are free", free>>20), ""}
}

func (h *Host) checkFiles() Result {
	const check = "files"
	limit, err := h.Files()
	if err != nil || limit < leastFiles {
		return Result{check, Warn, fmt.Sprintf("at most %d files can be open, which limits the connections of guests", limit),
			"ulimit -Hn 65536 (as root), or LimitNOFILE=65536 in a systemd unit"}
	}
	return Result{check, OK, fmt.Sprintf("%d files can be open", limit), ""}
}

// field is the number after a name in the text of /proc/meminfo, 0 if there is none.
func field(text, name string) uint64 {
	_, rest, _ := strings.Cut(text, name)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(words[0], 10, 64)
	return n
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
