// The guest of the firewall's tests: HTTP on ports 80 to 84, an echo of datagrams on 53, and what it is asked for. Port 80
// serves the stack's counters, replaces the rules (/open) and dials out (/dial).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ukvm.dev/guest"
)

func main() {
	http.HandleFunc("/counters", func(w http.ResponseWriter, _ *http.Request) {
		all := map[string]uint64{}
		guest.Counters(func(name string, v uint64) { all[name] = v })
		json.NewEncoder(w).Encode(all)
	})
	http.HandleFunc("/open", func(w http.ResponseWriter, _ *http.Request) {
		err := guest.SetFilter(&guest.Filter{Chains: []guest.FilterChain{{Name: "input", Rules: []guest.FilterRule{
			{Proto: 6, DstPort: guest.FilterPorts{Ranges: []guest.FilterRange{{First: 84, Last: 84}}}, Count: "eightyfour", Verdict: guest.FilterReject},
		}}}})
		fmt.Fprint(w, err)
	})
	http.HandleFunc("/dial", func(w http.ResponseWriter, r *http.Request) {
		c, err := net.DialTimeout("tcp", r.FormValue("to"), time.Minute)
		switch {
		case err == nil:
			c.Close()
			fmt.Fprint(w, "connected")
		case errors.Is(err, syscall.EHOSTUNREACH):
			fmt.Fprint(w, "unreachable")
		case errors.Is(err, syscall.ECONNREFUSED):
			fmt.Fprint(w, "refused")
		default:
			fmt.Fprint(w, err)
		}
	})
	for port := 80; port <= 84; port++ {
		go func() { panic(http.ListenAndServe(fmt.Sprint(":", port), nil)) }()
	}
	u, err := net.ListenPacket("udp", ":53")
	if err != nil {
		panic(err)
	}
	go func() {
		for b := make([]byte, 2000); ; {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				panic(err)
			}
			u.WriteTo(b[:n], from)
		}
	}()
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
}
