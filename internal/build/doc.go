// Package build makes images: it links the guest operating system into ordinary Go programs, by running the stock go
// command on a derived GOROOT.
//
// # The derived GOROOT
//
// It is the user's GOROOT with src copied, patched and extended, and everything else (bin, pkg, lib, src/cmd, …) reached
// by symbolic links. It is made once for each combination of Go toolchain and ukvm, in the user's cache directory, checked
// at each use and made anew if it is damaged. Nothing of Go's source is stored in this repository: patches find
// their places by pattern, and a layout they do not know stops the build with a [LayoutError].
//
// The patches, all of them:
//
//   - Every SYSCALL instruction of package runtime, internal/runtime/syscall and package syscall becomes a jump to the guest
//     kernel's gate if runtime·ukvmgateptr is set, with SYSCALL's own contract, and stays a SYSCALL otherwise, so that
//     the image also runs as a Linux program (sites.go).
//   - The ELF entry point carries the image header of package hypercall (entry.go).
//   - Packages runtime, os and net import ukvm/kernel, ukvm/posix and ukvm/net; os has a function for ukvm/posix that adds
//     to what runs at a program's end (imports.go).
//   - syscall.Syscall, Syscall6, RawSyscall and RawSyscall6 first offer the call to kernel.Hook (hook.go), and
//     internal/syscall/unix.Fcntl is made with one of them (fcntl.go).
//   - runtime.gopanic calls kernel.AtPanic when nobody has recovered (atpanic.go).
//
// The operating system's own packages are copied from ukvm.dev/guest to src/ukvm with their import paths rewritten and the
// build tag ukvm resolved (guest.go, constraint.go).
//
// # Builds
//
// The user's toolchain is resolved first, as the go command itself does it (GOTOOLCHAIN, go.mod, go.work), and pinned by
// GOTOOLCHAIN=local: a silent switch to another one would lose the operating system. Flags pass through; -trimpath, the
// tag ukvm and CGO_ENABLED=0 are added.
//
// # The cache
//
//	goroot/NAME        a derived GOROOT; ukvm.manifest in it is written last and touched at each use
//	goroot/NAME.lock   held shared while NAME is in use, exclusively while it is made, mended or removed
//	image/KEY/         images built for `ukvm run`, at stable paths, so that the go command can skip the link
//	tmp/               work directories of builds that are running
//
// What has not been used for 30 days is removed. Any number of processes may use one cache at once.
package build
