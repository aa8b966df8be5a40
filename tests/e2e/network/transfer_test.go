package network

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"ukvm.dev/tests/e2e/network/internal/contract"
	"ukvm.dev/tests/internal/ukvmtest"
)

// megabyte is what transfers are counted in.
const megabyte = 1_000_000

// transfers are the sizes of a transfer in each world.
func transfers() []struct {
	kind
	bytes int64
} {
	size := sample[int64](100, 1000) * megabyte
	return []struct {
		kind
		bytes int64
	}{{overUser, size}, {overTAP, size}, {overPacket, size}, {overLossy, 20 * megabyte}, {overEmbedded, size}}
}

func TestDownload(t *testing.T) {
	for _, c := range transfers() {
		want := contract.SumOf(c.bytes, 1)
		in(t, []kind{c.kind}, options{}, func(t *testing.T, w *world) {
			begin := time.Now()
			got, err := w.download(w.client, c.bytes, 1)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
			w.throughput(t, "download", c.bytes, begin)
		})
	}
}

func TestUpload(t *testing.T) {
	for _, c := range transfers() {
		want := contract.SumOf(c.bytes, 2)
		in(t, []kind{c.kind}, options{}, func(t *testing.T, w *world) {
			begin := time.Now()
			got, err := w.upload(w.client, "/upload", c.bytes, 2)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
			w.throughput(t, "upload", c.bytes, begin)
		})
	}
}

func (w *world) throughput(t testing.TB, what string, bytes int64, begin time.Time) {
	t.Helper()
	ukvmtest.Figure(t, "network/"+w.name+"/"+what, float64(bytes)/megabyte/time.Since(begin).Seconds(), "MB/s")
}

// download returns the sum of what has come.
func (w *world) download(client *http.Client, bytes int64, seed uint64) (contract.Sum, error) {
	response, err := client.Get(fmt.Sprintf("http://guest/download?bytes=%d&seed=%d", bytes, seed))
	if err != nil {
		return contract.Sum{}, err
	}
	defer response.Body.Close()
	sum := contract.NewSummer()
	_, err = io.CopyBuffer(sum, response.Body, make([]byte, 256<<10))
	return sum.Sum(), err
}

// upload returns the sum of what the guest has got.
func (w *world) upload(client *http.Client, path string, bytes int64, seed uint64) (sum contract.Sum, err error) {
	err = w.request(client, http.MethodPost, path, contract.Bytes(bytes, seed), &sum)
	return sum, err
}

// TestParallelTransfers has many uploads and downloads at once, each with bytes of its own.
func TestParallelTransfers(t *testing.T) {
	const ways = 64
	size := sample[int64](1, 16) * megabyte
	in(t, fast, options{}, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		begin := time.Now()
		for n := range uint64(ways) {
			wg.Go(func() {
				if got, err := w.upload(w.client, "/upload", size, n); err != nil || got != contract.SumOf(size, n) {
					t.Errorf("upload %d: %+v, %v", n, got, err)
				}
			})
			wg.Go(func() {
				if got, err := w.download(w.client, size, n); err != nil || got != contract.SumOf(size, n) {
					t.Errorf("download %d: %+v, %v", n, got, err)
				}
			})
		}
		wg.Wait()
		w.throughput(t, "parallel transfers", 2*ways*size, begin)
	})
}

// TestSlowReaders has clients that read nothing for longer than any retransmission takes, so that windows shut and are
// probed, and others that are served meanwhile. In the end everyone has everything.
func TestSlowReaders(t *testing.T) {
	const readers = 8
	const size = 16 * megabyte // more than all buffers on the way hold
	pause := sample(2*time.Second, 30*time.Second)
	want := contract.SumOf(size, 3)
	in(t, all, options{}, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for range readers {
			response, err := w.client.Get(fmt.Sprintf("http://guest/download?bytes=%d&seed=3", size))
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer response.Body.Close()
				sum := contract.NewSummer()
				time.Sleep(pause)
				_, err := io.CopyN(sum, response.Body, size/2)
				time.Sleep(pause)
				if err == nil {
					_, err = io.Copy(sum, response.Body)
				}
				if got := sum.Sum(); err != nil || got != want {
					t.Errorf("a slow reader got %+v, %v, want %+v", got, err, want)
				}
			})
		}
		wg.Go(func() {
			for end := time.Now().Add(2 * pause); time.Now().Before(end); time.Sleep(time.Millisecond) {
				if err := w.request(w.client, http.MethodGet, "/hello", nil, nil); err != nil {
					t.Errorf("beside slow readers: %v", err)
					return
				}
			}
		})
		wg.Wait()
	})
}

// TestSlowGuest has a guest that does not read for a while.
func TestSlowGuest(t *testing.T) {
	pause := sample("2s", "30s")
	const size = 16 * megabyte
	in(t, all, options{}, func(t *testing.T, w *world) {
		want := contract.SumOf(size, 4)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if got, err := w.upload(w.client, "/upload?pause="+pause, size, 4); err != nil || got != want {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
				}
			})
		}
		wg.Wait()
	})
}
