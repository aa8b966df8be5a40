package monitor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path"
	"slices"
	"strings"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/firewall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/netif"
)

// Config describes a VM. Its zero value with an Image is a VM with 64 MiB and no network.
type Config struct {
	// Image is the path of the program. It is mapped, not copied, and must not be changed while the VM runs.
	Image string

	// Args are the program's arguments; Args[0] is its name. Empty: the base name of Image.
	Args []string

	// Env is the program's environment as NAME=VALUE. GOMEMLIMIT is added from Memory unless it is there.
	Env []string

	// Memory is the size of guest RAM in bytes, a multiple of 4 KiB, and a hard limit: page tables and everything else
	// the guest causes to exist are within it. 0 means DefaultMemory.
	Memory uint64

	// Stdin, Stdout and Stderr are the program's standard streams; nil is /dev/null. Stdin is read once the program
	// reads. A writer that blocks keeps only those waiting in the guest that write.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// NICs are the guest's network cards. The VM uses the links while it runs and does not close them. There can be
	// hypercall.MaxDevices of cards and shares together.
	NICs []NIC

	// Shares are directories of the host's that the guest sees, in the order in which they are put into its tree.
	Shares []Share

	// Firewall is the rules of the guest's packet filter, in force before the first packet; nil lets everything pass.
	Firewall *firewall.Rules

	// Files is a cpio archive (newc) of files for the guest's root, for example made by package archive. It counts
	// against Memory.
	Files []byte

	// Dir is the program's working directory: absolute, in the guest. Empty means "/".
	Dir string

	// Hostname is the guest's host name. Empty means "ukvm".
	Hostname string

	// Machine, if not nil, is used instead of one that New makes. It is New's from then on, also if New fails.
	Machine *Machine

	// Log, if not nil, is told about events worth knowing when something goes wrong.
	Log *slog.Logger

	// Trace, if not nil, is told about exits and calls. It slows the guest down.
	Trace *slog.Logger
}

// NIC is one network card.
type NIC struct {
	Name   string // at most 31 bytes; unique
	Link   netif.Link
	Config netif.Config
}

// Sizes of guest memory in bytes.
const (
	DefaultMemory = 64 << 20
	MinMemory     = 8 << 20
)

// ErrConfig is wrapped by New's errors about what it was asked for.
var ErrConfig = errors.New("bad configuration")

// check fills in defaults and refuses what cannot be.
func (c *Config) check() error {
	if c.Memory == 0 {
		c.Memory = DefaultMemory
	}
	if c.Hostname == "" {
		c.Hostname = "ukvm"
	}
	if c.Dir == "" {
		c.Dir = "/"
	}
	if len(c.Args) == 0 {
		c.Args = []string{path.Base(c.Image)}
	}
	switch {
	case c.Image == "":
		return fmt.Errorf("%w: no image", ErrConfig)
	case c.Memory < MinMemory:
		return fmt.Errorf("%w: %d bytes of memory are too little; a Go program needs at least %d MiB", ErrConfig, c.Memory, MinMemory>>20)
	case c.Memory > guestmem.MaxSize || c.Memory%guestmem.PageSize != 0:
		return fmt.Errorf("%w: memory must be a multiple of 4 KiB, at most %d GiB", ErrConfig, guestmem.MaxSize>>30)
	case !path.IsAbs(c.Dir) || len(c.Dir) >= len(hypercall.Boot{}.WorkDir):
		return fmt.Errorf("%w: working directory %q is not an absolute path of less than %d bytes", ErrConfig, c.Dir, len(hypercall.Boot{}.WorkDir))
	case len(c.Hostname) >= len(hypercall.Boot{}.Hostname):
		return fmt.Errorf("%w: host name %q is longer than %d bytes", ErrConfig, c.Hostname, len(hypercall.Boot{}.Hostname)-1)
	case len(c.NICs)+len(c.Shares) > hypercall.MaxDevices:
		return fmt.Errorf("%w: %d network cards and %d shared directories; there can be %d together", ErrConfig, len(c.NICs), len(c.Shares), hypercall.MaxDevices)
	case len(c.Files)%4 != 0:
		return fmt.Errorf("%w: the archive's size is not a multiple of 4 bytes, so it is no cpio archive", ErrConfig)
	}
	for _, s := range append(append([]string{c.Hostname, c.Dir}, c.Args...), c.Env...) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("%w: %q contains a zero byte", ErrConfig, s)
		}
	}
	c.NICs = slices.Clone(c.NICs) // the caller's is not given names
	if err := checkNICs(c.NICs); err != nil {
		return err
	}
	c.Shares = slices.Clone(c.Shares)
	if err := checkShares(c.Shares); err != nil {
		return err
	}
	return c.checkFirewall()
}

// checkFirewall refuses rules about network cards that are not there: they would never match.
func (c *Config) checkFirewall() error {
	if c.Firewall == nil {
		return nil
	}
	for _, card := range c.Firewall.Cards() {
		if !slices.ContainsFunc(c.NICs, func(n NIC) bool { return n.Name == card.Name }) {
			return fmt.Errorf("%w: %s: there is no network card %q", ErrConfig, card.Where, card.Name)
		}
	}
	return nil
}

func checkNICs(nics []NIC) error {
	names := map[string]bool{}
	for i := range nics {
		n := &nics[i]
		if n.Name == "" {
			n.Name = fmt.Sprintf("eth%d", i)
		}
		switch {
		case len(n.Name) >= len(hypercall.Device{}.Name):
			return fmt.Errorf("%w: network card %q has too long a name", ErrConfig, n.Name)
		case names[n.Name]:
			return fmt.Errorf("%w: two network cards are called %q", ErrConfig, n.Name)
		case n.Link == nil:
			return fmt.Errorf("%w: network card %q has no link", ErrConfig, n.Name)
		case n.Config.MTU < 576 || n.Config.MTU > 65535:
			return fmt.Errorf("%w: network card %q has an MTU of %d; it must be 576 to 65535", ErrConfig, n.Name, n.Config.MTU)
		case n.Config.Addr6.IsValid() && (!n.Config.Addr6.Addr().Is6() || n.Config.Addr6.Addr().Is4In6()):
			return fmt.Errorf("%w: network card %q: %v is not an IPv6 address", ErrConfig, n.Name, n.Config.Addr6)
		case n.Config.IP6 && n.Config.MTU < 1280:
			return fmt.Errorf("%w: network card %q has an MTU of %d; IPv6 needs 1280", ErrConfig, n.Name, n.Config.MTU)
		case n.Config.Addr.IsValid() && !n.Config.Addr.Addr().Is4():
			return fmt.Errorf("%w: network card %q: %v is not an IPv4 address", ErrConfig, n.Name, n.Config.Addr)
		}
		names[n.Name] = true
	}
	return nil
}

// netConfig is a card's configuration as the guest gets it; f is what was agreed with the link.
func netConfig(c *netif.Config, f netif.Features) hypercall.NetConfig {
	n := hypercall.NetConfig{MAC: c.MAC, MTU: uint16(c.MTU), TxSegment: uint32(f.TxSegment), RxSegment: uint32(f.RxSegment)}
	for _, bit := range []struct {
		set bool
		bit uint32
	}{
		{c.DHCP, hypercall.NetDHCP},
		{f.TxChecksum, hypercall.NetTxChecksum}, {f.RxChecksum, hypercall.NetRxChecksum},
		{f.TxSegment > 0, hypercall.NetTxTCP4}, {f.RxSegment > 0, hypercall.NetRxTCP4},
		{f.TCP6 && f.TxSegment > 0, hypercall.NetTxTCP6}, {f.TCP6 && f.RxSegment > 0, hypercall.NetRxTCP6},
	} {
		if bit.set {
			n.Flags |= bit.bit
		}
	}
	if c.Addr.IsValid() {
		n.Addr, n.Prefix = c.Addr.Addr().As4(), uint32(c.Addr.Bits())
	}
	n.Router, n.Host = as4(c.Router), as4(c.Host)
	n4, n6 := 0, 0
	for _, a := range c.DNS {
		switch {
		case a.Unmap().Is4() && n4 < len(n.DNS):
			n.DNS[n4] = a.As4()
			n4++
		case a.Is6() && !a.Is4In6() && c.IP6 && n6 < len(n.IP6.DNS):
			n.IP6.DNS[n6] = a.As16()
			n6++
		}
	}
	if c.IP6 {
		n.Flags |= hypercall.NetIP6
		if c.Routers {
			n.Flags |= hypercall.NetRouter
		}
		if c.Addr6.IsValid() {
			n.IP6.Addr, n.IP6.Prefix = c.Addr6.Addr().As16(), uint32(c.Addr6.Bits())
		}
		if c.Router6.IsValid() {
			n.IP6.Router = c.Router6.As16()
		}
		n.IP6.Key = c.Key
	}
	copy(n.Search[:len(n.Search)-1], strings.Join(c.Search, " "))
	return n
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() || a.Is4In6() {
		return a.As4()
	}
	return [4]byte{}
}
