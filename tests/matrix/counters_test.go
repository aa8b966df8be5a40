package matrix

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ukvm.dev/guest/net"
)

// counters are what an implementation counts of its TCP, by the names it has for them.
type counters map[string]uint64

// since writes what has been counted since an earlier reading, in the order of names.
func (c counters) since(earlier counters) string {
	var words []string
	for name, n := range c {
		if n > earlier[name] {
			words = append(words, fmt.Sprintf("%s %d", name, n-earlier[name]))
		}
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func (o *ours) counters() counters {
	c := counters{}
	o.stack.Do(func(b *net.Boxes, _ []*net.Interface) {
		v := reflect.ValueOf(b.TCP.Stats)
		for i := range v.NumField() {
			c[v.Type().Field(i).Name] = v.Field(i).Uint()
		}
	})
	return c
}

// counters are those of /proc/net/netstat and snmp, in which a line of names is followed by one of values.
func (k *kernel) counters() counters {
	c := counters{}
	k.ns.Run(func() error {
		for _, file := range []string{"netstat", "snmp"} {
			b, err := os.ReadFile("/proc/thread-self/net/" + file)
			if err != nil {
				return err
			}
			lines := strings.Split(string(b), "\n")
			for i := 0; i+1 < len(lines); i += 2 {
				if !strings.HasPrefix(lines[i], "Tcp") {
					continue
				}
				values := strings.Fields(lines[i+1])
				for j, name := range strings.Fields(lines[i])[1:] {
					c[name], _ = strconv.ParseUint(values[j+1], 10, 64) // -1: has no value
				}
			}
		}
		return nil
	})
	return c
}

// counters of gVisor's nobody has asked for yet.
func (g *gvisor) counters() counters { return nil }
