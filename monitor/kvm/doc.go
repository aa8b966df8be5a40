// Package kvm drives /dev/kvm for one machine with one vCPU: what the monitor needs of the API described in the kernel's
// Documentation/virt/kvm/api.rst, and nothing else. The structures and set-up ioctls that github.com/bobuhiro11/gokvm
// has right come from there; its Run retries EINTR for ever and its run structure ends before the synchronised
// registers, so running a vCPU, kicking it and its registers are here. All ioctls and all code that maps kernel
// structures are in this package.
package kvm
