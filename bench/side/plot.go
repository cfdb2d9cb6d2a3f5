package side

import (
	"fmt"
	"html"
	"strings"
)

// panel is one small bar chart.
type panel struct {
	title, unit string
	workload    string
	of          metric
	fewer       bool // less is better
}

var panels = []panel{
	{"1 worker, locks of their own", "pairs/s", "pairs-1", rate, false},
	{"64 workers", "pairs/s", "pairs-64", rate, false},
	{"1,024 workers", "pairs/s", "pairs-1024", rate, false},
	{"8 workers want one lock", "owner changes/s", "handoff-8", changes, false},
	{"One session acquires and keeps many locks", "locks/s", "held", rate, false},
	{"1,024 workers: the server's CPU time a pair", "µs, less is better", "pairs-1024", serverCPU, true},
}

// The colours keep their contrast on both grounds; ours is told by its colour, its place and its weight.
const style = `<style>
.ground{fill:#ffffff}.ink{fill:#1b1f24}.soft{fill:#59636e}.bar{fill:#9aa4b0}.ours{fill:#0072b2}.whisker{stroke:#1b1f24}.axis{stroke:#c5ccd3}
.whisker{stroke-width:1.5}
text{font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;font-size:12px}
.title{font-size:13px;font-weight:600}.bold{font-weight:600}.end{text-anchor:end}
@media(prefers-color-scheme:dark){.ground{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9aa5b1}.bar{fill:#5b6673}.ours{fill:#56b4e9}.whisker{stroke:#e6edf3}.axis{stroke:#3d444d}}
</style>`

// Measures of the plot, in its own units.
const (
	plotWidth  = 900
	panelWidth = 430
	labelWidth = 112
	barWidth   = 170
	rowHeight  = 22
	headHeight = 44
	gap        = 20
)

// plot draws medians as bars, least to most as whiskers, two panels abreast.
func (r *Results) plot() string {
	var b strings.Builder
	y := gap
	for i := 0; i < len(panels); i += 2 {
		height := 0
		for j, p := range panels[i:min(i+2, len(panels))] {
			height = max(height, r.panel(&b, p, gap+j*(panelWidth+gap/2), y))
		}
		y += height + gap
	}
	fmt.Fprintf(&b, "<text class=\"soft\" x=\"%d\" y=\"%d\">Bars: medians of %d rounds, lines: least to most. In brackets: how many times as much as that dlm does.</text>\n",
		gap, y, r.Settings.Rounds)
	y += gap
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"Rates of all services under each workload\">\n%s\n<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n%s</svg>\n",
		plotWidth, y, plotWidth, y, style, b.String())
}

// panel draws one and returns its height.
func (r *Results) panel(b *strings.Builder, p panel, x, y int) int {
	fmt.Fprintf(b, "<text class=\"ink title\" x=\"%d\" y=\"%d\">%s</text>\n", x, y+12, html.EscapeString(p.title))
	fmt.Fprintf(b, "<text class=\"soft\" x=\"%d\" y=\"%d\">%s</text>\n", x, y+29, html.EscapeString(p.unit))
	type row struct {
		About
		Spread
	}
	var rows []row
	most := 0.0
	for _, peer := range r.Peers {
		if s, ok := r.Of(p.workload, peer.Name, p.of); ok && !(p.fewer && peer.Name == "dlm-unary") {
			rows = append(rows, row{peer, s})
			most = max(most, s.Most)
		}
	}
	if len(rows) == 0 {
		fmt.Fprintf(b, "<text class=\"soft\" x=\"%d\" y=\"%d\">not measured</text>\n", x, y+headHeight+12)
		return headHeight + rowHeight
	}
	left, top := x+labelWidth, y+headHeight
	at := func(v float64) float64 { return float64(left) + v/most*barWidth }
	fmt.Fprintf(b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", left, left, top-4, top+len(rows)*rowHeight)
	for i, w := range rows {
		middle := top + i*rowHeight + rowHeight/2 - 2
		bar, weight := "bar", ""
		if strings.HasPrefix(w.Name, "dlm") {
			bar, weight = "ours", " bold"
		}
		fmt.Fprintf(b, "<text class=\"ink end%s\" x=\"%d\" y=\"%d\">%s</text>\n", weight, left-8, middle+4, html.EscapeString(w.Title))
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"14\" rx=\"2\"/>\n", bar, left, middle-7, at(w.Median)-float64(left))
		fmt.Fprintf(b, "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", at(w.Least), at(w.Most), middle, middle)
		for _, end := range []float64{at(w.Least), at(w.Most)} {
			fmt.Fprintf(b, "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", end, end, middle-4, middle+4)
		}
		label := number(w.Median)
		if ours, ok := r.Ratio(p.workload, "dlm", w.Name, p.of); ok && w.Name != "dlm" {
			say := ratio
			if p.fewer {
				say = fraction
			}
			label += " (" + say(ours.Median) + ")"
		}
		fmt.Fprintf(b, "<text class=\"ink%s\" x=\"%.1f\" y=\"%d\">%s</text>\n", weight, at(w.Most)+8, middle+4, label)
	}
	return headHeight + len(rows)*rowHeight
}
