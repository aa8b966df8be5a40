package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukvm.dev/internal/build"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/netif/policy"
)

// healthy is a host on which everything works, with the files of a small /proc.
func healthy() (*Host, map[string]string) {
	files := map[string]string{
		"/proc/cpuinfo":                                 "flags\t\t: fpu svm\n",
		"/proc/meminfo":                                 "MemTotal: 8000000 kB\nMemAvailable:    4000000 kB\n",
		"/proc/sys/vm/overcommit_memory":                "0\n",
		"/proc/sys/net/ipv4/ip_unprivileged_port_start": "80\n",
	}
	return &Host{
		KVM:       func() error { return nil },
		Trial:     func(context.Context) (time.Duration, error) { return 2 * time.Millisecond, nil },
		Toolchain: func(context.Context) (string, string, error) { return "go1.26.8", "/usr/local/go", nil },
		CacheDir:  func() (string, error) { return "/home/ada/.cache/ukvm", nil },
		Writable:  func(string) error { return nil },
		Open:      func(string) error { return nil },
		Mode:      func(string) (uint32, string, error) { return 0o660, "kvm", nil },
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
		Ping:     func() error { return nil },
		Policy:   func() error { return nil },
		Files:    func() (uint64, error) { return 1 << 20, nil },
		NetAdmin: true,
	}, files
}

func TestHealthy(t *testing.T) {
	h, _ := healthy()
	results := Examine(context.Background(), h)
	for _, r := range results {
		if r.Status != OK || r.Fix != "" || r.Text == "" {
			t.Errorf("%+v", r)
		}
	}
	if len(results) != 10 || Failed(results) {
		t.Errorf("%d results, failed: %v", len(results), Failed(results))
	}
}

// unsupported is an error of package build.
type unsupported struct{ error }

func (unsupported) Is(target error) bool { return target == build.ErrUnsupported }

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h *Host, files map[string]string)
		check  string
		status Status
		fix    string
	}{
		{"no device, AMD", func(h *Host, _ map[string]string) {
			h.KVM = func() error { return fmt.Errorf("%w: x", kvm.ErrMissing) }
		}, "kvm", Fail, "sudo modprobe kvm_amd"},
		{"no device, Intel", func(h *Host, files map[string]string) {
			h.KVM = func() error { return kvm.ErrMissing }
			files["/proc/cpuinfo"] = "flags : vmx"
		}, "kvm", Fail, "sudo modprobe kvm_intel"},
		{"no virtualization", func(h *Host, files map[string]string) {
			h.KVM = func() error { return kvm.ErrMissing }
			files["/proc/cpuinfo"] = "flags : fpu"
		}, "kvm", Fail, "firmware"},
		{"container", func(h *Host, files map[string]string) {
			h.KVM = func() error { return kvm.ErrMissing }
			files["/.dockerenv"] = ""
		}, "kvm", Fail, "--device /dev/kvm"},
		{"not in the group", func(h *Host, _ map[string]string) {
			h.KVM = func() error { return kvm.ErrPermission }
		}, "kvm", Fail, "sudo usermod -aG kvm $USER"},
		{"no group to be in", func(h *Host, _ map[string]string) {
			h.KVM = func() error { return kvm.ErrPermission }
			h.Mode = func(string) (uint32, string, error) { return 0o600, "root", nil }
		}, "kvm", Fail, "sudo chmod 666 /dev/kvm"},
		{"old kernel", func(h *Host, _ map[string]string) {
			h.KVM = func() error { return fmt.Errorf("%w: KVM_CAP_SYNC_REGS", kvm.ErrUnfit) }
		}, "kvm", Fail, "newer Linux"},
		{"busy", func(h *Host, _ map[string]string) {
			h.KVM = func() error { return errors.New("open /dev/kvm: device or resource busy") }
		}, "kvm", Fail, "dmesg"},
		{"no guest", func(h *Host, _ map[string]string) {
			h.Trial = func(context.Context) (time.Duration, error) { return 0, errors.New("triple fault") }
		}, "guest", Fail, "dmesg"},
		{"no go", func(h *Host, _ map[string]string) {
			h.Toolchain = func(context.Context) (string, string, error) { return "", "", errors.New("no go in PATH\nsecond line") }
		}, "go", Warn, "install Go 1.25"},
		{"old go", func(h *Host, _ map[string]string) {
			h.Toolchain = func(context.Context) (string, string, error) { return "", "", unsupported{errors.New("too old")} }
		}, "go", Warn, "GOTOOLCHAIN=go1.25.0+auto"},
		{"no cache", func(h *Host, _ map[string]string) {
			h.CacheDir = func() (string, error) { return "", errors.New("set HOME") }
		}, "cache", Warn, "UKVM_CACHE"},
		{"cache not writable", func(h *Host, _ map[string]string) {
			h.Writable = func(string) error { return fs.ErrPermission }
		}, "cache", Warn, "UKVM_CACHE"},
		{"no tun", func(h *Host, _ map[string]string) {
			h.Open = func(string) error { return fs.ErrNotExist }
		}, "tap", Warn, "modprobe tun"},
		{"tun forbidden", func(h *Host, _ map[string]string) {
			h.Open = func(string) error { return fs.ErrPermission }
		}, "tap", Warn, "chmod 666 /dev/net/tun"},
		{"not admin", func(h *Host, _ map[string]string) { h.NetAdmin = false }, "tap", Warn, "ip tuntap add"},
		{"no TCX", func(h *Host, _ map[string]string) {
			h.Policy = func() error { return fmt.Errorf("%w: x", policy.ErrUnsupported) }
		}, "policy", Warn, "6.6"},
		{"no CAP_BPF", func(h *Host, _ map[string]string) {
			h.Policy = func() error { return fmt.Errorf("query: %w", syscall.EPERM) }
		}, "policy", Warn, "as root"},
		{"broken BPF", func(h *Host, _ map[string]string) {
			h.Policy = func() error { return errors.New("query: no space") }
		}, "policy", Warn, "dmesg"},
		{"no ping", func(h *Host, _ map[string]string) {
			h.Ping = func() error { return fmt.Errorf("make ICMP socket: %w", syscall.EACCES) }
		}, "ping", Warn, "ping_group_range"},
		{"low ports", func(h *Host, files map[string]string) {
			delete(files, "/proc/sys/net/ipv4/ip_unprivileged_port_start")
		}, "ports", Warn, "ip_unprivileged_port_start=80"},
		{"little memory", func(h *Host, files map[string]string) {
			files["/proc/meminfo"] = "MemAvailable: 100000 kB"
		}, "memory", Warn, "-m"},
		{"no overcommit", func(h *Host, files map[string]string) {
			files["/proc/sys/vm/overcommit_memory"] = "2\n"
		}, "memory", Warn, "vm.overcommit_memory=0"},
		{"no proc", func(h *Host, files map[string]string) { delete(files, "/proc/meminfo") }, "memory", Warn, "mount"},
		{"few files", func(h *Host, _ map[string]string) {
			h.Files = func() (uint64, error) { return 256, nil }
		}, "files", Warn, "ulimit"},
	} {
		h, files := healthy()
		c.change(h, files)
		results := Examine(context.Background(), h)
		if Failed(results) != (c.status == Fail) {
			t.Errorf("%s: failed: %v", c.name, Failed(results))
		}
		for _, r := range results {
			switch {
			case strings.Contains(r.Text+r.Fix, "\n"):
				t.Errorf("%s: more than a line: %+v", c.name, r)
			case r.Check == c.check && (r.Status != c.status || !strings.Contains(r.Fix, c.fix)):
				t.Errorf("%s: %+v, want %s and %q", c.name, r, c.status, c.fix)
			case r.Check != c.check && r.Status != OK:
				t.Errorf("%s: %+v too", c.name, r)
			}
		}
	}
}

func TestHere(t *testing.T) {
	h := Here()
	dir := t.TempDir()
	if err := h.Writable(dir + "/new/one"); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir + "/new/one"); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := h.Writable("/proc/none"); err == nil {
		t.Error("/proc can be written to")
	}
	if bits, group, err := h.Mode("/"); err != nil || bits == 0 || group == "" {
		t.Errorf("mode of /: %o, %q, %v", bits, group, err)
	}
	if err := h.Open("/dev/null"); err != nil {
		t.Error(err)
	}
	if n, err := h.Files(); n == 0 || err != nil {
		t.Errorf("%d files, %v", n, err)
	}
}

// TestTrial runs the trial guest, where there is a KVM.
func TestTrial(t *testing.T) {
	if err := openKVM(); err != nil && os.Getenv("UKVM_REQUIRE_KVM") != "1" {
		t.Skip(err)
	}
	if took, err := Trial(context.Background()); err != nil || took <= 0 {
		t.Errorf("took %v: %v", took, err)
	}
}
