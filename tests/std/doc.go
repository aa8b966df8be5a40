// Package std has Go's own tests run in guests, with `ukvm test`.
//
// What is left out is in exclude.txt, each test with its reason. Whatever else a package declares must run, and pass or
// skip itself as it does natively: a test that skips itself only in a guest (there is no go command, there is one
// processor) is left out too and belongs into the list, as does one that fails natively on such a machine. An entry that
// matches no test is an error.
//
// Guests have no network but loopback, nor do tests that are run natively, to compare. Where tests want hosts of the
// Internet there is a small one (internet_test.go): a namespace with the hosts that they ask for, which a guest reaches by a
// TAP device, and out of which nothing leads.
package std
