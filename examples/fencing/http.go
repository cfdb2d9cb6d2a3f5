package fencing

import (
	"net/http"
	"strconv"
	"sync"
)

// Header carries the token.
const Header = "Fencing-Token"

// Guard lets a request through if its token is not older than one that was here before. It must see all writes to the
// resource: one Guard for each, in the process that owns it. What it has seen must live as long as the resource does; this
// one keeps it in memory, which is right for a resource that lives there too.
type Guard struct {
	Next http.Handler

	mu   sync.Mutex
	seen uint64
}

func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, err := strconv.ParseUint(r.Header.Get(Header), 10, 64)
	if err != nil {
		http.Error(w, Header+" must be the token of your lock", http.StatusBadRequest)
		return
	}
	// Held while Next works: a newer token must not overtake this one between the comparison and the write.
	g.mu.Lock()
	defer g.mu.Unlock()
	if token < g.seen {
		http.Error(w, (&StaleError{Token: token, Seen: g.seen}).Error(), http.StatusPreconditionFailed)
		return
	}
	g.seen = token
	g.Next.ServeHTTP(w, r)
}
