package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// part sends a client so many bytes and ends at once, in one way or another. What a kernel would do for it after its end is
// up to the guest's.
func part(how, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	l, err := listen(contract.PortWeb)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		return err
	}
	if _, err := io.Copy(c, contract.Bytes(n, contract.PartSeed)); err != nil {
		return err
	}
	end := make(chan struct{})
	go func() {
		<-end
		time.Sleep(50 * time.Millisecond)
		fmt.Println("the program goes on after its end")
	}()
	close(end)
	switch how {
	case "close":
		return c.Close()
	case "exit":
		os.Exit(contract.PartCode)
	case "panic":
		panic("part")
	}
	return nil
}
