// Package cli is what the commands of ukvm have in common: how words of a command line become a configuration, errors a
// sentence and an exit code, and signals of the host signals of the guest. Nothing in it ends the process or keeps state of
// its own.
package cli
