package side

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Profile is where the time of our server and library goes, under each workload.
type Profile struct {
	Began   time.Time    `json:"began"`
	Machine Machine      `json:"machine"`
	Version string       `json:"version"`
	Seconds float64      `json:"seconds"`
	Rows    []ProfileRow `json:"workloads"`
}

// ProfileRow is one workload. Figures "an operation" are divided by the operations that ended.
type ProfileRow struct {
	Workload string  `json:"workload"`
	What     string  `json:"what"`
	Rate     float64 `json:"operations_per_second"`
	P50      float64 `json:"p50_micros"`
	P99      float64 `json:"p99_micros"`

	Syncs      float64 `json:"syncs_per_second"`
	Batch      float64 `json:"requests_per_sync"`
	SyncMicros float64 `json:"write_and_sync_micros"` // mean
	Written    float64 `json:"written_bytes_per_operation"`

	Server Side `json:"server"`
	Client Side `json:"client"`
}

// Side is what one process spent.
type Side struct {
	CPU        float64 `json:"cpu_micros_per_operation"`
	Cores      float64 `json:"cores"`
	Switches   float64 `json:"context_switches_per_operation"`
	Allocs     float64 `json:"allocations_per_operation"`
	AllocBytes float64 `json:"allocated_bytes_per_operation"`
	Shares     []Share `json:"cpu_shares"`
}

// Share is a part of the CPU samples.
type Share struct {
	Of      string  `json:"of"`
	Percent float64 `json:"percent"`
}

// Counters are a process's, so far.
type Counters struct{ Switches, Written, Allocs, AllocBytes, Syncs, SyncSeconds, Requests float64 }

// Since is what was added.
func (c Counters) Since(b Counters) Counters {
	return Counters{
		c.Switches - b.Switches, c.Written - b.Written, c.Allocs - b.Allocs, c.AllocBytes - b.AllocBytes,
		c.Syncs - b.Syncs, c.SyncSeconds - b.SyncSeconds, c.Requests - b.Requests,
	}
}

// ServerCounters reads them from /proc, from the server's metrics and from the disk of its data directory.
func ServerCounters(ctx context.Context, pid int, admin, dir string) (c Counters, err error) {
	if c.Switches, err = Switches(pid); err != nil {
		return c, err
	}
	if c.Written, err = written(dir); err != nil {
		return c, err
	}
	page, err := Get(ctx, "http://"+admin+"/metrics")
	if err != nil {
		return c, err
	}
	found := 0
	for line := range strings.Lines(string(page)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		into := map[string]*float64{
			"go_memstats_mallocs_total": &c.Allocs, "go_memstats_alloc_bytes_total": &c.AllocBytes,
			"dlm_log_write_seconds_count": &c.Syncs, "dlm_log_write_seconds_sum": &c.SyncSeconds, "dlm_batch_requests_sum": &c.Requests,
		}[name]
		if into == nil {
			continue
		}
		if *into, err = strconv.ParseFloat(value, 64); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		found++
	}
	if found != 5 {
		return c, fmt.Errorf("%d of 5 metrics found at %s", found, admin)
	}
	return c, nil
}

// written is how many bytes the disk of a directory has written, for whomever. What /proc/PID/io says is no help: it counts
// whole folios of the page cache, up to a megabyte for a few bytes of log.
func written(dir string) (float64, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", dir, err)
	}
	path := fmt.Sprintf("/sys/dev/block/%d:%d/stat", st.Dev>>8&0xfff, st.Dev&0xff|st.Dev>>12&0xfff00)
	const sectorsWritten, sector = 6, 512
	all := lines(path)
	if len(all) == 0 || len(strings.Fields(all[0])) <= sectorsWritten {
		return 0, fmt.Errorf("%s does not say how much is written: use a directory on a disk of its own device", path)
	}
	n, err := strconv.ParseFloat(strings.Fields(all[0])[sectorsWritten], 64)
	return n * sector, err
}

// Switches counts the context switches of all threads of a process, those that it asked for by waiting and the others.
func Switches(pid int) (n float64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("process %d is gone: %w", pid, os.ErrNotExist)
	}
	for _, path := range tasks {
		for _, line := range lines(path) { // of a thread that has just ended there are none
			if key, value, _ := strings.Cut(line, ":"); strings.HasSuffix(key, "_ctxt_switches") {
				x, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", path, err)
				}
				n += x
			}
		}
	}
	return n, nil
}

// Get is a page's content.
func Get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, a.Status, b)
	}
	return b, err
}

// tables are the profile's two tables.
func (p *Profile) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s (%s, %d cores) with %s, %s seconds each.\n\n", p.Began.Format("2 January 2006"), p.Machine.CPU,
		p.Machine.Cores, p.Version, trim(p.Seconds))
	b.WriteString("| workload | operations/s | syncs/s | requests a sync | µs a sync | log busy | bytes on the disk | server: cores | CPU µs | switches | allocs (bytes) " +
		"| client: cores | CPU µs | switches | allocs (bytes) |\n|---|" + strings.Repeat("--:|", 14) + "\n")
	for _, r := range p.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.0f %% | %s |", r.What, number(r.Rate), number(r.Syncs), number(r.Batch),
			number(r.SyncMicros), r.Syncs*r.SyncMicros/1e4, number(r.Written))
		for _, s := range []Side{r.Server, r.Client} {
			fmt.Fprintf(&b, " %.2f | %s | %.2f | %s (%s) |", s.Cores, number(s.CPU), s.Switches, number(s.Allocs), number(s.AllocBytes))
		}
		b.WriteString("\n")
	}
	b.WriteString("\nBytes, CPU time, context switches and allocations are those of one operation. \"Log busy\" is the share of the time during which\n" +
		"an entry was being written and synced. Bytes are those that the disk wrote, for others too.\n")
	for _, side := range []struct {
		name string
		of   func(ProfileRow) Side
	}{{"server", func(r ProfileRow) Side { return r.Server }}, {"client", func(r ProfileRow) Side { return r.Client }}} {
		fmt.Fprintf(&b, "\nThe CPU time of the %s, in percent of its samples:\n\n| ", side.name)
		var rows []string
		for _, r := range p.Rows {
			fmt.Fprintf(&b, "| %s ", r.Workload)
			for _, s := range side.of(r).Shares {
				rows = appendNew(rows, s.Of)
			}
		}
		b.WriteString("|\n|---|" + strings.Repeat("--:|", len(p.Rows)) + "\n")
		for _, of := range rows {
			fmt.Fprintf(&b, "| %s ", of)
			for _, r := range p.Rows {
				fmt.Fprintf(&b, "| %s ", percentOf(side.of(r).Shares, of))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

func appendNew(all []string, s string) []string {
	for _, x := range all {
		if x == s {
			return all
		}
	}
	return append(all, s)
}

func percentOf(shares []Share, of string) string {
	for _, s := range shares {
		if s.Of == of {
			return fmt.Sprintf("%.0f", s.Percent)
		}
	}
	return ""
}
