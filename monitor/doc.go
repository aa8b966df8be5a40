// Package monitor runs Go programs in hardware virtual machines of their own. A program is an image: an executable that
// `ukvm build` has linked a guest operating system into.
//
//	vm, err := monitor.New(monitor.Config{Image: "./app", Stdout: os.Stdout, Stderr: os.Stderr})
//	if err != nil { … }
//	defer vm.Close()
//	err = vm.Run(ctx) // nil, or an *ExitError
//
// A process can have any number of VMs. The package keeps no global state, starts nothing before Run, leaves no
// goroutine or descriptor behind after Close, never exits the process, and touches neither its signals nor its standard
// streams (threads that are in Run receive SIGURG, which Go's runtime uses the same way).
//
// How it works: the guest runs at CPL 3 only. Its page tables, descriptor tables and exception stubs belong to the
// monitor (package paging). Everything the guest can do to get out is one of: a hypercall (OUT to an open port, package
// hypercall), an exception (whose stub exits), or being interrupted. run.go has the loop; exit.go says what each exit means.
package monitor
