package monitor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ukvm.dev/hypercall"
	"ukvm.dev/monitor/firewall"
	"ukvm.dev/monitor/guestmem"
	"ukvm.dev/netif"
	"ukvm.dev/netif/pair"
)

func newLink(t testing.TB) netif.Link {
	t.Helper()
	a, b, err := pair.New(pair.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a
}

func TestDefaults(t *testing.T) {
	c := Config{Image: "/some/where/app"}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if c.Memory != 64<<20 || c.Hostname != "ukvm" || c.Dir != "/" || !slices.Equal(c.Args, []string{"app"}) {
		t.Errorf("memory %d, host %q, directory %q, arguments %q", c.Memory, c.Hostname, c.Dir, c.Args)
	}
}

func TestBadConfigs(t *testing.T) {
	link := newLink(t)
	nic := func(n NIC) func(*Config) { return func(c *Config) { c.NICs = append(c.NICs, n) } }
	good := NIC{Link: link, Config: netif.Config{MTU: 1500}}
	for _, c := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"no image", func(c *Config) { c.Image = "" }, "no image"},
		{"little memory", func(c *Config) { c.Memory = MinMemory - guestmem.PageSize }, "too little; a Go program needs at least 8 MiB"},
		{"odd memory", func(c *Config) { c.Memory = MinMemory + 1 }, "multiple of 4 KiB"},
		{"much memory", func(c *Config) { c.Memory = guestmem.MaxSize + guestmem.PageSize }, "at most 1024 GiB"},
		{"all memory", func(c *Config) { c.Memory = ^uint64(0) }, "at most 1024 GiB"},
		{"relative directory", func(c *Config) { c.Dir = "home" }, `"home" is not an absolute path`},
		{"long directory", func(c *Config) { c.Dir = "/" + strings.Repeat("d", 255) }, "less than 256 bytes"},
		{"long host name", func(c *Config) { c.Hostname = strings.Repeat("h", 64) }, "longer than 63 bytes"},
		{"odd archive", func(c *Config) { c.Files = make([]byte, 513) }, "no cpio archive"},
		{"zero byte in an argument", func(c *Config) { c.Args = []string{"a", "b\x00c"} }, `"b\x00c" contains a zero byte`},
		{"zero byte in the environment", func(c *Config) { c.Env = []string{"A=\x00"} }, "zero byte"},
		{"zero byte in the host name", func(c *Config) { c.Hostname = "a\x00" }, "zero byte"},
		{"zero byte in the directory", func(c *Config) { c.Dir = "/\x00" }, "zero byte"},
		{"rules about a card that is not there", func(c *Config) {
			c.NICs = append(c.NICs, good)
			c.Firewall, _ = firewall.Parse("x", "chain input {\niif eth0, eth1 drop\n}")
		}, `x:2: there is no network card "eth1"`},
		{"card without link", nic(NIC{Config: netif.Config{MTU: 1500}}), `"eth0" has no link`},
		{"small MTU", nic(NIC{Link: link, Config: netif.Config{MTU: 575}}), "MTU of 575; it must be 576 to 65535"},
		{"large MTU", nic(NIC{Link: link, Config: netif.Config{MTU: 65536}}), "MTU of 65536"},
		{"long card name", nic(NIC{Name: strings.Repeat("n", 32), Link: link, Config: netif.Config{MTU: 1500}}), "too long a name"},
		{"IPv6 address", nic(NIC{Link: link, Config: netif.Config{MTU: 1500, Addr: netip.MustParsePrefix("fd00::1/64")}}), "not an IPv4 address"},
		{"one name twice", func(c *Config) {
			nic(good)(c)
			nic(NIC{Name: "eth0", Link: link, Config: good.Config})(c)
		}, `two network cards are called "eth0"`},
		{"17 cards", func(c *Config) {
			for range hypercall.MaxDevices + 1 {
				nic(good)(c)
			}
		}, "17 network cards and 0 shared directories; there can be 16"},
	} {
		config := Config{Image: "app"}
		c.change(&config)
		err := config.check()
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want one about %q", c.name, err, c.says)
		}
	}
}

// TestLimits checks that what is just allowed is.
func TestLimits(t *testing.T) {
	link := newLink(t)
	c := Config{
		Image: "app", Memory: MinMemory, Dir: "/" + strings.Repeat("d", 254), Hostname: strings.Repeat("h", 63),
		Args: []string{""}, Env: []string{"", "odd"}, Files: make([]byte, 4),
	}
	for i := range hypercall.MaxDevices {
		c.NICs = append(c.NICs, NIC{Link: link, Config: netif.Config{MTU: 576 + i%2*(65535-576)}})
	}
	c.NICs[3].Name = strings.Repeat("n", 31)
	if err := c.check(); err != nil {
		t.Error(err)
	}
	for i, n := range c.NICs {
		if want := fmt.Sprintf("eth%d", i); i != 3 && n.Name != want {
			t.Errorf("card %d is called %q, want %q", i, n.Name, want)
		}
	}
}

// TestCallersConfig checks that the caller's own slices stay as they are: they may be a template for other VMs.
func TestCallersConfig(t *testing.T) {
	nics := []NIC{{Link: newLink(t), Config: netif.Config{MTU: 1500}}}
	c := Config{Image: "app", NICs: nics}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if nics[0].Name != "" {
		t.Errorf("the caller's card has been given the name %q", nics[0].Name)
	}
}

func TestNetConfig(t *testing.T) {
	ip := netip.MustParseAddr
	got := netConfig(&netif.Config{
		MAC: [6]byte{2, 0, 0, 0, 0, 7}, MTU: 65535, Addr: netip.MustParsePrefix("10.0.0.2/24"), Router: ip("10.0.0.1"),
		DNS:  []netip.Addr{ip("10.0.0.3"), ip("::ffff:10.0.0.4"), ip("10.0.0.5"), ip("10.0.0.6")},
		Host: ip("10.0.0.254"), Search: []string{"a.example", "b.example"},
	}, netif.Features{})
	want := hypercall.NetConfig{
		MAC: [6]byte{2, 0, 0, 0, 0, 7}, MTU: 65535, Addr: [4]byte{10, 0, 0, 2}, Prefix: 24, Router: [4]byte{10, 0, 0, 1},
		DNS: [3][4]byte{{10, 0, 0, 3}, {10, 0, 0, 4}, {10, 0, 0, 5}}, Host: [4]byte{10, 0, 0, 254},
	}
	copy(want.Search[:], "a.example b.example")
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := netConfig(&netif.Config{DHCP: true, MTU: 1500, Router: ip("fd00::1")}, netif.Features{}); got != (hypercall.NetConfig{MTU: 1500, Flags: hypercall.NetDHCP}) {
		t.Errorf("with DHCP: %+v", got)
	}
	six := netConfig(&netif.Config{
		MTU: 1500, IP6: true, Routers: true, Addr6: netip.MustParsePrefix("fd00::2/64"), Router6: ip("fe80::1"),
		DNS: []netip.Addr{ip("fd00::3"), ip("10.0.0.3"), ip("fd00::4"), ip("fd00::5")}, Key: [16]byte{1},
	}, netif.Features{})
	want = hypercall.NetConfig{MTU: 1500, Flags: hypercall.NetIP6 | hypercall.NetRouter, DNS: [3][4]byte{{10, 0, 0, 3}}}
	want.IP6 = hypercall.NetConfig6{
		Addr: ip("fd00::2").As16(), Prefix: 64, Router: ip("fe80::1").As16(),
		DNS: [2][16]byte{ip("fd00::3").As16(), ip("fd00::4").As16()}, Key: [16]byte{1},
	}
	if six != want {
		t.Errorf("with IPv6: %+v\nwant %+v", six, want)
	}
	long := netConfig(&netif.Config{Search: []string{strings.Repeat("s", 200)}}, netif.Features{})
	if long.Search[126] != 's' || long.Search[127] != 0 {
		t.Error("a long search list is not NUL-terminated")
	}
}

// offloader is a link that can do things.
type offloader struct {
	netif.Link
	can, does netif.Features
	err       error
}

func (o *offloader) Features() netif.Features { return o.can }

func (o *offloader) SetFeatures(f netif.Features) error {
	o.does = f
	return o.err
}

// TestAgree: what a link can do is switched on and told to the guest.
func TestAgree(t *testing.T) {
	const most = 14 + 65535
	for _, c := range []struct {
		can, does netif.Features
		flags     uint32
	}{
		{},
		{
			netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: 1 << 20, RxSegment: 9000},
			netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: most, RxSegment: 9000},
			hypercall.NetTxChecksum | hypercall.NetRxChecksum | hypercall.NetTxTCP4 | hypercall.NetRxTCP4,
		},
		{
			netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: most, RxSegment: most, TCP6: true},
			netif.Features{TxChecksum: true, RxChecksum: true, TxSegment: most, RxSegment: most, TCP6: true},
			hypercall.NetTxChecksum | hypercall.NetRxChecksum | hypercall.NetTxTCP4 | hypercall.NetRxTCP4 | hypercall.NetTxTCP6 | hypercall.NetRxTCP6,
		},
		{netif.Features{TxChecksum: true}, netif.Features{TxChecksum: true}, hypercall.NetTxChecksum},
		{netif.Features{RxChecksum: true}, netif.Features{RxChecksum: true}, hypercall.NetRxChecksum},
		{netif.Features{TxSegment: most, RxSegment: most}, netif.Features{}, 0}, // segments need checksums
	} {
		o := &offloader{Link: newLink(t), can: c.can}
		got, err := agree(o)
		n := netConfig(&netif.Config{}, got)
		if err != nil || got != c.does || o.does != c.does || n.Flags != c.flags || int(n.TxSegment) != c.does.TxSegment || int(n.RxSegment) != c.does.RxSegment {
			t.Errorf("%+v: %+v, %v; the link does %+v, the guest is told %+v", c.can, got, err, o.does, n)
		}
	}
	if got, err := agree(struct{ netif.Link }{newLink(t)}); got != (netif.Features{}) || err != nil {
		t.Errorf("a link without offloads: %+v, %v", got, err)
	}
	failure := errors.New("no")
	if _, err := agree(&offloader{Link: newLink(t), err: failure}); !errors.Is(err, failure) {
		t.Errorf("a link that refuses: %v", err)
	}
}
