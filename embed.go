// Package ukvm carries the guest operating system as source text, so that the ukvm command can put it into the standard
// library it builds guests with (package internal/build). Programs import ukvm.dev/guest or ukvm.dev/monitor instead.
package ukvm

import "embed"

// Source holds the directories guest and hypercall of this module, tests and host-only files included.
//
//go:embed guest hypercall
var Source embed.FS
