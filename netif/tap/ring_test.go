package tap

import (
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ukvm.dev/netif/netiftest"
)

// TestQueues: a device without a queueing discipline would tell senders of what its filter drops.
func TestQueues(t *testing.T) {
	ns := netiftest.NewNetNS(t)
	l, err := New(Config{Name: "queues0", NetNSFile: ns})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !l.dev.qdisc || !l.ring.can {
		t.Error("a new device has no queueing discipline, or can have no ring")
	}
	ns.Do(t, func() error {
		if err := netlink.QdiscReplace(&netlink.GenericQdisc{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.dev.index, Parent: netlink.HANDLE_ROOT}, QdiscType: "noqueue",
		}); err != nil {
			return err
		}
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer handle.Close()
		link, err := handle.LinkByName("queues0")
		if err != nil {
			return err
		}
		if got, err := queues(handle, link); got || err != nil {
			t.Errorf("without one: %v, %v", got, err)
		}
		return nil
	})
}
