package doctor

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ukvm.dev/internal/build"
	"ukvm.dev/monitor/kvm"
	"ukvm.dev/netif/policy"
	"ukvm.dev/netif/user"
)

// Here is the host this runs on.
func Here() *Host {
	caps := capabilities()
	return &Host{
		KVM:   openKVM,
		Trial: Trial,
		Toolchain: func(ctx context.Context) (version, root string, err error) {
			t, err := build.Resolve(ctx, build.Config{})
			return t.Version, t.Root, err
		},
		CacheDir: func() (string, error) { return new(build.Config).CacheDir() },
		Writable: writable,
		Open:     open,
		Mode:     mode,
		Ping:     user.PingAllowed,
		Policy:   policy.Supported,
		ReadFile: os.ReadFile,
		Files: func() (uint64, error) {
			var l unix.Rlimit
			err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
			return l.Max, err
		},
		NetAdmin: caps&(1<<unix.CAP_NET_ADMIN) != 0,
		NetBind:  caps&(1<<unix.CAP_NET_BIND_SERVICE) != 0,
	}
}

func openKVM() error {
	s, err := kvm.Open()
	if err != nil {
		return err
	}
	return s.Close()
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

func open(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func mode(path string) (bits uint32, group string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, "", err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		group = groupName(strconv.Itoa(int(st.Gid)))
	}
	return uint32(info.Mode().Perm()), group, nil
}

// groupName looks a group up in /etc/group (group(5)). Package os/user would make the whole command depend on libc, and
// start slower.
func groupName(id string) string {
	text, _ := os.ReadFile("/etc/group") // without it the number has to do
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && f[2] == id {
			return f[0]
		}
	}
	return id
}

// capabilities are the process's effective ones, of those below 32 (capabilities(7)).
func capabilities() uint32 {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0
	}
	return data[0].Effective
}

// trialTimeout is how long the trial guest may take.
const trialTimeout = 10 * time.Second
