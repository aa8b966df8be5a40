// Package posix is the upper half of the guest operating system: files, pipes, sockets and polling behind Linux's
// system calls, as ordinary Go on ordinary goroutines. Package os imports it in the derived GOROOT; package syscall
// offers it each call (kernel.Hook) before the runtime enters "in a system call", so it may allocate and wait.
//
//	syscall.Syscall ─► hook ─► calls[number] ─► handler(System, args) ─► description ─► object ─┬► vnode: memfs, proc, dev
//	                    │                         sys_… by family        shared by dup         ├► pipe, unix, netlink
//	                    └─ not ours: the gate                                                  └► Family: guest/net
//
// Descriptor numbers belong to package kernel. What the kernel serves itself (console, eventfd, epoll, devices) stays
// there: handlers return toGate for such numbers. Objects of this package have a number there (kernel.Attach) and tell
// their readiness to it (kernel.SetReady), so that epoll, and with it the runtime's poller, sees them.
//
// # User memory
//
// The arguments of a call may point into the calling goroutine's stack, which moves. So:
//
//   - Handlers get pointers as unsafe.Pointer (args.p1 to p6), never as uintptr, and turn them into slices and struct
//     pointers in their own frames only.
//   - No user pointer, or slice or string made of one, is stored on the heap: not in an object, a queue, a closure that
//     escapes, a channel, or an interface value. Arrays of iovec and msghdr are read through typed structs each time.
//   - A call that has to wait parks on a waiter, which is the kernel's, and tries again when it wakes: it copies its
//     own bytes. Nobody copies for it.
//   - Paths and names are copied into Go strings at once.
//
// TestStacks moves stacks under blocked calls to see that this holds.
//
// # Locks
//
// In this order: table.mu; the locks of objects (pipe.mu, unixDomain.mu, a stack's); readiness.mu. description.mu (the
// file position) is taken before an object's. Package kernel's calls never wait and may be made under all of them.
//
// # What is not here
//
// Processes (fork, exec, wait), terminals other than the console's answers, inotify, extended attributes, users other
// than root and permission checks beyond what root sees, asynchronous I/O. The calls concerned return ENOSYS, ENOTTY or
// ENOTSUP as a kernel without them would.
package posix
