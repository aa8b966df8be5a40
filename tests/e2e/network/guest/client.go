package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
)

// fetch makes HTTP requests, several at a time.
func fetch(f contract.Fetch) (got contract.Fetched) {
	transport := &http.Transport{
		MaxIdleConnsPerHost: f.Parallel, MaxConnsPerHost: f.Parallel, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: time.Minute,
	}
	defer transport.CloseIdleConnections()
	if f.Roots != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(f.Roots)) {
			got.Fault = contract.NewFault(errors.New("no certificate to trust"))
			return got
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: f.ServerName}
	}
	client := &http.Client{Transport: transport}

	todo := make(chan struct{}, f.Times)
	for range f.Times {
		todo <- struct{}{}
	}
	close(todo)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range f.Parallel {
		wg.Go(func() {
			for range todo {
				one, err := fetchOne(client, &f)
				mu.Lock()
				if err == nil {
					got.Done++
					got.Proto, got.Body, got.Text = one.Proto, one.Body, one.Text
				} else if got.Fault == nil {
					got.Fault = contract.NewFault(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return got
}

func fetchOne(client *http.Client, f *contract.Fetch) (got contract.Fetched, err error) {
	method, body := http.MethodGet, io.Reader(nil)
	if f.Upload > 0 {
		method, body = http.MethodPost, contract.Bytes(f.Upload, f.Seed)
	}
	request, err := http.NewRequest(method, f.URL, body)
	if err != nil {
		return got, err
	}
	request.ContentLength = f.Upload
	response, err := client.Do(request)
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	sum, front := contract.NewSummer(), &front{}
	if _, err := io.CopyBuffer(io.MultiWriter(sum, front), response.Body, make([]byte, 64<<10)); err != nil {
		return got, err
	}
	if response.StatusCode != http.StatusOK {
		return got, fmt.Errorf("status %s", response.Status)
	}
	return contract.Fetched{Proto: response.Proto, Body: sum.Sum(), Text: string(front.bytes)}, nil
}

// get prints what a URL has, and does nothing before it connects.
func get() error {
	response, err := http.Get(os.Args[2])
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// front keeps the first bytes of what is written.
type front struct{ bytes []byte }

func (f *front) Write(b []byte) (int, error) {
	const most = 256
	f.bytes = append(f.bytes, b[:min(len(b), most-len(f.bytes))]...)
	return len(b), nil
}

// dial connects, and exchanges a message if there is one.
func dial(d contract.Dial) (got contract.Dialed) {
	begin := time.Now()
	received, err := exchange(d)
	return contract.Dialed{Received: received, Elapsed: time.Since(begin), Fault: contract.NewFault(err)}
}

func exchange(d contract.Dial) (string, error) {
	c, err := net.DialTimeout(d.Network, d.Address, d.Timeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if d.Send == "" {
		return "", nil
	}
	c.SetDeadline(time.Now().Add(d.Timeout))
	if _, err := io.WriteString(c, d.Send); err != nil {
		return "", err
	}
	buf := make([]byte, len(d.Send))
	if d.Network == "udp" {
		n, err := c.Read(buf)
		return string(buf[:n]), err
	}
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

// lookup asks the resolver for what kind says.
func lookup(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	var values []string
	var err error
	switch name := r.FormValue("name"); r.FormValue("kind") {
	case "host":
		values, err = net.DefaultResolver.LookupHost(ctx, name)
	case "text":
		values, err = net.DefaultResolver.LookupTXT(ctx, name)
	case "address":
		values, err = net.DefaultResolver.LookupAddr(ctx, name)
	case "alias":
		var alias string
		alias, err = net.DefaultResolver.LookupCNAME(ctx, name)
		values = []string{alias}
	default:
		http.Error(w, "unknown kind", http.StatusBadRequest)
		return
	}
	reply(w, contract.Looked{Values: values, Fault: contract.NewFault(err)})
}
