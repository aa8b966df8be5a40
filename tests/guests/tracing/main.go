// Command tracing writes an execution trace with a task of its own to standard output. The test reads it with go tool
// trace.
package main

import (
	"context"
	"os"
	"runtime"
	"runtime/trace"
	"sync"
	"time"
)

func main() {
	if err := trace.Start(os.Stdout); err != nil {
		panic(err)
	}
	ctx, task := trace.NewTask(context.Background(), "the task")
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			trace.WithRegion(ctx, "the region", func() {
				time.Sleep(time.Millisecond)
				runtime.GC()
			})
		})
	}
	all.Wait()
	trace.Log(ctx, "category", "the message")
	task.End()
	trace.Stop()
}
