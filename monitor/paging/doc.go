// Package paging builds and edits a guest's page tables (AMD APM vol. 2 §5.3, Intel SDM vol. 3 §4.5: four levels, 4 KiB
// and 2 MiB pages) and its descriptor tables, as data in guest memory. Tables lie in frames that no guest mapping reaches, and
// count as guest memory.
//
//	bits of a virtual address   47..39   38..30   29..21   20..12   11..0
//	                            level 4  level 3  level 2  level 1  offset
//
// An entry of level 1 that is not present but has the Parked bit keeps its frame for a page the guest has made
// inaccessible (PROT_NONE) and may want back.
//
// # What KVM does not see
//
// Where KVM shadows page tables (nested virtualization without two-dimensional paging), it watches the guest's writes to
// them, and there are none: the monitor writes them from outside. KVM notices only that a frame's host mapping changes.
// So:
//
//   - Making an absent page present takes effect at once.
//   - Changing or removing a present entry of level 1 leaves old translations: Unmap's frames must be discarded and
//     Protect's flushed (package guestmem).
//   - Entries of higher levels that lead to a table never change. A table is never freed, because its shadow would
//     live on and be filled from whatever the frame holds next. The guest kernel reuses addresses, so tables do not pile
//     up; a guest that makes them pile up uses its own memory.
//   - A large entry's shadow may be a table of KVM's own, which KVM keeps when only the entry changes. So before the
//     guest runs on, KVM must forget everything (its memory slots are made anew, package kvm) when a block has been split,
//     its protection has changed, or another block or a table has taken its place. That costs the guest a fault for each page
//     it goes on using; hence blocks that are given back stay bound to their address until memory is short.
//
// # Large entries
//
// An entry of level 2 can show a block of 2 MiB by itself. That saves the processor a step of each walk, lets its TLB hold 512
// pages in one place, and costs KVM one fault instead of 512, where the host has a huge page there. The states of such an entry:
//
//	absent --MapLarge--> present --Bind--> bound --Unbind--> absent
//	                     present <--Rebind-- bound
//	                     present <--ProtectLarge--> parked
//	                     present or parked --Split--> a table, for good
package paging
