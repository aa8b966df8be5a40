package build

import (
	"errors"
	"go/version"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// What is special about PATH@VERSION: the go command builds it by `go install`, outside of all modules, and may want
// another toolchain for it, or a network that is not there.

// versioned reports whether the package is PATH@VERSION.
func (b *builder) versioned() bool {
	return slices.ContainsFunc(b.packages, func(p string) bool { return !isLocal(p) && strings.Contains(p, "@") })
}

// emptyModule makes a module with nothing in it, in which the go command finds a toolchain not older than minGo, or says
// why not.
func (b *builder) emptyModule(name, minGo string) (dir string, err error) {
	v := strings.TrimPrefix(minGo, "go")
	if version.Lang(minGo) == minGo {
		v += ".0" // the first release: the language version alone names none
	}
	dir = filepath.Join(b.work, name)
	return dir, writeFiles(dir, map[string]string{"go.mod": "module ukvm.invalid/" + name + "\n\ngo " + v + "\n"})
}

// wanted is the Go version that PATH@VERSION asks for if that is why the build failed, else "".
func (b *builder) wanted(err error) string {
	var failed *CommandError
	if b.versioned() && errors.As(err, &failed) {
		if m := requires().FindStringSubmatch(failed.Output); m != nil {
			return "go" + m[1]
		}
	}
	return ""
}

var requires = pattern(`requires go >= ([\w.]+) \(running go [\w.]+; GOTOOLCHAIN=local\)`)

// unreachable reports whether PATH@VERSION failed for want of a network. The go command looks for later and deprecated
// versions even when it has the one asked for.
func (b *builder) unreachable(err error) bool {
	var failed *CommandError
	return b.versioned() && errors.As(err, &failed) && noNetwork().MatchString(failed.Output)
}

var noNetwork = pattern(strings.Join([]string{
	"GOPROXY=off", "dial tcp", "no such host", "connection refused", "network is unreachable", "i/o timeout",
	"TLS handshake timeout", "server misbehaving",
}, "|"))

// unserved reports whether PATH@VERSION failed because a proxy that is a directory does not have it.
func (b *builder) unserved(err error) bool {
	var failed *CommandError
	return errors.As(err, &failed) && strings.Contains(failed.Output, ": reading file://")
}

// cacheAsProxy makes the module cache the module proxy, which its download directory is laid out as.
func (b *builder) cacheAsProxy() string {
	dir := filepath.Join(b.toolchain.settings.GOMODCACHE, "cache", "download")
	return "GOPROXY=" + (&url.URL{Scheme: "file", Path: dir}).String()
}

// noSuchVersion is what the go command says of PATH@VERSION if it is the path or version that does not exist.
var noSuchVersion = pattern(`(?m)^go: .*(` + strings.Join([]string{
	"not found", "unknown revision", "does not contain package", "no matching versions", "malformed module path",
	"cannot find module", "404 Not Found", "410 Gone", "is not in std", "reading file://.*no such file",
}, "|") + `)`)
