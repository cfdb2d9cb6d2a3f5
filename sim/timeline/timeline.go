package timeline

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"time"

	"dlm/sim"
)

// Run is what a page shows.
type Run struct {
	Seed uint64
	// Hash of the trace.
	Hash uint64
	// Command repeats the run.
	Command string
	// Failure is the broken promise, nil if there was none, and Promise says in words what was promised.
	Failure *sim.Failure
	Promise string
	// Virtual is how much time passed in the simulation.
	Virtual time.Duration
	// Recorder holds the events.
	Recorder *sim.Recorder
}

// storyLength is how many events the page tells the story of a failure with.
const storyLength = 60

//go:embed page.html style.css *.js
var parts embed.FS

// scripts are embedded in this order: each uses only what stands before it.
var scripts = []string{"model.js", "layout.js", "view.js", "draw.js", "panel.js", "main.js"}

var page = template.Must(template.ParseFS(parts, "page.html"))

// Write writes the page.
func Write(w io.Writer, r Run) error {
	data, err := json.Marshal(export(r))
	if err != nil {
		return err
	}
	style, err := parts.ReadFile("style.css")
	if err != nil {
		return err
	}
	var code []byte
	for _, name := range scripts {
		b, err := parts.ReadFile(name)
		if err != nil {
			return err
		}
		code = append(append(code, b...), '\n')
	}
	return page.Execute(w, map[string]any{
		"Title": title(r),
		// These are our own files, and JSON in which Go has escaped everything that HTML could take for a tag.
		"Style": template.CSS(style), "Code": template.JS(code), "Data": template.JS(data),
	})
}

func title(r Run) string {
	if r.Failure != nil {
		return fmt.Sprintf("%s broken, seed %d", r.Failure.Number, r.Seed)
	}
	return fmt.Sprintf("Seed %d", r.Seed)
}

// document is the JSON that the page reads.
type document struct {
	Seed    string  `json:"seed"` // a string: JavaScript's numbers end at 2^53
	Hash    string  `json:"hash"`
	Command string  `json:"command"`
	Virtual float64 `json:"virtual"` // seconds
	// Number, Promise and Text are of the failure; Number is empty if there was none.
	Number  string      `json:"number"`
	Promise string      `json:"promise"`
	Text    string      `json:"text"`
	Lanes   []sim.Lane  `json:"lanes"`
	Story   []uint64    `json:"story"`
	Events  []jsonEvent `json:"events"`
}

// jsonEvent is a sim.Event with short names, since there are many. Times are in seconds; lanes are places in
// document.Lanes, from 1.
type jsonEvent struct {
	ID       uint64   `json:"i"`
	At       float64  `json:"t"`
	Until    float64  `json:"u,omitempty"`
	Lane     int      `json:"l,omitempty"`
	Kind     sim.Kind `json:"k"`
	What     string   `json:"w,omitempty"`
	Causes   []uint64 `json:"c,omitempty"`
	Text     string   `json:"x"`
	Client   int      `json:"cl"`
	Message  uint64   `json:"m,omitempty"`
	To       int      `json:"to,omitempty"`
	Copy     int      `json:"cp,omitempty"`
	Way      int      `json:"wy,omitempty"`
	Index    uint64   `json:"ix,omitempty"`
	Sequence uint64   `json:"sq,omitempty"`
	Refused  bool     `json:"r,omitempty"`
	Shared   bool     `json:"sh,omitempty"`
	Locks    []string `json:"lk,omitempty"`
	Sessions []uint64 `json:"ss,omitempty"`
	Tokens   []uint64 `json:"tk,omitempty"`
}

func export(r Run) document {
	d := document{
		Seed: fmt.Sprint(r.Seed), Hash: fmt.Sprintf("%016x", r.Hash), Command: r.Command, Virtual: r.Virtual.Seconds(),
		Story: []uint64{}, Events: []jsonEvent{},
	}
	if r.Failure != nil {
		d.Number, d.Promise, d.Text = r.Failure.Number, r.Promise, r.Failure.Text
		for _, e := range r.Recorder.LastThatMatter(storyLength) {
			d.Story = append(d.Story, e.ID)
		}
	}
	places := map[sim.Lane]int{}
	for _, machine := range []sim.Machine{sim.Client, sim.Server, sim.Disk} {
		for _, n := range numbers(r.Recorder.Events(), machine) {
			lane := sim.Lane{Machine: machine, Number: n}
			d.Lanes = append(d.Lanes, lane)
			places[lane] = len(d.Lanes)
		}
	}
	for _, e := range r.Recorder.Events() {
		d.Events = append(d.Events, jsonEvent{
			ID: e.ID, At: e.At.Seconds(), Until: e.Until.Seconds(), Lane: places[e.Lane], Kind: e.Kind, What: e.What, Causes: e.Causes,
			Text: e.Text, Client: e.Client, Message: e.Message, To: places[e.To], Copy: int(e.Copy), Way: int(e.Way), Index: e.Index,
			Sequence: e.Sequence, Refused: e.Refused, Shared: e.Shared, Locks: e.Locks, Sessions: e.Sessions, Tokens: e.Tokens,
		})
	}
	return d
}

// numbers are those of a sort of machine that occur, from 0 to the highest.
func numbers(events []sim.Event, m sim.Machine) (all []int) {
	count := 0
	for i := range events {
		if l := events[i].Lane; l.Machine == m {
			count = max(count, l.Number+1)
		}
	}
	for n := range count {
		all = append(all, n)
	}
	return all
}
