package goals

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dlm/client"
	"dlm/internal/rig"
)

// pair is a holder whose path to the server can be broken, and the next in line, whose path is sound.
type pair struct {
	lock      string
	proxy     *rig.Proxy // on the holder's path
	holderTap *rig.Tap
	nextTap   *rig.Tap
	holder    *client.Client
	next      *client.Client
	hs, ns    *client.Session
	held      *client.Lock
	granted   chan grant
}

// grant is what the next in line got, and when.
type grant struct {
	lock *client.Lock
	err  error
	at   time.Time
}

// nextTTL is long enough that the next in line has nothing to fear.
const nextTTL = 30 * time.Second

// newPair has the holder lock, and the next in line wait for it. A ttl of 0 is the cluster's default.
func (e *env) newPair(ctx context.Context, name string, ttl time.Duration, opts ...client.LockOption) (*pair, error) {
	p := &pair{lock: e.name(name), holderTap: rig.NewTap(), nextTap: rig.NewTap(), granted: make(chan grant, 1)}
	if err := p.open(ctx, e.addr, ttl, opts); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pair) open(ctx context.Context, addr string, ttl time.Duration, opts []client.LockOption) (err error) {
	if p.proxy, err = rig.NewProxy(addr); err != nil {
		return err
	}
	if p.holder, err = dial(p.proxy.Addr(), p.holderTap.Option()); err != nil {
		return err
	}
	if p.next, err = dial(addr, p.nextTap.Option()); err != nil {
		return err
	}
	if p.hs, err = p.holder.OpenSession(ctx, client.WithTTL(ttl), client.WithLabel(p.lock+" holder")); err != nil {
		return err
	}
	if p.ns, err = p.next.OpenSession(ctx, client.WithTTL(nextTTL), client.WithLabel(p.lock+" next")); err != nil {
		return err
	}
	if p.held, err = p.hs.Lock(ctx, p.lock, opts...); err != nil {
		return err
	}
	return p.queue(ctx)
}

// queue has the next in line ask, and returns when it waits.
func (p *pair) queue(ctx context.Context) error {
	go func() {
		lk, err := p.ns.Lock(ctx, p.lock)
		p.granted <- grant{lk, err, time.Now()}
	}()
	for {
		info, err := p.next.GetLock(ctx, p.lock)
		if err != nil {
			return err
		}
		if len(info.GetWaiters()) > 0 {
			return nil
		}
		sleep(ctx, time.Millisecond)
	}
}

// await returns the grant. The holder must have been told before.
func (p *pair) await(ctx context.Context) (grant, error) {
	select {
	case g := <-p.granted:
		if g.err != nil {
			return g, g.err
		}
		if p.held.Held() {
			return g, fmt.Errorf("the holder's library still says \"held\" although token %d was granted", g.lock.Token())
		}
		if g.lock.Token() <= p.held.Token() {
			return g, fmt.Errorf("the next token %d is not larger than %d", g.lock.Token(), p.held.Token())
		}
		return g, nil
	case <-ctx.Done():
		return grant{}, fmt.Errorf("the next in line was granted nothing: %w", context.Cause(ctx))
	}
}

// keepAlives is how many of the holder's were acknowledged.
func (p *pair) keepAlives() (acked int) {
	for _, r := range p.holderTap.Records() {
		if r.Request.GetKeepAlive() != nil && len(r.Answers) > 0 {
			acked++
		}
	}
	return acked
}

// grantStamp is the cluster time of the grant to the next in line.
func (p *pair) grantStamp(token uint64) (uint64, error) {
	for _, r := range p.nextTap.Records() {
		for _, a := range r.Answers {
			if r.Request.GetAcquire() != nil && a.GetToken() == token {
				return a.GetStamp(), nil
			}
		}
	}
	return 0, errors.New("the grant is not on record")
}

// close gives everything back, over paths that are sound again.
func (p *pair) close() {
	if p.proxy != nil {
		p.proxy.Silence(false, false)
		p.proxy.Refuse(false)
		defer p.proxy.Close()
	}
	for _, c := range []*client.Client{p.holder, p.next} {
		if c != nil {
			_ = c.Close()
		}
	}
}
