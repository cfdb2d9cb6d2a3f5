package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"dlm/client"
)

// Ledger is what the clients of a run know about tokens and files, to be compared with what the service says. All methods
// may be called by any number of goroutines.
type Ledger struct {
	mu     sync.Mutex
	tokens map[uint64]string // granted, and for which lock
	last   uint64            // the largest
	files  map[string]*fileLedger
	writes int
}

type fileLedger struct {
	tried map[string]*Write // by line
}

// Write is one append that was tried.
type Write struct {
	l      *Ledger
	File   string
	Token  uint64
	Line   string // ends in a newline; no two of a run are the same
	acked  bool
	offset uint64
}

// NewLedger begins an empty one.
func NewLedger() *Ledger {
	return &Ledger{tokens: map[uint64]string{}, files: map[string]*fileLedger{}}
}

// Floor is to be asked before a lock is: whatever is granted after that has a larger token.
func (l *Ledger) Floor() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Granted takes the token of a grant that was asked for after floor was read (G3).
func (l *Ledger) Granted(lock string, token, floor uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, dup := l.tokens[token]; dup {
		return fmt.Errorf("token %d was granted twice: for %q and for %q", token, before, lock)
	}
	if token <= floor {
		return fmt.Errorf("lock %q was granted with token %d after token %d had been granted: tokens must grow", lock, token, floor)
	}
	l.tokens[token] = lock
	l.last = max(l.last, token)
	return nil
}

// Grants is how many tokens were granted.
func (l *Ledger) Grants() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tokens)
}

// Try notes an append that is about to be made, of about size bytes, and makes its line.
func (l *Ledger) Try(file string, token uint64, writer string, size int) *Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[file]
	if f == nil {
		f = &fileLedger{tried: map[string]*Write{}}
		l.files[file] = f
	}
	l.writes++
	line := fmt.Sprintf("%s #%d under %d ", writer, l.writes, token)
	line += strings.Repeat("x", max(0, size-len(line)-1)) + "\n"
	w := &Write{l: l, File: file, Token: token, Line: line}
	f.tried[line] = w
	return w
}

// Acked notes that the service has acknowledged it, at this offset.
func (w *Write) Acked(offset uint64) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	w.acked, w.offset = true, offset
}

// Tally says how appends ended.
type Tally struct {
	Files, Acked, Unacked int
	// Kept are unacknowledged ones that took effect all the same, as they may.
	Kept  int
	Bytes int
}

func (t *Tally) add(o Tally) {
	t.Files += o.Files
	t.Acked += o.Acked
	t.Unacked += o.Unacked
	t.Kept += o.Kept
	t.Bytes += o.Bytes
}

// Check compares all files with what the service has now: each acknowledged append is there once, at the offset that was
// answered; each other one at most once; in the order of the tokens; and not one byte more (G3, G4, G5). Nobody may append
// meanwhile.
func (l *Ledger) Check(ctx context.Context, c *client.Client) (Tally, error) {
	var all Tally
	for _, name := range l.names() {
		content, err := readFile(ctx, c, name)
		if err != nil {
			return all, err
		}
		t, err := l.CheckFile(name, content)
		if err != nil {
			return all, fmt.Errorf("file %q: %w", name, err)
		}
		all.add(t)
	}
	return all, nil
}

func (l *Ledger) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name := range l.files {
		names = append(names, name)
	}
	return names
}

// readFile: a file to which no append has come through is not there.
func readFile(ctx context.Context, c *client.Client, name string) ([]byte, error) {
	b, err := c.ReadFile(ctx, name)
	if errors.Is(err, client.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

// CheckFile compares one file.
func (l *Ledger) CheckFile(name string, content []byte) (Tally, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[name]
	if f == nil {
		return Tally{}, fmt.Errorf("nobody has ever appended to it, and it has %d bytes", len(content))
	}
	t := Tally{Files: 1, Bytes: len(content)}
	at := uint64(0)
	var last *Write
	seen := map[*Write]bool{}
	for len(content) > 0 {
		end := bytes.IndexByte(content, '\n') + 1
		if end == 0 {
			end = len(content)
		}
		w := f.tried[string(content[:end])]
		switch {
		case w == nil:
			return t, fmt.Errorf("at offset %d it has bytes that nobody appended: %.80q", at, content[:end])
		case seen[w]:
			return t, fmt.Errorf("at offset %d an append is there a second time: %.80q", at, w.Line)
		case w.acked && w.offset != at:
			return t, fmt.Errorf("an append is at offset %d and was acknowledged at offset %d: %.80q", at, w.offset, w.Line)
		case last != nil && w.Token < last.Token:
			return t, fmt.Errorf("at offset %d an append under token %d follows one under token %d", at, w.Token, last.Token)
		}
		seen[w], last = true, w
		content = content[end:]
		at += uint64(end)
	}
	for _, w := range f.tried {
		switch {
		case w.acked && !seen[w]:
			return t, fmt.Errorf("an acknowledged append is missing, it was at offset %d: %.80q", w.offset, w.Line)
		case w.acked:
			t.Acked++
		case seen[w]:
			t.Unacked++
			t.Kept++
		default:
			t.Unacked++
		}
	}
	return t, nil
}
