package bench

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// meter is what has been used, and happened, so far.
type meter struct {
	client, server time.Duration // CPU time
	changes        uint64
}

func (m meter) since(before meter) meter {
	return meter{m.client - before.client, m.server - before.server, m.changes - before.changes}
}

func (j Job) read() (m meter, err error) {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return m, fmt.Errorf("bench: CPU time: %w", err)
	}
	m.client = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	if j.Changes != nil {
		m.changes = j.Changes()
	}
	if j.ServerCPU != nil {
		m.server, err = j.ServerCPU()
	}
	return m, err
}

// serverCPU asks the server at its admin address.
func serverCPU(admin string) (time.Duration, error) {
	http := http.Client{Timeout: 5 * time.Second}
	r, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("bench: the server's metrics at %s (its --admin address): %w", admin, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return 0, fmt.Errorf("bench: the server's metrics at %s: %w", admin, err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "process_cpu_seconds_total "); ok {
			seconds, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, fmt.Errorf("bench: the server's metrics at %s: %w", admin, err)
			}
			return time.Duration(seconds * float64(time.Second)), nil
		}
	}
	return 0, fmt.Errorf("bench: %s does not say how much CPU time it has used: is it the server's --admin address?", admin)
}
