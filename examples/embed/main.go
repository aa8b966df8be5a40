// Command embed is a program that runs others in virtual machines: it starts an image of a web server, and asks it for
// pages without a port on the host.
//
//	ukvm build -o web.img ./examples/web
//	go run ./examples/embed web.img / /hello/ada
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"syscall"
	"time"

	"ukvm.dev/monitor"
	"ukvm.dev/netif/user"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: embed IMAGE PATH...")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

// run runs a guest, fetches pages from it, and lets it end in order.
func run(ctx context.Context, image string, pages []string) error {
	link, err := user.New(user.Config{})
	if err != nil {
		return err
	}
	defer link.Close()
	vm, err := monitor.New(monitor.Config{
		Image:  image,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		NICs:   []monitor.NIC{{Link: link, Config: link.Config()}},
	})
	if err != nil {
		return err
	}
	defer vm.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- vm.Run(ctx)
		cancel() // a guest that has ended has no pages
	}()

	client := &http.Client{Transport: &http.Transport{DialContext: link.DialContext}}
	for _, page := range pages {
		if err := fetch(ctx, client, "http://guest:8080"+page); err != nil {
			cancel()
			<-ended // before Close
			return err
		}
	}
	client.CloseIdleConnections()
	_ = vm.Signal(syscall.SIGTERM) // there is such a signal
	return <-ended                 // nil, or a *monitor.ExitError
}

// fetch prints a page. A guest that has just begun does not listen yet.
func fetch(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if errors.Is(err, syscall.ECONNREFUSED) {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		defer response.Body.Close()
		fmt.Printf("%s: ", response.Status)
		_, err = io.Copy(os.Stdout, response.Body)
		return err
	}
}
