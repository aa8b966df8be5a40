package policy

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif"
)

// ErrUnsupported means that the kernel has no TCX: Linux has since 6.6.
var ErrUnsupported = errors.New("the kernel cannot check packets of devices (TCX): it takes Linux 6.6 with CONFIG_BPF_SYSCALL")

// A Guard is a policy that is in force on a device. Its methods are safe for concurrent use.
type Guard struct {
	counters, buckets, events *ebpf.Map
	reader                    *ringbuf.Reader

	mu    sync.Mutex
	links []link.Link
}

// eventRoom is the size of the ring buffer in bytes, a power of two of pages.
const eventRoom = 64 << 10

// Attach puts the policy into force on the device with an index in the network namespace of the calling thread. Guest is
// what the guest is told. It takes CAP_BPF and CAP_NET_ADMIN. On error nothing is left.
func (p Policy) Attach(index int, guest netif.Config) (*Guard, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	g := &Guard{}
	if err := g.open(&p, index, guest); err != nil {
		g.Close()
		return nil, attachError(err)
	}
	return g, nil
}

// Supported reports why policies cannot be put into force here, if they cannot.
func Supported() error {
	const loopback = 1 // its index; nothing is done to it
	if _, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress}); err != nil {
		if errors.Is(err, unix.EINVAL) { // a kernel that does not know what is asked for
			err = ErrUnsupported
		}
		return attachError(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: eventRoom})
	if err != nil {
		return attachError(err)
	}
	return m.Close()
}

func attachError(err error) error {
	switch {
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("put the policy into force: needs CAP_BPF and CAP_NET_ADMIN: run as root: %w", err)
	}
	return fmt.Errorf("put the policy into force: %w", err)
}

func (g *Guard) makeMaps() (err error) {
	for _, m := range []struct {
		to   **ebpf.Map
		spec ebpf.MapSpec
	}{
		{&g.counters, ebpf.MapSpec{Name: "ukvm_counters", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: 2 * uint32(reasons)}},
		{&g.buckets, ebpf.MapSpec{Name: "ukvm_buckets", Type: ebpf.Array, KeySize: 4, ValueSize: bucketsSize, MaxEntries: 1}},
		{&g.events, ebpf.MapSpec{Name: "ukvm_events", Type: ebpf.RingBuf, MaxEntries: eventRoom}},
	} {
		if *m.to, err = ebpf.NewMap(&m.spec); err != nil {
			return err
		}
	}
	g.reader, err = ringbuf.NewReader(g.events)
	return err
}

func (g *Guard) open(p *Policy, index int, guest netif.Config) error {
	if err := g.makeMaps(); err != nil {
		return err
	}
	for _, end := range []struct {
		name      string
		fromGuest bool
		attach    ebpf.AttachType
	}{
		{"ukvm_from_guest", true, ebpf.AttachTCXIngress},
		{"ukvm_to_guest", false, ebpf.AttachTCXEgress},
	} {
		prog := program{
			policy: p, guest: guest, fromGuest: end.fromGuest,
			counters: g.counters.FD(), buckets: g.buckets.FD(), events: g.events.FD(),
		}
		if err := g.attach(end.name, prog.assemble(), index, end.attach); err != nil {
			return err
		}
	}
	return nil
}

func (g *Guard) attach(name string, insns asm.Instructions, index int, at ebpf.AttachType) error {
	loaded, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, Instructions: insns, License: "Dual MIT/GPL"})
	if err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	defer loaded.Close() // the link holds it
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: loaded, Attach: at})
	if err != nil {
		return fmt.Errorf("attach %s: %w", name, err)
	}
	g.links = append(g.links, l)
	return nil
}

// Close ends the policy: everything passes again. It ends Next with os.ErrClosed. Close is idempotent.
func (g *Guard) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for _, l := range g.links {
		errs = append(errs, l.Close())
	}
	g.links = nil
	if g.reader != nil {
		errs = append(errs, g.reader.Close())
	}
	for _, m := range []*ebpf.Map{g.counters, g.buckets, g.events} {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

// Next waits for a packet that was dropped. Of many drops only some are told: 32 at once, and ten each second; Counters has
// all. It fails with os.ErrClosed after Close. At most one call runs at a time.
func (g *Guard) Next() (Drop, error) {
	for {
		record, err := g.reader.Read()
		if err != nil {
			if errors.Is(err, ringbuf.ErrClosed) {
				err = os.ErrClosed
			}
			return Drop{}, err
		}
		if d, ok := parseDrop(record.RawSample); ok {
			return d, nil
		}
	}
}

// Count is a number of packets and their bytes.
type Count struct{ Packets, Bytes uint64 }

// Counters are those of a guest since Attach, by reason; that of packets that passed is Passed.
type Counters struct{ FromGuest, ToGuest [reasons]Count }

// Dropped is how many packets did not pass, both ways together.
func (c *Counters) Dropped() (n uint64) {
	for r := Passed + 1; r < reasons; r++ {
		n += c.FromGuest[r].Packets + c.ToGuest[r].Packets
	}
	return n
}

// Counters reads the counters. It fails after Close.
func (g *Guard) Counters() (c Counters, err error) {
	for i := range 2 * reasons {
		var each []Count
		if err := g.counters.Lookup(uint32(i), &each); err != nil {
			return c, fmt.Errorf("read counters of the policy: %w", err)
		}
		to := &c.FromGuest[i%reasons]
		if i >= reasons {
			to = &c.ToGuest[i%reasons]
		}
		for _, one := range each {
			to.Packets += one.Packets
			to.Bytes += one.Bytes
		}
	}
	return c, nil
}
