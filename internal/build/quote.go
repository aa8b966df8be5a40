package build

import (
	"fmt"
	"strings"
)

// The go command's quoting, in GOFLAGS and -exec: fields separated by white space; a field that begins with ' or "
// ends at the next one, and nothing is special in it.

// splitQuoted splits s. An unterminated quote is an error.
func splitQuoted(s string) ([]string, error) {
	var fields []string
	for {
		s = strings.TrimLeft(s, " \t\n\r")
		if s == "" {
			return fields, nil
		}
		if s[0] == '\'' || s[0] == '"' {
			end := strings.IndexByte(s[1:], s[0])
			if end < 0 {
				return nil, fmt.Errorf("unterminated %c string in %q", s[0], s)
			}
			fields = append(fields, s[1:1+end])
			s = s[end+2:]
			continue
		}
		end := strings.IndexAny(s, " \t\n\r")
		if end < 0 {
			end = len(s)
		}
		fields = append(fields, s[:end])
		s = s[end:]
	}
}

// joinQuoted is the opposite. A field with both kinds of quotes cannot be written.
func joinQuoted(fields []string) (string, error) {
	var quoted []string
	for _, f := range fields {
		switch {
		case f != "" && !strings.ContainsAny(f, " \t\n\r'\""):
		case !strings.Contains(f, "'"):
			f = "'" + f + "'"
		case !strings.Contains(f, `"`):
			f = `"` + f + `"`
		default:
			return "", fmt.Errorf("quote %q for the go command: it holds both kinds of quotes", f)
		}
		quoted = append(quoted, f)
	}
	return strings.Join(quoted, " "), nil
}
