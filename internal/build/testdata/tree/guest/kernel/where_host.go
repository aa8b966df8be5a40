//go:build !ukvm

package kernel

// Where says which variant of this file was taken.
const Where = "host"
