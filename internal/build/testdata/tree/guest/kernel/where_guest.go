//go:build ukvm && amd64

package kernel

// Where says which variant of this file was taken.
const Where = "guest"
