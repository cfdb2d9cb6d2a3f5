package grpcserver

import (
	"context"
	"log/slog"

	dlmv1 "dlm/api/dlm/v1"
	"dlm/core"
)

// story writes the life of locks and sessions to the log, so that it can be followed by name, token or session. What goes as
// its clients wish is told at level debug, what was taken from them at info, and each revoke, which is somebody's decision,
// at warn, with audit=revoke.
type story struct{ log *slog.Logger }

func (s story) entry(events []core.Event) {
	for i := range events {
		if e := &events[i]; s.log.Enabled(context.Background(), s.level(e)) {
			s.tell(e)
		}
	}
}

func (story) level(e *core.Event) slog.Level {
	switch {
	case e.By != 0:
		return slog.LevelWarn
	case e.Kind == core.EventLost || e.Kind == core.EventTakenOver || e.Kind == core.EventEnded && e.Reason != dlmv1.Reason_REASON_SESSION_CLOSED:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// words are the messages, by kind.
var words = map[core.EventKind]string{
	core.EventOpened:    "session opened",
	core.EventTakenOver: "session taken over by another instance",
	core.EventEnded:     "session ended",
	core.EventQueued:    "waits",
	core.EventGaveUp:    "no longer waits",
	core.EventGranted:   "granted",
	core.EventReleased:  "released",
	core.EventLost:      "lost",
	core.EventUnblocked: "revoked hold is over",
	core.EventRevoked:   "session revoked",
}

func (s story) tell(e *core.Event) {
	attrs := make([]slog.Attr, 0, 8)
	if e.By != 0 {
		attrs = append(attrs, slog.String("audit", "revoke"), slog.String("by", e.ByLabel), slog.Uint64("by_session", e.By))
	}
	if e.Lock != "" {
		mode := "exclusive"
		if e.Shared {
			mode = "shared"
		}
		attrs = append(attrs, slog.String("lock", e.Lock), slog.String("mode", mode))
	}
	if e.Token != 0 {
		attrs = append(attrs, slog.Uint64("token", e.Token))
	}
	attrs = append(attrs, slog.Uint64("session", e.Session))
	if e.Reason != 0 {
		attrs = append(attrs, slog.String("reason", inLabel(e.Reason)))
	}
	if e.Why != "" {
		key := "why"
		if e.Kind == core.EventOpened {
			key = "label"
		}
		attrs = append(attrs, slog.String(key, e.Why))
	}
	s.log.LogAttrs(context.Background(), s.level(e), words[e.Kind], attrs...)
}
