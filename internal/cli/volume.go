package cli

import (
	"fmt"
	"path"
	"strings"
	"time"

	"ukvm.dev/hostdir"
	"ukvm.dev/monitor"
)

// Volume is a directory of the host's for a guest, as -v names it.
type Volume struct {
	Host, Guest string
	ReadOnly    bool
	Valid       time.Duration // for how long names and attributes are believed
}

// defaultValid is what cache= is otherwise.
const defaultValid = time.Second

// ParseVolume reads HOST:GUEST[:OPTION[,OPTION]], where the options are ro, rw, cache=none and cache=TIME.
func ParseVolume(s string) (v Volume, err error) {
	words := strings.Split(s, ":")
	if len(words) < 2 || len(words) > 3 || words[0] == "" || words[1] == "" {
		return v, fmt.Errorf("-v %s: write HOST:GUEST or HOST:GUEST:ro, two directories", s)
	}
	v = Volume{Host: words[0], Guest: path.Clean(words[1]), Valid: defaultValid}
	if !path.IsAbs(v.Guest) || v.Guest == "/" {
		return v, fmt.Errorf("-v %s: %s is no place in the guest: write an absolute path below /", s, words[1])
	}
	if len(words) == 3 {
		for option := range strings.SplitSeq(words[2], ",") {
			if err := v.option(option); err != nil {
				return v, fmt.Errorf("-v %s: %w", s, err)
			}
		}
	}
	return v, nil
}

func (v *Volume) option(s string) (err error) {
	name, value, _ := strings.Cut(s, "=")
	switch {
	case s == "ro":
		v.ReadOnly = true
	case s == "rw":
	case s == "cache=none":
		v.Valid = 0
	case name == "cache":
		if v.Valid, err = time.ParseDuration(value); err != nil || v.Valid < 0 {
			return fmt.Errorf("%q is not a time: write cache=none or one like cache=2s", value)
		}
	default:
		return fmt.Errorf("%q is no option: they are ro, rw and cache=none or cache=TIME", s)
	}
	return nil
}

// OpenVolumes opens the directories of the host's. They stay open as long as the process, unless there is an error.
func OpenVolumes(list []Volume) (shares []monitor.Share, err error) {
	for _, v := range list {
		d, err := hostdir.Open(v.Host, hostdir.Options{ReadOnly: v.ReadOnly})
		if err != nil {
			for _, s := range shares {
				s.Dir.Close()
			}
			return nil, fmt.Errorf("-v %s:%s: %w", v.Host, v.Guest, err)
		}
		shares = append(shares, monitor.Share{Path: v.Guest, Dir: d, Valid: v.Valid})
	}
	return shares, nil
}
