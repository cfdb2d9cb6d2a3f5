package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"dlm/grpcserver"
)

// TestMetricsTable: the table of docs/operations.md names the metrics that there are.
func TestMetricsTable(t *testing.T) {
	s, err := grpcserver.Open(grpcserver.Options{Dir: t.TempDir(), SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	descs := make(chan *prometheus.Desc, 1000)
	s.Metrics().Describe(descs)
	close(descs)
	var there []string
	for d := range descs {
		there = append(there, regexp.MustCompile(`fqName: "([a-z_]+)"`).FindStringSubmatch(d.String())[1])
	}
	var told []string
	for line := range strings.Lines(read(t, "docs/operations.md")) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`(dlm_[a-z_]+)").FindAllStringSubmatch(cells[1], -1) {
				told = append(told, m[1])
			}
		}
	}
	slices.Sort(there)
	slices.Sort(told)
	if !slices.Equal(there, told) {
		t.Errorf("the server has\n%s\nthe table has\n%s", strings.Join(there, "\n"), strings.Join(told, "\n"))
	}
}

// TestLimitsTable: the table of docs/operations.md has the limits and defaults that `dlm limits` prints.
func TestLimitsTable(t *testing.T) {
	dir := binaries(t)
	p := startProcess(t, filepath.Join(dir, "bin"), filepath.Join(t.TempDir(), "data"), freePort(t))
	out, err := exec.Command(filepath.Join(dir, "bin", "dlm"), "--server", p.addr, "limits").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, rows := read(t, "docs/operations.md"), 0
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); f[0] != "LIMIT" {
			rows++
			if row := "| `" + f[0] + "` | " + f[1] + " |"; !strings.Contains(text, row) {
				t.Errorf("the table lacks %q", row)
			}
		}
	}
	if rows < 10 {
		t.Errorf("dlm limits prints\n%s", out)
	}
}
