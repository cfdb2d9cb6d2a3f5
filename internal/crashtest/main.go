// Command crashtest kills a server again and again under 64 clients that lock and append. The server is the real one on a
// file system that forgets what was not synced when its process is killed (package powerfs), so each kill loses what a power
// cut would lose. After it, and all along, the clients' ledger is compared with what the service says:
//
//   - every acknowledged append is in its file once, at the offset that was answered; each other one at most once; and no
//     file has a byte that nobody appended (G4, G5)
//   - tokens grow strictly over all grants of all rounds (G3)
//   - no session is lost (an outage lengthens leases), and every call is answered (G9, L1)
//
// `make crashtest N=200` builds and runs it. It prints what it did; the last line is PASS or FAIL and why.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	c := config{out: os.Stdout}
	flag.IntVar(&c.rounds, "rounds", 200, "how often the server is started and killed")
	flag.IntVar(&c.clients, "clients", 64, "clients at work")
	flag.StringVar(&c.server, "server", "", "the server program, built from internal/crashtest/server")
	flag.StringVar(&c.lie, "lie", "", "how the server's disk is broken: never or late (see the server); the test must fail then")
	flag.Parse()
	if c.server == "" || c.rounds < 1 || c.clients < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "crashtest: --server is needed, --rounds and --clients must be at least 1, and there are no arguments")
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if run(ctx, c) != nil {
		os.Exit(1)
	}
}
