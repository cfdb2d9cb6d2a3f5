package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/internal/rig"
)

// Holders renew every third of their TTL, as the library does. They speak to the service without it: the library would try again
// after a refusal, and hide it.
const (
	holderTTL     = 3 * time.Second
	renewEvery    = holderTTL / 3
	renewDeadline = time.Second
)

// holders are sessions that hold a lock each, and what became of their renewals.
type holders struct {
	raw   *rig.Raw
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu      sync.Mutex
	renewed int
	failed  map[string]int
	took    *hdrhistogram.Histogram // microseconds
}

// hold opens n sessions, has each take a lock, and renews them until end is called.
func hold(ctx context.Context, addr string, n int) (*holders, error) {
	raw, err := rig.NewRaw(addr)
	if err != nil {
		return nil, err
	}
	h := &holders{raw: raw, failed: map[string]int{}, took: hdrhistogram.New(1, time.Minute.Microseconds(), 3)}
	ctx, h.stop = context.WithCancel(ctx)
	for i := range n {
		if err := h.one(ctx, i, n); err != nil {
			h.end()
			return nil, err
		}
	}
	return h, nil
}

func (h *holders) one(ctx context.Context, i, n int) error {
	s, err := h.raw.Open(ctx, holderTTL)
	if err != nil {
		return err
	}
	lock := fmt.Sprintf("overload/held-%d", i)
	a, err := s.Call(ctx, &dlmv1.Request{Op: &dlmv1.Request_Acquire{Acquire: &dlmv1.Acquire{Lock: lock, Mode: dlmv1.Mode_MODE_EXCLUSIVE}}})
	if err != nil {
		return err
	}
	if a.GetReason() != dlmv1.Reason_REASON_OK {
		return fmt.Errorf("a lock that nobody else wants: %v: %s", a.GetReason(), a.GetDetail())
	}
	h.ended.Go(func() {
		sleep(ctx, renewEvery*time.Duration(i)/time.Duration(n)) // spread
		for k := 0; ctx.Err() == nil; k++ {
			op := &dlmv1.Request{Op: &dlmv1.Request_KeepAlive{KeepAlive: &dlmv1.KeepAlive{}}}
			if k%2 == 1 {
				op = &dlmv1.Request{Op: &dlmv1.Request_Renew{Renew: &dlmv1.Renew{Lock: lock, Token: a.GetToken()}}}
			}
			began := time.Now()
			h.renew(ctx, s, op)
			sleep(ctx, renewEvery-time.Since(began))
		}
	})
	return nil
}

// renew makes a request once and keeps what became of it.
func (h *holders) renew(ctx context.Context, s *rig.RawSession, op *dlmv1.Request) {
	began := time.Now()
	attempt, cancel := context.WithTimeout(ctx, renewDeadline)
	defer cancel()
	a, err := s.Call(attempt, op)
	if ctx.Err() != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && attempt.Err() != nil:
		h.failed["no answer in time"]++
	case err != nil:
		h.failed[err.Error()]++
	case a.GetReason() != dlmv1.Reason_REASON_OK:
		h.failed[a.GetReason().String()]++
	default:
		h.renewed++
		_ = h.took.RecordValue(time.Since(began).Microseconds())
	}
}

// forget starts the counts anew.
func (h *holders) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.renewed, h.failed = 0, map[string]int{}
	h.took.Reset()
}

// end stops renewing. What was counted stays.
func (h *holders) end() {
	h.stop()
	h.ended.Wait()
	h.raw.Close()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(max(d, 0)):
	case <-ctx.Done():
	}
}
