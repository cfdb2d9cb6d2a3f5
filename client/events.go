package client

// EventKind says what an Event is about.
type EventKind int

const (
	// LockLost: Lock under Token is gone; Err says why.
	LockLost EventKind = iota + 1
	// SessionLost: the session is gone with all its locks (or was closed); Err says why. The last event of a session.
	SessionLost
	// Contended: somebody waits for Lock, which this session holds under Token. A hint, may be missing.
	Contended
	// Queued: an acquire of this session waits for Lock. A hint, may be missing.
	Queued
)

func (k EventKind) String() string {
	switch k {
	case LockLost:
		return "lock lost"
	case SessionLost:
		return "session lost"
	case Contended:
		return "contended"
	case Queued:
		return "queued"
	}
	return "unknown"
}

// Event is something that happened to a session without being asked for.
type Event struct {
	Kind  EventKind
	Lock  string
	Token uint64
	// Err is why something was lost, nil otherwise.
	Err error
}

// Events delivers what happens to the session; it is closed after SessionLost. It keeps a bounded number of unread
// events (WithEventBuffer); then the oldest is dropped and counted. Losses are never only here: Lock.Context tells too.
func (s *Session) Events() <-chan Event { return s.events }

// DroppedEvents is how many events were dropped because nobody read them.
func (s *Session) DroppedEvents() uint64 { return s.dropped.Load() }

// push adds an event; only the loop does, so making room cannot race with another sender.
func (s *Session) push(ev Event) {
	for {
		select {
		case s.events <- ev:
			return
		default:
		}
		select {
		case <-s.events:
			s.dropped.Add(1)
		default: // a reader was faster
		}
	}
}
