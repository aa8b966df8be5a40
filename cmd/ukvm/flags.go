package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"ukvm.dev/internal/archive"
	"ukvm.dev/internal/cli"
	"ukvm.dev/monitor"
	"ukvm.dev/monitor/firewall"
)

// guestFlags are the flags of every command that starts guests.
type guestFlags struct {
	memory            string
	env, envFiles     []string
	copies, volumes   []string
	nets, dns, policy []string
	firewall          string
	hostLoopback      bool
	capture           cli.Capture
	trace, stats, raw bool // raw: --json
	quiet             bool
}

// register is for all commands with a guest. volume is the letter of --volume, which go test has for another flag.
func (g *guestFlags) register(fs *pflag.FlagSet, memory, net, volume string) {
	fs.StringVarP(&g.memory, "memory", "m", memory, "`SIZE` of the guest's memory, a hard limit: 64M, 1G")
	fs.StringArrayVarP(&g.env, "env", "e", nil, "set `NAME=VALUE` in the environment; NAME alone copies the host's value")
	fs.StringArrayVar(&g.envFiles, "env-file", nil, "settings from `FILE`, one NAME=VALUE a line")
	fs.StringArrayVar(&g.copies, "copy", nil, "copy `HOST:GUEST`, a file or directory, into the guest's root")
	fs.StringArrayVarP(&g.volumes, "volume", volume, nil, "let the guest have the directory `HOST:GUEST[:ro]`; :cache=none asks the host about names and attributes each time")
	fs.StringArrayVar(&g.nets, "net", nil, "`NETWORK` of the guest: user, none, or tap=NAME or packet=IFACE with options like ,ip=ADDR/LEN (dhcp, gw, ip6, gw6, mac, mtu, netns) (default "+net+")")
	fs.StringArrayVar(&g.dns, "dns", nil, "`ADDRESS` of a resolver to use instead of the host's")
	fs.StringArrayVar(&g.policy, "policy", nil, "let the kernel check packets on TAP devices by `RULES`: guard, to=PEER[:PORT][/tcp], from=PEER, addr=ADDR, rate=N")
	fs.StringVar(&g.firewall, "firewall", "", "rules from `FILE` about what packets the guest takes and sends")
	fs.BoolVar(&g.hostLoopback, "host-loopback", false, "let the guest reach the host's loopback as host.ukvm.internal")
	fs.BoolVar(&g.stats, "stats", false, "report counters to standard error at the end")
	fs.BoolVarP(&g.quiet, "quiet", "q", false, "say nothing about progress")
}

// registerTrace is for the flags that go test has too, and with another meaning.
func (g *guestFlags) registerTrace(fs *pflag.FlagSet) {
	fs.BoolVar(&g.trace, "trace", false, "report exits and calls to standard error")
	fs.BoolVar(&g.raw, "json", false, "write --trace and --stats as JSON")
}

// registerCapture is for commands that start one guest: a file is that of one.
func (g *guestFlags) registerCapture(fs *pflag.FlagSet) {
	fs.StringVar(&g.capture.File, "pcap", "", "capture the packets of every network into `FILE`, which Wireshark opens")
	fs.IntVar(&g.capture.SnapLen, "pcap-snaplen", 0, "keep only the first `BYTES` of each packet")
	fs.StringVar(&g.capture.Limit, "pcap-limit", "", "end the capture when its file has this `SIZE`")
}

// words are flags that give the same, wherever they are read: file names are absolute.
func (g *guestFlags) words() ([]string, error) {
	words := []string{"-m", g.memory}
	repeat := func(flag string, values []string) {
		for _, v := range values {
			words = append(words, flag, v)
		}
	}
	repeat("-e", g.env)
	repeat("--net", g.nets)
	repeat("--dns", g.dns)
	repeat("--policy", g.policy)
	// named adds a flag whose value begins with a file name, up to end.
	named := func(flag, value string, end int) error {
		path, err := filepath.Abs(value[:end])
		words = append(words, flag, path+value[end:])
		return err
	}
	var errs []error
	for _, file := range g.envFiles {
		errs = append(errs, named("--env-file", file, len(file)))
	}
	if g.firewall != "" {
		errs = append(errs, named("--firewall", g.firewall, len(g.firewall)))
	}
	for _, spec := range g.copies {
		errs = append(errs, named("--copy", spec, max(strings.LastIndexByte(spec, ':'), 0)))
	}
	for _, spec := range g.volumes {
		errs = append(errs, named("--volume", spec, max(strings.IndexByte(spec, ':'), 0)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, b := range []struct {
		flag string
		set  bool
	}{
		{"--host-loopback", g.hostLoopback}, {"--stats", g.stats}, {"-q", g.quiet},
	} {
		if b.set {
			words = append(words, b.flag)
		}
	}
	return words, nil
}

// memorySize is -m in bytes.
func (g *guestFlags) memorySize() (uint64, error) {
	n, err := cli.ParseSize(g.memory)
	if err != nil {
		return 0, cli.Errorf(cli.CodeFailed, "-m %w", err)
	}
	if n < monitor.MinMemory {
		return 0, cli.Errorf(cli.CodeFailed, "-m %s is too small: a Go program needs at least %s", g.memory, cli.FormatSize(monitor.MinMemory))
	}
	return n, nil
}

// config makes of the flags what they say of a guest, checked before anything is built or opened. Files are added to
// files, to be packed later.
func (g *guestFlags) config(words cli.NetWords, files *archive.Builder) (*guest, error) {
	memory, err := g.memorySize()
	if err != nil {
		return nil, err
	}
	env, err := cli.Environ(g.env, g.envFiles, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	words.Nets, words.DNS, words.HostLoopback, words.Policy = g.nets, g.dns, g.hostLoopback, g.policy
	networks, err := words.Parse()
	if err != nil {
		return nil, err
	}
	if err := cli.Copies(files, g.copies); err != nil {
		return nil, err
	}
	var volumes []cli.Volume
	for _, spec := range g.volumes {
		v, err := cli.ParseVolume(spec)
		if err != nil {
			return nil, cli.Errorf(cli.CodeFailed, "%w", err)
		}
		volumes = append(volumes, v)
	}
	var rules *firewall.Rules
	if g.firewall != "" {
		if rules, err = firewall.ReadFile(g.firewall); err != nil {
			return nil, cli.Errorf(cli.CodeFailed, "%w", err)
		}
	}
	if err := g.capture.Check(networks); err != nil {
		return nil, err
	}
	return &guest{
		flags:    g,
		config:   monitor.Config{Memory: memory, Env: env, Firewall: rules},
		networks: networks,
		files:    files,
		volumes:  volumes,
	}, nil
}
