package sim

import (
	"slices"
	"strconv"
	"strings"
)

// aboutText finds what the text of a failure names: `token 7`, `session 7`, `client 7`, `position 7`, `(session, sequence)`
// and quoted locks and files. Checkers keep to these words.
func (e *Event) aboutText(text string, s *scribe) {
	for _, n := range mentions(text) {
		switch n.word {
		case "token", "tokens":
			addTo(&e.Tokens, n.number)
			e.Causes = append(e.Causes, s.ofToken(n.number)...)
		case "session", "sessions":
			addTo(&e.Sessions, n.number)
		case "client":
			if e.Client < 0 {
				e.Client = int(n.number)
			}
		case "position":
			e.Index = n.number
			e.Causes = append(e.Causes, s.entries[n.number].event)
		case "(":
			addTo(&e.Sessions, n.number)
			k := reqKey{session: n.number, sequence: n.second}
			e.Causes = append(e.Causes, s.answers[k], s.requests[k])
		case `"`:
			addTo(&e.Locks, n.text)
		}
	}
	for _, id := range slices.Clone(e.Causes) {
		if c := s.rec.Event(id); c != nil && len(e.Locks) == 0 && c.Kind == KindGrant {
			addTo(&e.Locks, c.Locks...)
		}
	}
}

// ofToken are the events that a token's holder stands by: what it was told and believes, and what the log granted.
func (s *scribe) ofToken(token uint64) (ids []uint64) {
	for _, b := range s.beliefs {
		if b.token == token {
			ids = append(ids, b.event)
		}
	}
	return append(ids, s.grants[token])
}

// mention is something that a text names.
type mention struct {
	word           string
	number, second uint64
	text           string
}

// mentions takes a text apart. Each word stands before its number.
func mentions(text string) (found []mention) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == ':' || r == ';' })
	for i, f := range fields {
		if f[0] == '"' && len(f) > 2 {
			if q, _, ok := strings.Cut(f[1:], `"`); ok {
				found = append(found, mention{word: `"`, text: q})
			}
		}
		if f[0] == '(' && i+1 < len(fields) {
			a, errA := strconv.ParseUint(f[1:], 10, 64)
			b, errB := strconv.ParseUint(strings.TrimRight(fields[i+1], ".)"), 10, 64)
			if errA == nil && errB == nil {
				found = append(found, mention{word: "(", number: a, second: b})
			}
		}
		if i+1 == len(fields) {
			break
		}
		word := strings.TrimLeft(f, "(")
		if n, err := strconv.ParseUint(strings.TrimRight(fields[i+1], ".)"), 10, 64); err == nil {
			switch word {
			case "token", "tokens", "session", "sessions", "client", "position":
				found = append(found, mention{word: word, number: n})
			}
		}
	}
	return found
}
