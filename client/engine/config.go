package engine

import "time"

// Config of an engine. Fields that are 0 get the default.
type Config struct {
	// Servers is how many servers there are; they are numbered 0..Servers-1. Default 1.
	Servers int
	// AttemptTimeout is how long an attempt (a connection, a request, a read) may stay unanswered before it is made
	// again. A connection on which nothing came for one and a half times as long is given up, but not before 300 ms:
	// servers let keep-alives wait. Default 2 s; simulated 50 ms .. 5 s.
	AttemptTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause before another attempt: drawn uniformly from 0 to a bound that doubles
	// from BackoffMin up to BackoffMax. Defaults 20 ms and 2 s; simulated 1 ms .. 5 s.
	BackoffMin, BackoffMax time.Duration
	// QueuedRetry is how often an acquire that is known to wait in the server's queue is asked for again, in case its
	// answer was lost. Default 5 s; simulated 200 ms .. 10 s.
	QueuedRetry time.Duration
	// FrameBytes is about how large a frame may become; a single request may be larger. Default 1 MiB.
	FrameBytes int
	// LargeBytes is the size from which a request counts as large: it goes last, and while LargeOutBytes of such
	// requests are unanswered the next ones wait, so that nothing small ever stands behind them. Defaults 64 KiB and
	// 4 MiB.
	LargeBytes, LargeOutBytes int
	// UnderWay is how many requests that ask for something may be under way on the connection at first, and again when nobody
	// is held back. When the server has more to do than it can the number falls, down to a 256th of that, or 1. Default 1024;
	// simulated 1 .. 4.
	UnderWay int
	// MaxCalls is how many calls may be pending; one more completes with ErrLimit. Default 1 << 20, at most 1 << 23.
	MaxCalls int
}

func (c Config) withDefaults() Config {
	c.Servers = orDefault(c.Servers, 1)
	c.AttemptTimeout = orDefault(c.AttemptTimeout, 2*time.Second)
	c.BackoffMin = orDefault(c.BackoffMin, 20*time.Millisecond)
	c.BackoffMax = max(orDefault(c.BackoffMax, 2*time.Second), c.BackoffMin)
	c.QueuedRetry = orDefault(c.QueuedRetry, 5*time.Second)
	c.FrameBytes = orDefault(c.FrameBytes, 1<<20)
	c.LargeBytes = orDefault(c.LargeBytes, 64<<10)
	c.LargeOutBytes = orDefault(c.LargeOutBytes, 4<<20)
	c.UnderWay = orDefault(c.UnderWay, 1024)
	c.MaxCalls = min(orDefault(c.MaxCalls, 1<<20), 1<<(placeBits-1))
	return c
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
