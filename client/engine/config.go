package engine

import "time"

// Config of an engine. Fields that are 0 get the default.
type Config struct {
	// Servers is how many servers there are; they are numbered 0..Servers-1. Default 1.
	Servers int
	// AttemptTimeout is how long an attempt (a connection, a request, a read) may stay unanswered before it is made
	// again. Default 2 s; simulated 50 ms .. 5 s.
	AttemptTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause before another attempt: drawn uniformly from 0 to a bound that doubles
	// from BackoffMin up to BackoffMax. Defaults 20 ms and 2 s; simulated 1 ms .. 5 s.
	BackoffMin, BackoffMax time.Duration
}
