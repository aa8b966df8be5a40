package build

import (
	"go/build/constraint"
	"strings"
)

// guestTag is the build tag that tells guest code from host code, and that programs are built with.
const guestTag = "ukvm"

// resolveTag settles the tag ukvm in the //go:build line of a file of the operating system, so that the file needs no
// tags in the derived GOROOT, where plain `go build` may not pass any. It returns the file with the rest of the
// constraint, or keep = false if the file is for hosts only.
func resolveTag(text string) (result string, keep bool, err error) {
	start, end, ok := constraintLine(text)
	if !ok {
		return text, true, nil
	}
	expr, err := constraint.Parse(strings.TrimSpace(text[start:end]))
	if err != nil {
		return "", false, err
	}
	rest, value := simplify(expr)
	switch {
	case rest != nil:
		return text[:start] + "//go:build " + rest.String() + text[end:], true, nil
	case value:
		return text[:start] + text[end:], true, nil // an empty line stays, for the line numbers in traces
	}
	return "", false, nil
}

// constraintLine finds the //go:build line, which only comments and empty lines may precede.
func constraintLine(text string) (start, end int, ok bool) {
	for start < len(text) {
		end = start + strings.IndexByte(text[start:]+"\n", '\n')
		line := strings.TrimSpace(text[start:end])
		if constraint.IsGoBuild(line) {
			return start, end, true
		}
		if line != "" && !strings.HasPrefix(line, "//") {
			break
		}
		start = end + 1
	}
	return 0, 0, false
}

// simplify evaluates x with the tag ukvm set. If other tags decide it returns what is left of x, else x's value.
func simplify(x constraint.Expr) (rest constraint.Expr, value bool) {
	switch x := x.(type) {
	case *constraint.TagExpr:
		if x.Tag == guestTag {
			return nil, true
		}
	case *constraint.NotExpr:
		rest, value := simplify(x.X)
		if rest == nil {
			return nil, !value
		}
		if not, ok := rest.(*constraint.NotExpr); ok {
			return not.X, false // two in a row are not allowed
		}
		return &constraint.NotExpr{X: rest}, false
	case *constraint.AndExpr:
		l, lv := simplify(x.X)
		r, rv := simplify(x.Y)
		switch {
		case l == nil && !lv, r == nil && !rv:
			return nil, false
		case l == nil:
			return r, rv
		case r == nil:
			return l, lv
		}
		return &constraint.AndExpr{X: l, Y: r}, false
	case *constraint.OrExpr:
		l, lv := simplify(x.X)
		r, rv := simplify(x.Y)
		switch {
		case l == nil && lv, r == nil && rv:
			return nil, true
		case l == nil:
			return r, rv
		case r == nil:
			return l, lv
		}
		return &constraint.OrExpr{X: l, Y: r}, false
	}
	return x, false
}
