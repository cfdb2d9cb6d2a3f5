package timeline_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium that is spoken to over a pair of pipes: a message is JSON and ends with a zero byte.
type browser struct {
	t       *testing.T
	out     io.Writer
	answers chan message
	session string
	last    int
	// complaints are script errors, errors and warnings that scripts log, and requests that leave the page.
	complaints []string
}

type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// startBrowser skips the test, and says so, where no browser is installed.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("SKIPPED: no Chromium here, so that nobody looks at the page (Debian: apt-get install chromium)")
	}
	in, out, errPipe := pipes()
	if errPipe != nil {
		t.Fatal(errPipe)
	}
	home := t.TempDir()
	cmd := exec.Command(program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--window-size=1400,900", "--user-data-dir="+home, "about:blank")
	cmd.ExtraFiles = []*os.File{in.theirs, out.theirs} // 3: it reads, 4: it writes
	cmd.Env = append(os.Environ(), "HOME="+home)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.theirs.Close()
	out.theirs.Close()
	b := &browser{t: t, out: in.ours, answers: make(chan message, 1000)}
	go func() {
		defer close(b.answers)
		r := bufio.NewReader(out.ours)
		for {
			text, err := r.ReadBytes(0)
			if err != nil {
				return
			}
			var m message
			if json.Unmarshal(text[:len(text)-1], &m) == nil {
				b.answers <- m
			}
		}
	}()
	t.Cleanup(func() {
		in.ours.Close()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done: // it ends when its pipe does
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		out.ours.Close()
	})
	return b
}

type pipe struct{ ours, theirs *os.File }

func pipes() (in, out pipe, err error) {
	r1, w1, err1 := os.Pipe()
	r2, w2, err2 := os.Pipe()
	return pipe{ours: w1, theirs: r1}, pipe{ours: r2, theirs: w2}, errors.Join(err1, err2)
}

// call sends a command and decodes its answer into result, which may be nil.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.last++
	m := map[string]any{"id": b.last, "method": method, "params": params}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	timeout := time.After(60 * time.Second)
	for {
		select {
		case m, ok := <-b.answers:
			if !ok {
				b.t.Fatalf("the browser ended during %s", method)
			}
			if m.ID != b.last {
				b.event(m)
				continue
			}
			if m.Error != nil {
				b.t.Fatalf("%s: %s", method, m.Error.Message)
			}
			if result != nil {
				if err := json.Unmarshal(m.Result, result); err != nil {
					b.t.Fatalf("%s: %v in %s", method, err, m.Result)
				}
			}
			return
		case <-timeout:
			b.t.Fatalf("no answer to %s in a minute", method)
		}
	}
}

func (b *browser) event(m message) {
	var p struct {
		Type, Level      string
		ExceptionDetails json.RawMessage
		Entry            struct{ Level, Text string }
		Request          struct{ URL string }
	}
	_ = json.Unmarshal(m.Params, &p)
	bad := func(level string) bool { return level == "error" || level == "warning" || level == "assert" }
	switch {
	case m.Method == "Runtime.exceptionThrown", m.Method == "Runtime.consoleAPICalled" && bad(p.Type), m.Method == "Log.entryAdded" && p.Entry.Level == "error":
		b.complaints = append(b.complaints, m.Method+" "+string(m.Params))
	case m.Method == "Network.requestWillBeSent" && !strings.HasPrefix(p.Request.URL, "file:") && !strings.HasPrefix(p.Request.URL, "data:"):
		b.complaints = append(b.complaints, "a request to "+p.Request.URL)
	}
}

// open shows a page in a new tab and waits until its script has run, or has failed.
func (b *browser) open(url string) {
	b.t.Helper()
	b.session = ""
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Runtime", "Log", "Page", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(`document.readyState === "complete" && location.href !== "about:blank"`)
}

// eval evaluates JavaScript. What it throws counts as a complaint.
func (b *browser) eval(code string, result any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": code, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.complaints = append(b.complaints, fmt.Sprintf("%s: %s", code, r.ExceptionDetails))
	}
	if result != nil {
		if err := json.Unmarshal(r.Result.Value, result); err != nil {
			b.t.Fatalf("%s gives %s: %v", code, r.Result.Value, err)
		}
	}
}

func (b *browser) truth(code string) (yes bool) {
	b.t.Helper()
	b.eval("Boolean("+code+")", &yes)
	return yes
}

// until waits for something to become true in the page.
func (b *browser) until(code string) {
	b.t.Helper()
	for range 600 {
		if b.truth(code) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("never true: %s", code)
}

// settle lets the page draw what has changed.
func (b *browser) settle() {
	b.t.Helper()
	b.eval("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))", nil)
}

func (b *browser) mouse(kind string, x, y float64, more map[string]any) {
	b.t.Helper()
	p := map[string]any{"type": kind, "x": x, "y": y}
	for k, v := range more {
		p[k] = v
	}
	b.call("Input.dispatchMouseEvent", p, nil)
}

func (b *browser) click(x, y float64) {
	b.t.Helper()
	b.mouse("mouseMoved", x, y, nil)
	b.mouse("mousePressed", x, y, map[string]any{"button": "left", "clickCount": 1})
	b.mouse("mouseReleased", x, y, map[string]any{"button": "left", "clickCount": 1})
	b.settle()
}

// clickOn clicks in the middle of an element.
func (b *browser) clickOn(selector string) {
	b.t.Helper()
	var at struct{ X, Y float64 }
	b.eval(fmt.Sprintf(`(() => { const n = document.querySelector(%q); n.scrollIntoView({ block: "nearest" }); const r = n.getBoundingClientRect(); return { X: r.x + r.width / 2, Y: r.y + r.height / 2 }; })()`, selector), &at)
	b.click(at.X, at.Y)
}

func (b *browser) key(key string) {
	b.t.Helper()
	p := map[string]any{"type": "keyDown", "key": key}
	if len(key) == 1 {
		p["text"] = key
	}
	if key == "Enter" {
		p["text"], p["windowsVirtualKeyCode"] = "\r", 13
	}
	b.call("Input.dispatchKeyEvent", p, nil)
	b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key}, nil)
	b.settle()
}
