package main

import (
	"strconv"
	"time"
)

// hello is the answer to all that is right.
const hello = "Hello from the event loop\n"

// reasons are the statuses' names (RFC 9110 §15, RFC 6585).
var reasons = map[int]string{
	statusOK:           "OK",
	statusBad:          "Bad Request",
	statusNotAllowed:   "Method Not Allowed",
	statusBodyTooLarge: "Content Too Large",
	statusHeadTooLarge: "Request Header Fields Too Large",
	statusNotMade:      "Not Implemented",
	statusVersion:      "HTTP Version Not Supported",
}

// dateFormat is the Date header's (RFC 9110 §5.6.7).
const dateFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// answer appends the answer with a status to out.
func (s *server) answer(out []byte, status int, r *request, last bool) []byte {
	body := hello
	if status != statusOK {
		body = reasons[status] + "\n"
	}
	if status == statusOK {
		out = append(out, "HTTP/1.1 200 OK\r\nDate: "...)
	} else {
		out = append(out, "HTTP/1.1 "...)
		out = strconv.AppendInt(out, int64(status), 10)
		out = append(append(out, ' '), reasons[status]...)
		out = append(out, "\r\nDate: "...)
	}
	out = append(out, s.dateNow()...)
	out = append(out, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	if status == statusNotAllowed {
		out = append(out, "\r\nAllow: GET, HEAD"...)
	}
	switch {
	case last:
		out = append(out, "\r\nConnection: close"...)
	case r.http10:
		out = append(out, "\r\nConnection: keep-alive"...)
	}
	out = append(out, "\r\n\r\n"...)
	if string(r.method) != "HEAD" {
		out = append(out, body...)
	}
	return out
}

// dateNow is the value of the Date header, made anew each second.
func (s *server) dateNow() []byte {
	if now := time.Now(); s.date == nil || now.Sub(s.now) >= time.Second || now.Unix() != s.now.Unix() {
		s.now = now
		s.date = now.UTC().AppendFormat(s.date[:0], dateFormat)
	}
	return s.date
}
