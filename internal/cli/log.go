package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// NewLogger makes a logger for events of a guest's monitor: JSON objects, or lines of ukvm's own. elapsed puts the time since
// the logger was made into the lines.
func NewLogger(w io.Writer, json, elapsed bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	h := &lineHandler{mu: &sync.Mutex{}, w: w}
	if elapsed {
		h.start = time.Now()
	}
	return slog.New(h)
}

// lineHandler writes records as "ukvm: [12.345ms] text name=value …". Groups are left out.
type lineHandler struct {
	start time.Time // zero: no times
	attrs string    // those of the logger

	mu *sync.Mutex // lines stay whole
	w  io.Writer
}

var _ slog.Handler = (*lineHandler)(nil)

// Enabled is for everything.
func (h *lineHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a line.
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("ukvm: ")
	if !h.start.IsZero() {
		fmt.Fprintf(&b, "%8.3fms ", float64(r.Time.Sub(h.start).Microseconds())/1000)
	}
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs returns a handler whose lines have more attributes.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, a)
	}
	more := *h
	more.attrs += b.String()
	return &more
}

// WithGroup returns h.
func (h *lineHandler) WithGroup(string) slog.Handler { return h }

func writeAttr(b *strings.Builder, a slog.Attr) {
	s := a.Value.String()
	if strings.ContainsAny(s, " \t\n\"") {
		s = fmt.Sprintf("%q", s)
	}
	fmt.Fprintf(b, " %s=%s", a.Key, s)
}
