// Package deep is imported by package posix.
package deep

// Name is not "ukvm.dev/guest/posix", though it says so.
const Name = ` ukvm.dev/guest/posix`
