package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ukvm.dev/internal/cli"
)

// findImage finds the image that operands of ukvm run name, which may mean to build it, and the program's name. A
// regular file is an image; all else is for the go command.
func (a *app) findImage(ctx context.Context, operands []string, quiet bool) (image, name string, err error) {
	if len(operands) == 0 {
		return "", "", cli.Errorf(cli.CodeFailed, "name an image or a Go package to run, for example ukvm run ./cmd/app")
	}
	first := operands[0]
	goFiles := strings.HasSuffix(first, ".go")
	if len(operands) > 1 && !(goFiles && strings.HasSuffix(operands[1], ".go")) {
		return "", "", cli.Errorf(cli.CodeFailed, "what the program is to get stands after --: ukvm run %s -- %s", first, strings.Join(operands[1:], " "))
	}
	info, err := os.Stat(first)
	isDir := err == nil && info.IsDir()
	switch {
	case err == nil && !isDir && !goFiles:
		if !info.Mode().IsRegular() {
			return "", "", cli.Errorf(cli.CodeNotImage, "%s is not a file", first)
		}
		if len(a.goFlags) > 0 {
			return "", "", cli.Errorf(cli.CodeFailed, "%s is for building, but %s is built already", a.goFlags[0], first)
		}
		return first, first, readable(first)
	case errors.Is(err, fs.ErrNotExist) && isPath(first) && !strings.Contains(first, "..."):
		return "", "", cli.Errorf(cli.CodeNotFound, "%s does not exist", first)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && isPath(first):
		return "", "", err
	}
	result, err := a.build(ctx, operands, "", a.goFlags, quiet)
	if code, _ := cli.Failure(err); code == cli.CodeNotFound && isDir && !isPath(first) {
		// The go command took it for an import path.
		err = cli.Errorf(cli.CodeNotFound, "there is no package %s; write ./%[1]s for the directory", first)
	}
	return result.Path, result.Name, err
}

// readable checks that a file can be opened.
func readable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return &cli.Error{Code: cli.CodeNotImage, Err: err}
	}
	return f.Close()
}

// isPath reports whether the go command takes a word for a file or directory.
func isPath(word string) bool {
	return word == "." || word == ".." || strings.HasPrefix(word, "./") || strings.HasPrefix(word, "../") ||
		filepath.IsAbs(word) || strings.HasSuffix(word, ".go")
}
