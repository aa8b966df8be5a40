package user

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// goError is err as the host's sockets would report it.
func goError(err tcpip.Error) error {
	switch err.(type) {
	case nil:
		return nil
	case *tcpip.ErrConnectionRefused:
		return syscall.ECONNREFUSED
	case *tcpip.ErrConnectionReset:
		return syscall.ECONNRESET
	case *tcpip.ErrConnectionAborted:
		return syscall.ECONNABORTED
	case *tcpip.ErrTimeout:
		return syscall.ETIMEDOUT
	case *tcpip.ErrHostUnreachable:
		return syscall.EHOSTUNREACH
	case *tcpip.ErrNetworkUnreachable:
		return syscall.ENETUNREACH
	case *tcpip.ErrPortInUse:
		return syscall.EADDRINUSE
	case *tcpip.ErrNoPortAvailable:
		return syscall.EADDRNOTAVAIL
	case *tcpip.ErrAborted, *tcpip.ErrInvalidEndpointState:
		return net.ErrClosed
	case *tcpip.ErrClosedForSend:
		return syscall.EPIPE
	case *tcpip.ErrMessageTooLong:
		return syscall.EMSGSIZE
	}
	return errors.New(err.String())
}

// byText finds the error that package gonet has flattened to its text.
func byText(err error) error {
	for _, known := range []tcpip.Error{
		&tcpip.ErrConnectionRefused{}, &tcpip.ErrConnectionReset{}, &tcpip.ErrConnectionAborted{}, &tcpip.ErrTimeout{},
		&tcpip.ErrHostUnreachable{}, &tcpip.ErrNetworkUnreachable{}, &tcpip.ErrPortInUse{}, &tcpip.ErrAborted{},
		&tcpip.ErrInvalidEndpointState{}, &tcpip.ErrClosedForSend{}, &tcpip.ErrMessageTooLong{},
	} {
		if err.Error() == known.String() {
			return goError(known)
		}
	}
	switch err.Error() {
	case "i/o timeout":
		return os.ErrDeadlineExceeded
	case "operation canceled":
		return net.ErrClosed
	}
	return err
}

// opError is err, if it is gonet's, with a cause that errors.Is knows.
func opError(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	known := *op
	known.Err = byText(op.Err)
	return &known
}

// dialError is the error of a dial to the guest.
func dialError(network string, addr net.Addr, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = os.ErrDeadlineExceeded
	}
	return &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
}
