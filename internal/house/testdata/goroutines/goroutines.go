package snippet

import (
	"context"     // want "wall clock"
	"sync"        // want "one goroutine"
	"sync/atomic" // want "one goroutine"
)

type mailbox struct {
	in chan int // want "a channel"
	mu sync.Mutex
	n  atomic.Int64
}

func runs(ctx context.Context, m *mailbox) {
	go runs(ctx, m) // want "go statement"
	m.in <- 1       // want "send on a channel"
	select {        // want "select"
	case <-m.in: // want "a channel"
	case <-ctx.Done(): // want "a channel"
	}
	for range m.in { // want "a channel"
	}
	print("done") // want "builtin print"
}
