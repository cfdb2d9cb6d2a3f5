package client

import (
	"time"

	"golang.org/x/sys/unix"
)

// localClock counts suspended time too. A clock that stops with the machine would call a lease alive that the server
// ended during the suspend.
func localClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has had it since 2.6.39; without a clock no lease can be judged.
		panic("client: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
