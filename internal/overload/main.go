// Overload measures what a server does that is asked for twice what it can do: how much of its best throughput it still
// completes within a deadline, whether holders that it has admitted keep what they have, and whether its memory stays level.
//
//	overload -server bin/server
//
// A client that makes calls spends more processor time on each than the server does, so on one machine the client is what
// gives up first, and no server is ever overloaded. So the server gets a small share of one processor: another process computes
// there all the time, and the server is nicer. The load has the other processors, and
// the report says how busy it was: a load without reserve measures itself, and the run fails.
//
// The best throughput is sought with callers that wait for their answers. Then twice as many callers are given twice as many
// operations a second. Each has to end within a second of its time, in both; one for which no caller is free then is not made. That is
// done in turns, and each overload is compared with what the server could do just before and just after; the median counts.
//
// `make overload` builds and runs it. The last line is PASS or FAIL and why.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

type settings struct {
	server   string
	nice     int
	times    float64
	duration time.Duration
	rounds   int
	holders  int
	callers  int
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == crowdArg {
		for n := 0; n >= 0; n = (n + 1) % 1000 { // to compute is all that it is for
		}
	}
	var s settings
	flag.StringVar(&s.server, "server", "bin/server", "program of the server")
	flag.IntVar(&s.nice, "nice", 10, "of the server, beside one that always computes: 0 half of the processor, 5 a quarter, 10 a tenth")
	flag.Float64Var(&s.times, "times", 2, "load offered, in multiples of the best throughput")
	flag.DurationVar(&s.duration, "duration", 10*time.Second, "how long each overload lasts")
	flag.IntVar(&s.rounds, "rounds", 5, "how many overloads")
	flag.IntVar(&s.holders, "holders", 200, "sessions that hold a lock meanwhile, and renew it")
	flag.IntVar(&s.callers, "callers", 0, "calls that are under way at most (0 = as many times those of the best throughput as the load)")
	flag.Parse()
	if s.nice < 0 || s.nice > 19 || s.times < 0.1 || s.times > 10 || s.duration < time.Second || s.duration > time.Minute || s.rounds < 1 || s.rounds > 100 || s.holders < 1 || s.callers < 0 || s.callers > 100_000 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "overload: nice must be 0 to 19, times 0.1 to 10, the duration 1s to 1m, rounds 1 to 100, holders at least 1, callers 0 to 100000, and there are no arguments")
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := apart(ctx, s)
	switch {
	case errors.Is(err, errOneProcessor):
		fmt.Println("SKIPPED:", err)
	case err != nil:
		fmt.Println("FAIL:", err)
		os.Exit(1)
	default:
		fmt.Println("PASS")
	}
}

// atoi is for numbers that this program has printed itself.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
