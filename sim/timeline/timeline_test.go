package timeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm/sim"
	"dlm/sim/run"
	"dlm/sim/timeline"
)

// page writes a run's page, with a failure that is made up, and returns its path.
func page(t *testing.T, seed uint64) string {
	t.Helper()
	rec := sim.NewRecorder()
	r := run.Run(sim.Expand(seed), rec)
	if r.Failure == nil {
		last := rec.Events()[len(rec.Events())-1]
		r.Failure = &sim.Failure{Number: "G2", Text: `made up </script><b>`, At: last.At}
		rec.Fail(r.Failure)
	}
	file := filepath.Join(t.TempDir(), "run.html")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = timeline.Write(f, timeline.Run{
		Seed: seed, Hash: r.Hash, Command: "repeat me", Failure: r.Failure, Promise: "lease safety: made up", Virtual: r.Virtual, Recorder: rec,
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// The page needs nothing from outside, and a text of a run cannot break out of it.
func TestPageIsWhole(t *testing.T) {
	b, err := os.ReadFile(page(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, not := range []string{"http://", "https://", "<script src", "import(", "@import", "url(", "</script><b>"} {
		if strings.Contains(text, not) {
			t.Errorf("the page holds %q", not)
		}
	}
	if n := strings.Count(text, "<script"); n != 2 {
		t.Errorf("%d scripts, want the data and the code", n)
	}
}

// TestBrowser uses a page as a person does, and fails on whatever the browser complains about.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	file := page(t, 7)
	b.open("file://" + file)
	if len(b.complaints) > 0 || !b.truth("window.timeline") {
		t.Fatalf("the page does not start: %s", b.complaints)
	}
	t.Run("first screen", func(t *testing.T) {
		b.t = t
		wantTrue(t, b, "the broken promise is selected", `timeline.view.selected === timeline.model.violation.i`)
		wantTrue(t, b, "and in view", `timeline.view.t0 < timeline.model.violation.t && timeline.view.t1 > timeline.model.violation.t`)
		wantTrue(t, b, "and named", `document.body.innerText.includes("G2 is broken: lease safety") && document.body.innerText.includes("made up </script><b>")`)
		wantTrue(t, b, "something is drawn", `(() => { const c = document.getElementById("chart"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, seen = new Set(); for (let i = 0; i < d.length; i += 4 * 97) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return seen.size > 8; })()`)
	})
	t.Run("zoom and pan", func(t *testing.T) { b.t = t; zoomAndPan(t, b) })
	t.Run("filter", func(t *testing.T) { b.t = t; filter(t, b) })
	t.Run("search", func(t *testing.T) { b.t = t; searchFor(t, b) })
	t.Run("click and walk", func(t *testing.T) { b.t = t; clickAndWalk(t, b) })
	t.Run("link", func(t *testing.T) { b.t = t; followLink(t, b, file) })
	t.Run("themes, folding, print", func(t *testing.T) {
		b.t = t
		var before, after string
		b.eval(`getComputedStyle(document.body).backgroundColor`, &before)
		b.clickOn("#theme")
		b.eval(`getComputedStyle(document.body).backgroundColor`, &after)
		if before == after {
			t.Errorf("the theme stays %s", before)
		}
		b.clickOn("#fold")
		wantTrue(t, b, "idle time is not folded", `!timeline.view.folded && timeline.view.scale.folds.length === 0`)
		b.call("Page.printToPDF", nil, nil)
	})
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.complaints, "\n"))
	}
}

func wantTrue(t *testing.T, b *browser, what, code string) {
	t.Helper()
	if !b.truth(code) {
		t.Errorf("not so: %s (%s)", what, code)
	}
}

func span(b *browser) (s float64) {
	b.settle()
	b.eval("timeline.view.u1 - timeline.view.u0", &s)
	return s
}

func zoomAndPan(t *testing.T, b *browser) {
	whole := span(b)
	b.mouse("mouseWheel", 600, 400, map[string]any{"deltaX": 0, "deltaY": -400})
	near := span(b)
	if near > 0.6*whole {
		t.Errorf("the wheel zooms from %v to %v", whole, near)
	}
	b.eval(`document.getElementById("chart").focus()`, nil)
	b.key("+")
	if nearer := span(b); nearer >= near {
		t.Errorf("+ zooms from %v to %v", near, nearer)
	}
	b.key("-")
	var before, dragged, moved float64
	b.eval("timeline.view.u0", &before)
	b.mouse("mousePressed", 700, 300, map[string]any{"button": "left", "clickCount": 1})
	b.mouse("mouseMoved", 900, 300, map[string]any{"button": "left", "buttons": 1})
	b.mouse("mouseReleased", 900, 300, map[string]any{"button": "left", "clickCount": 1})
	b.settle()
	b.eval("timeline.view.u0", &dragged)
	if dragged >= before {
		t.Errorf("dragging to the right goes from %v to %v", before, dragged)
	}
	b.key("ArrowLeft")
	b.eval("timeline.view.u0", &moved)
	if moved >= dragged {
		t.Errorf("the left arrow goes from %v to %v", dragged, moved)
	}
	b.key("0")
	wantTrue(t, b, "0 shows all", `timeline.view.t0 <= 0 && timeline.view.t1 >= timeline.model.end`)
}

func filter(t *testing.T, b *browser) {
	count := func() (n int) {
		b.eval(`timeline.chart.hot.length`, &n)
		return n
	}
	lanes := `timeline.chart.layout.lanes.size`
	var before, after int
	b.eval(lanes, &before)
	all := count()
	b.clickOn(`#clients button[data-key="1"]`)
	b.eval(lanes, &after)
	wantTrue(t, b, "nothing of client 1 is drawn", `!timeline.chart.hot.some(h => h.e.cl === 1 && h.e.k !== "fault")`)
	if after != before-1 {
		t.Errorf("%d lanes without client 1, %d with it", after, before)
	}
	b.clickOn(`#clients button[data-key="1"]`)
	b.clickOn(`#kinds button[data-key="messages"]`)
	wantTrue(t, b, "only keep-alives are drawn as messages", `timeline.chart.hot.filter(h => h.line).every(h => ["keep-alive", "hello"].includes(h.sent.w))`)
	b.clickOn(`#kinds button[data-key="messages"]`)
	b.clickOn(`#locks button`)
	wantTrue(t, b, "a lock's strip is gone", `timeline.chart.layout.strips.length === timeline.model.locks.length - 1`)
	b.clickOn(`#locks button`)
	if now := count(); now != all {
		t.Errorf("%d things are drawn after all filters were lifted, %d before", now, all)
	}
}

func searchFor(t *testing.T, b *browser) {
	b.key("/")
	wantTrue(t, b, "/ goes to the search", `document.activeElement.id === "search"`)
	b.call("Input.insertText", map[string]any{"text": "granted to session"}, nil)
	b.settle()
	wantTrue(t, b, "grants are found", `timeline.view.hits.length > 3 && timeline.view.hits.every(i => timeline.model.byId.get(i).k === "grant")`)
	b.key("Enter")
	wantTrue(t, b, "the first is selected", `timeline.view.hits.includes(timeline.view.selected)`)
	var first, second int
	b.eval("timeline.view.selected", &first)
	b.key("Enter")
	b.eval("timeline.view.selected", &second)
	if first == second {
		t.Errorf("Enter stays at #%d", first)
	}
	b.key("Escape")
	wantTrue(t, b, "Escape empties the search", `timeline.view.hits.length === 0 && document.getElementById("search").value === ""`)
}

func clickAndWalk(t *testing.T, b *browser) {
	b.key("0")
	var at struct {
		X, Y  float64
		Event int
	}
	b.eval(`(() => { const box = timeline.chart.canvas.getBoundingClientRect();
		for (const h of timeline.chart.hot) if (h.e.k === "grant" && h.x1 - h.x0 > 12) {
			const x = h.x0 + 5, y = (h.y0 + h.y1) / 2 - timeline.view.scroll, top = pick(timeline.chart, x, y);
			if (top && top.e === h.e) return { X: box.x + x, Y: box.y + y, Event: h.e.i };
		} })()`, &at)
	b.click(at.X, at.Y)
	var panel string
	b.eval(`document.getElementById("panel").innerText`, &panel)
	if !b.truth(fmt.Sprintf("timeline.view.selected === %d", at.Event)) || !strings.Contains(panel, "Grant") || !strings.Contains(panel, "Because of") {
		t.Fatalf("a click on the grant #%d shows %q", at.Event, panel)
	}
	// From cause to cause, back to the call of an application, or the start of its process.
	for range 40 {
		if b.truth(`["call", "up"].includes(timeline.model.byId.get(timeline.view.selected).k)`) {
			break
		}
		b.clickOn(`#panel section:nth-of-type(2) li button`)
	}
	wantTrue(t, b, "the way leads to a call", `timeline.model.byId.get(timeline.view.selected).k === "call"`)
	b.clickOn(`#panel section:nth-of-type(3) li button`) // and forward again
	wantTrue(t, b, "what it led to comes after it", `timeline.model.byId.get(timeline.view.selected).k !== "call"`)
	b.click(at.X, at.Y)
	b.key("c")
	b.key("e")
	b.key("Escape")
	wantTrue(t, b, "Escape selects nothing", `timeline.view.selected === null`)
}

func followLink(t *testing.T, b *browser, file string) {
	b.eval(`select(timeline.view, 40, true)`, nil)
	b.mouse("mouseWheel", 600, 400, map[string]any{"deltaX": 0, "deltaY": -500})
	b.clickOn(`#clients button[data-key="2"]`)
	state := `[timeline.view.selected, timeline.view.t0.toFixed(5), timeline.view.t1.toFixed(5), [...timeline.view.hidden.clients]].join()`
	var link, want, got string
	b.settle()
	b.eval("location.hash", &link)
	b.eval(state, &want)
	b.open("file://" + file + link)
	b.eval(state, &got)
	if got != want || !strings.Contains(link, "e=40") {
		t.Errorf("the link %s leads to %s, want %s", link, got, want)
	}
}

// The complaints that TestBrowser relies on are heard.
func TestBrowserComplains(t *testing.T) {
	b := startBrowser(t)
	whole, err := os.ReadFile(page(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	for _, planted := range []string{`nobody()`, `console.error("x")`, `fetch("http://127.0.0.1:9/")`, `setTimeout(() => { null.x })`} {
		file := filepath.Join(t.TempDir(), "bad.html")
		if err := os.WriteFile(file, []byte(strings.Replace(string(whole), "</body>", "<script>"+planted+"</script></body>", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		b.complaints = nil
		b.open("file://" + file)
		b.settle()
		if len(b.complaints) == 0 {
			t.Errorf("nobody complains about %s", planted)
		}
	}
}

// Twenty thousand events are drawn in a time that is measured, not judged: machines differ.
func TestLargePage(t *testing.T) {
	b := startBrowser(t)
	rec := sim.NewRecorder()
	for seed := uint64(1); len(rec.Events()) < 20_000; seed++ {
		one := sim.NewRecorder()
		run.Run(sim.Expand(seed), one)
		shift, later := uint64(len(rec.Events())), rec.Last()
		for _, e := range one.Events() {
			e.At += later
			if e.Until > 0 {
				e.Until += later
			}
			e.Causes = append([]uint64(nil), e.Causes...)
			for i := range e.Causes {
				e.Causes[i] += shift
			}
			if e.Message > 0 {
				e.Message += shift
			}
			rec.Add(e)
		}
	}
	file := filepath.Join(t.TempDir(), "large.html")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := timeline.Write(f, timeline.Run{Seed: 1, Virtual: rec.Last(), Recorder: rec}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b.open("file://" + file)
	var whole, part float64
	frame := `(() => { const t = performance.now(); for (let i = 0; i < 10; i++) draw(timeline.chart); timeline.chart.ctx.getImageData(0, 0, 1, 1); return (performance.now() - t) / 10; })()`
	b.eval(frame, &whole)
	b.eval(`zoom(timeline.view, 0.05)`, nil)
	b.eval(frame, &part)
	t.Logf("%d events: %.1f ms a frame for the whole run, %.1f ms for a twentieth of it", len(rec.Events()), whole, part)
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.complaints, "\n"))
	}
}
