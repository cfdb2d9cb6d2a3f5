package main

import (
	"errors"
	"fmt"
	"runtime"
)

// judge prints the figures and says what is not as it should be.
func judge(s settings, t turns, h *holders, second, last float64) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	of := t.ofBest[len(t.ofBest)/2]
	fmt.Printf("at %.1f times the load: %.0f %% of the best throughput within %v (median of %d; %.0f to %.0f %%)\n", s.times, 100*of, deadline,
		len(t.ofBest), 100*t.ofBest[0], 100*t.ofBest[len(t.ofBest)-1])
	if of < leastOfBest {
		fail("%.0f %% of the best throughput is left, %.0f %% should be", 100*of, 100*leastOfBest)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	failed := 0
	for _, n := range h.failed {
		failed += n
	}
	fmt.Printf("renewals of holders: %d of %d answered within %v, 99 %% within %.0f ms, the slowest %.0f ms\n", h.renewed, h.renewed+failed,
		renewDeadline, float64(h.took.ValueAtPercentile(99))/1000, float64(h.took.Max())/1000)
	if failed > 0 || h.renewed == 0 {
		fail("renewals of holders failed: %v", h.failed)
	}
	fmt.Printf("memory of the server: %.0f MiB at most in the second third of that time, %.0f MiB in the last\n", second, last)
	if last > second*1.1+8 || last == 0 {
		fail("its memory grows: %.0f MiB, then %.0f MiB", second, last)
	}
	if room := float64(runtime.NumCPU()); t.cores > busyLoad*room {
		fail("the load was on %.2f of its %.0f processors: it may be what was measured; give the server a larger -nice", t.cores, room)
	}
	return errors.Join(errs...)
}
