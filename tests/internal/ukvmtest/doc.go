// Package ukvmtest is for tests that use ukvm from outside: it builds the command and images, runs command lines, and
// checks that they leave nothing behind.
//
// A package of such tests has
//
//	func TestMain(m *testing.M) { os.Exit(ukvmtest.Main(m)) }
//
// There are two tiers. `go test ./...` runs a sample of everything; with UKVM_SOAK=1, which tests/soak sets, Soak is true
// and tests run all they have. What a test measures it reports with Figure, so that tests/soak can write it down.
//
// Images are built with the toolchain that UKVM_TEST_TOOLCHAIN names (a value for GOTOOLCHAIN, such as go1.25.5), or
// else with the one at hand.
package ukvmtest
