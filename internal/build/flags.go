package build

import (
	"path/filepath"
	"slices"
	"strings"
)

// SplitFlags takes the flags of `go build` out of a command line and leaves the rest to other flags of the command. It stops
// at "--". Flags of one letter are not among them, as commands have such flags of their own.
func SplitFlags(args []string) (flags, rest []string) {
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return flags, append(rest, args[i:]...)
		}
		name, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[i], "-"), "-"), "=")
		if args[i] == name || !isBuildFlag(name) {
			rest = append(rest, args[i])
			continue
		}
		flags = append(flags, args[i])
		if !ok && takesValue(name) && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	return flags, rest
}

// isBuildFlag reports whether SplitFlags takes a flag.
func isBuildFlag(name string) bool {
	switch name {
	case "asan", "asmflags", "buildmode", "buildvcs", "compiler", "cover", "covermode", "coverpkg", "gccgoflags", "gcflags",
		"installsuffix", "json", "ldflags", "linkshared", "mod", "modcacherw", "modfile", "msan", "overlay", "pgo", "pkgdir",
		"race", "tags", "toolexec", "trimpath", "work":
		return true
	}
	return false
}

// A goFlag is one flag of a go command line. raw is what was not understood: a package, a value, a flag of a test.
type goFlag struct {
	name, value string
	hasValue    bool
	raw         string
}

// takesValue reports whether a flag of go build or go test takes a value, which may then be the next argument.
func takesValue(name string) bool {
	switch strings.TrimPrefix(name, "test.") {
	case "C", "o", "p", "asmflags", "buildmode", "compiler", "covermode", "coverpkg", "debug-actiongraph",
		"debug-runtime-trace", "debug-trace", "gccgoflags", "gcflags", "installsuffix", "ldflags", "mod", "modfile",
		"overlay", "pgo", "pkgdir", "tags", "toolexec",
		"bench", "benchtime", "blockprofile", "blockprofilerate", "count", "coverprofile", "cpu", "cpuprofile",
		"exec", "fuzz", "fuzzminimizetime", "fuzztime", "list", "memprofile", "memprofilerate", "mutexprofile",
		"mutexprofilefraction", "outputdir", "parallel", "run", "shuffle", "skip", "timeout", "trace", "vet":
		return true
	}
	return false
}

// parseFlags splits a go command line. What follows -args or -- is the program's and stays raw.
func parseFlags(args []string) []goFlag {
	var flags []goFlag
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "-args" || arg == "--args" || arg == "--" {
			for _, rest := range args[i:] {
				flags = append(flags, goFlag{raw: rest})
			}
			break
		}
		name, value, ok := strings.Cut(arg, "=")
		name = strings.TrimPrefix(strings.TrimPrefix(name, "-"), "-")
		switch {
		case len(arg) < 2 || arg[0] != '-':
			flags = append(flags, goFlag{raw: arg})
		case !ok && takesValue(name) && i+1 < len(args):
			i++
			flags = append(flags, goFlag{name: name, value: args[i], hasValue: true})
		default:
			flags = append(flags, goFlag{name: name, value: value, hasValue: ok})
		}
	}
	return flags
}

// String is the flag as one argument.
func (f goFlag) String() string {
	switch {
	case f.name == "":
		return f.raw
	case f.hasValue:
		return "-" + f.name + "=" + f.value
	}
	return "-" + f.name
}

func flagStrings(flags []goFlag) []string {
	var args []string
	for _, f := range flags {
		args = append(args, f.String())
	}
	return args
}

// last returns the value of the last flag of that name, as the go command does, and "true" for a flag without value.
func last(flags []goFlag, name string) (value string, ok bool) {
	for _, f := range slices.Backward(flags) {
		if f.name == name {
			if !f.hasValue {
				return "true", true
			}
			return f.value, true
		}
	}
	return "", false
}

// without returns flags without those of the given names.
func without(flags []goFlag, names ...string) []goFlag {
	return slices.DeleteFunc(slices.Clone(flags), func(f goFlag) bool {
		return f.name != "" && slices.Contains(names, f.name)
	})
}

// mergeTags returns the value of -tags for a build with these flags (those of GOFLAGS first): the user's tags and ours.
// The last -tags wins, so it has to hold all of them.
func mergeTags(flags []goFlag) string {
	value, _ := last(flags, "tags")
	var tags []string
	split := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", '\"", r) }) // "a b" is the old form
	for _, tag := range append(split, guestTag) {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return strings.Join(tags, ",")
}

// refuse returns an error of one sentence for flags that guests cannot follow.
func refuse(flags []goFlag) error {
	for _, name := range [...]string{"race", "msan", "asan"} {
		if v, ok := last(flags, name); ok && v != "false" && v != "0" {
			return unsupported("-%s needs cgo, which guests do not have; test with it natively, without ukvm", name)
		}
	}
	if v, ok := last(flags, "linkshared"); ok && v != "false" && v != "0" {
		return unsupported("-linkshared needs shared libraries, which guests do not have")
	}
	if v, ok := last(flags, "buildmode"); ok && v != "exe" && v != "default" {
		return unsupported("-buildmode=%s is not possible: an image is an ordinary executable (-buildmode=exe)", v)
	}
	if v, ok := last(flags, "compiler"); ok && v != "gc" {
		return unsupported("-compiler=%s is not possible: the guest system is made for gc", v)
	}
	if v, ok := last(flags, "n"); ok && v != "false" && v != "0" {
		return unsupported("-n builds nothing, so there would be no image")
	}
	return nil
}

// absoluteFiles makes the file names in flags absolute, for a go command that runs in another directory than dir.
func absoluteFiles(flags []goFlag, dir string) []goFlag {
	flags = slices.Clone(flags)
	for i, f := range flags {
		switch f.name {
		case "modfile", "overlay", "pkgdir", "pgo":
			keep := f.name == "pgo" && (f.value == "auto" || f.value == "off")
			if f.hasValue && !keep && !filepath.IsAbs(f.value) {
				flags[i].value = filepath.Join(dir, f.value)
			}
		}
	}
	return flags
}
