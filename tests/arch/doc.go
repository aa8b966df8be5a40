// Package arch keeps the rules of the source tree: who may import whom, where unsafe code, assembly and ioctls may be,
// what must be documented, and what the linked guest kernel may take from Go's runtime. It has tests only.
//
// A rule's exceptions stand in its test, each with its reason.
package arch
