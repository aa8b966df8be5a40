// Package http is an ordinary package for programs, which does not belong into the standard library.
package http

import "net/http"

// Handler serves.
type Handler = http.Handler
