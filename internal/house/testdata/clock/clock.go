package snippet

import (
	"time"
	clock "time"
)

var now = time.Now // want "time.Now"

func reads() time.Duration {
	start := clock.Now()       // want "time.Now"
	_ = time.Until(start)      // want "time.Until"
	time.Sleep(time.Second)    // want "time.Sleep"
	time.AfterFunc(0, func() { // want "time.AfterFunc"
	})
	_ = time.NewTimer(0)     // want "time.NewTimer"
	_ = time.NewTicker(1)    // want "time.NewTicker"
	_ = time.After(0)        // want "time.After"
	_ = time.Tick(1)         // want "time.Tick"
	var _ time.Time          // want "passed in"
	return time.Since(start) // want "time.Since"
}
