package attack

import (
	gnet "ukvm.dev/guest/net"
	"ukvm.dev/guest/net/packet"
	"ukvm.dev/guest/net/tcp"
)

// Bounds of memory that follow from the design: what each part may have, added up. Where a guest or the monitor has more,
// some part has more than it may.

// stackLimits are those of TCP in a guest of so many bytes of memory.
func stackLimits(memory int64) tcp.Limits { return gnet.New(gnet.Config{Memory: memory}).Limits().TCP }

// What net/http and the runtime have of a connection that is being answered, beside what one has that only is there
// (idleMax), in bytes.
const (
	handlerBlock = 4 << 10 // what the guest's program writes again and again
	chunkWriter  = 2 << 10 // net/http's bufferBeforeChunkingSize
	deeperStack  = 8 << 10 // writing goes deeper than waiting for a request: one more doubling of a goroutine's 8 KiB
	secondStack  = 8 << 10 // the goroutine by which net/http notices that a client hangs up

	answering = idleMax + handlerBlock + chunkWriter + deeperStack + secondStack
)

// garbage is how many times the memory in use there may be of it with what is not yet collected: Go collects when there is as
// much garbage as there is in use (https://go.dev/doc/gc-guide: GOGC=100).
const garbage = 2

// slowLive is what may be in use for so many clients that read nothing: the stack's send buffers and what is above them.
//
// A send buffer has at most SendDefault bytes, as the congestion window of a client that reads nothing does not grow; their
// blocks have as much again, since the last may be as large as all that waits (tcp/sendbuffer.go). All of them together
// have at most Memory, a quarter of the guest's, and beyond that each connection one small block, so that none starves.
func slowLive(memory int64, clients int) int64 {
	l := stackLimits(memory)
	buffers := min(clients*2*l.SendDefault, l.Memory+clients*packet.Small)
	return int64(buffers + clients*answering)
}

// slowMost is what a guest may grow by meanwhile: as much as Go's garbage collector lets it, and all the memory there is
// in no case.
func slowMost(memory int64, clients int) int64 { return min(garbage*slowLive(memory, clients), memory) }

// What the monitor's process may have beside the guest's memory, in bytes, more than before an attack. Page tables, rings
// and what waits in them lie in the guest's memory. Frames pass through buffers that are there from the start.
const (
	// Go does not collect before its heap has this size, so what is garbage may be as much (runtime/mgcpacer.go:
	// heapMinimum at GOGC=100).
	monitorGarbage = 4 * megabyte

	// monitor/guestmem's allocator has one bit for each block of each order: for a page 1 + 1/2 + 1/4 + … < 2 bits. They
	// take memory when blocks of that place are first split.
	bitsPerPage = 2
	pageSize    = 4 << 10

	// What /proc/PID/statm says lags behind by what each processor has not yet added to it: 32 pages of each kind of memory,
	// of which there are three (Linux's lib/percpu_counter.c, percpu_counter_batch; include/linux/mm_types_task.h).
	countersLag = 3 * 32 * pageSize
)

// monitorSlack is that for a guest of so many bytes of memory, on so many processors.
func monitorSlack(memory int64, processors int) int64 {
	return monitorGarbage + memory/pageSize*bitsPerPage/8 + int64(max(processors, 1)*countersLag)
}
