package user

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAdvertisementIsRepeated waits many times as long as a router lives that is not heard of.
func TestAdvertisementIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a advertiser
		last, longest, n := time.Now(), time.Duration(0), 0
		for range 3 { // however often it is asked for
			a.start(func() {
				longest, last = max(longest, time.Since(last)), time.Now()
				n++
			})
		}
		time.Sleep(100 * routerLifetime * time.Second)
		synctest.Wait()
		if n < 200 || n > 300 || longest > routerLifetime/2*time.Second {
			t.Errorf("%d advertisements, at most %v between", n, longest)
		}
		a.close()
		before := n
		a.start(func() { n++ })
		time.Sleep(10 * routerLifetime * time.Second)
		synctest.Wait()
		if n != before {
			t.Error("advertised after the end")
		}
	})
}
