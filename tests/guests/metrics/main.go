// Command metrics reads every metric of the runtime after some work. The test expects that those it knows make sense.
package main

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

var sink []byte

func main() {
	for range 1000 {
		sink = make([]byte, 100_000)
	}
	runtime.GC()
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; {
	}
	time.Sleep(200 * time.Millisecond)
	runtime.GC() // CPU classes are brought up to date by collections

	all := metrics.All()
	samples := make([]metrics.Sample, len(all))
	for i := range all {
		samples[i].Name = all[i].Name
	}
	metrics.Read(samples)
	value := map[string]metrics.Value{}
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindBad {
			fmt.Println("bad:", s.Name)
		}
		value[s.Name] = s.Value
	}
	fmt.Println("allocated:", value["/gc/heap/allocs:bytes"].Uint64() >= 100_000_000)
	fmt.Println("procs:", value["/sched/gomaxprocs:threads"].Uint64())
	fmt.Println("goroutines:", value["/sched/goroutines:goroutines"].Uint64() >= 1)
	total, idle := value["/cpu/classes/total:cpu-seconds"].Float64(), value["/cpu/classes/idle:cpu-seconds"].Float64()
	fmt.Println("total time:", total > 0.35)
	fmt.Println("idle time:", idle > 0.15 && idle < total)
	pauses := value["/sched/pauses/total/gc:seconds"].Float64Histogram()
	count := uint64(0)
	for _, n := range pauses.Counts {
		count += n
	}
	fmt.Println("pauses:", count > 0)
}
