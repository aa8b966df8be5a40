package tcp

import "errors"

// What calls on connections return.
var (
	ErrWouldBlock   = errors.New("resource temporarily unavailable") // Upcall will tell when to try again
	ErrInUse        = errors.New("address already in use")
	ErrLimit        = errors.New("no buffer space available")
	ErrNotConnected = errors.New("transport endpoint is not connected")
	ErrConnected    = errors.New("transport endpoint is already connected")
	ErrInProgress   = errors.New("operation now in progress")
	ErrShut         = errors.New("broken pipe") // writing after Shutdown, or after the connection has ended
	ErrInvalid      = errors.New("invalid argument")
)

// Why connections end, beside the errors of package packet.
var (
	ErrReset   = errors.New("connection reset by peer")
	ErrTimeout = errors.New("connection timed out")
	ErrAborted = errors.New("software caused connection abort")
)
