package tap

import (
	"testing"

	"github.com/vishvananda/netlink"

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
	check := func(want bool) {
		t.Helper()
		ns.Do(t, func() error {
			got, err := l.dev.queues()
			if got != want {
				t.Errorf("queues: %v", got)
			}
			return err
		})
	}
	check(true)
	ns.Do(t, func() error {
		return netlink.QdiscReplace(&netlink.GenericQdisc{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.dev.index, Parent: netlink.HANDLE_ROOT}, QdiscType: "noqueue",
		})
	})
	check(false)
}
