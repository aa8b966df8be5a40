// Package hypercall stands in for ukvm.dev/hypercall.
package hypercall

// Answer is used by package kernel.
const Answer = 42
