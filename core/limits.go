package core

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	dlmv1 "dlm/api/dlm/v1"
)

// ErrLimits is wrapped by errors about a set of limits.
var ErrLimits = errors.New("core: bad limits")

const (
	day       = 24 * time.Hour
	century   = 100 * 365 * day // bounds every duration: stamp + duration stays far from the end of uint64
	someCount = 1 << 32
)

// limitField is one field of Limits, with its default and what it may be set to.
type limitField struct {
	name          string
	of            func(*dlmv1.Limits) *uint64
	value         uint64 // the default
	least, utmost uint64
}

// limitFields are the fields of Limits in the order of their numbers, which is also that of the snapshot.
var limitFields = []limitField{
	{"sessions", func(l *dlmv1.Limits) *uint64 { return &l.Sessions }, 1 << 20, 1, someCount},
	{"locks", func(l *dlmv1.Limits) *uint64 { return &l.Locks }, 1 << 22, 1, someCount},
	{"holds_per_session", func(l *dlmv1.Limits) *uint64 { return &l.HoldsPerSession }, 1 << 20, 1, someCount},
	{"waiters_per_lock", func(l *dlmv1.Limits) *uint64 { return &l.WaitersPerLock }, 1 << 16, 1, someCount},
	{"window", func(l *dlmv1.Limits) *uint64 { return &l.Window }, 1024, 1, maxWindow},
	{"name_bytes", func(l *dlmv1.Limits) *uint64 { return &l.NameBytes }, 255, 1, 4096},
	{"value_bytes", func(l *dlmv1.Limits) *uint64 { return &l.ValueBytes }, 4096, 1, 1 << 20},
	{"text_bytes", func(l *dlmv1.Limits) *uint64 { return &l.TextBytes }, 256, 1, 1 << 16},
	{"append_bytes", func(l *dlmv1.Limits) *uint64 { return &l.AppendBytes }, 1 << 20, 1, 1 << 26},
	{"files", func(l *dlmv1.Limits) *uint64 { return &l.Files }, 1 << 20, 1, someCount},
	{"file_bytes", func(l *dlmv1.Limits) *uint64 { return &l.FileBytes }, 1 << 40, 1, 1 << 56},
	{"default_ttl_nanos", func(l *dlmv1.Limits) *uint64 { return &l.DefaultTtlNanos }, uint64(30 * time.Second), 1, uint64(century)},
	{"min_ttl_nanos", func(l *dlmv1.Limits) *uint64 { return &l.MinTtlNanos }, uint64(500 * time.Millisecond), 1, uint64(century)},
	{"max_ttl_nanos", func(l *dlmv1.Limits) *uint64 { return &l.MaxTtlNanos }, uint64(day), 1, uint64(century)},
	{"max_wait_nanos", func(l *dlmv1.Limits) *uint64 { return &l.MaxWaitNanos }, uint64(365 * day), 1, uint64(century)},
	{"max_hold_limit_nanos", func(l *dlmv1.Limits) *uint64 { return &l.MaxHoldLimitNanos }, uint64(365 * day), 1, uint64(century)},
	{"max_lock_delay_nanos", func(l *dlmv1.Limits) *uint64 { return &l.MaxLockDelayNanos }, uint64(time.Hour), 1, uint64(century)},
	{"drift_ppm", func(l *dlmv1.Limits) *uint64 { return &l.DriftPpm }, 10_000, 1, 500_000},
}

// DefaultLimits are the limits of a cluster that asks for none.
func DefaultLimits() *dlmv1.Limits {
	l := new(dlmv1.Limits)
	for _, f := range limitFields {
		*f.of(l) = f.value
	}
	return l
}

// mergeLimits returns a copy of base in which the fields of change that are not 0 replace the present ones.
func mergeLimits(base, change *dlmv1.Limits) *dlmv1.Limits {
	l := new(dlmv1.Limits)
	for _, f := range limitFields {
		*f.of(l) = *f.of(base)
		if change != nil && *f.of(change) != 0 {
			*f.of(l) = *f.of(change)
		}
	}
	return l
}

// checkLimits says whether a complete set of limits makes sense.
func checkLimits(l *dlmv1.Limits) error {
	if bad := badLimits(l); bad != "" {
		return fmt.Errorf("%w: %s", ErrLimits, bad)
	}
	return nil
}

// badLimits says what is wrong with a complete set of limits; "" = nothing.
func badLimits(l *dlmv1.Limits) string {
	for _, f := range limitFields {
		if v := *f.of(l); v < f.least || v > f.utmost {
			return fmt.Sprintf("%s is %s, allowed are %s to %s", f.title(), f.text(v), f.text(f.least), f.text(f.utmost))
		}
	}
	if l.DefaultTtlNanos < l.MinTtlNanos || l.DefaultTtlNanos > l.MaxTtlNanos {
		return fmt.Sprintf("default-ttl is %s, outside min-ttl %s to max-ttl %s",
			nanosText(l.DefaultTtlNanos), nanosText(l.MinTtlNanos), nanosText(l.MaxTtlNanos))
	}
	return ""
}

const nanosSuffix = "_nanos"

// title is the limit's name as people write it.
func (f *limitField) title() string {
	return strings.ReplaceAll(strings.TrimSuffix(f.name, nanosSuffix), "_", "-")
}

func (f *limitField) text(v uint64) string {
	if strings.HasSuffix(f.name, nanosSuffix) {
		return nanosText(v)
	}
	return strconv.FormatUint(v, 10)
}

// nanosText is a number of nanoseconds in words.
func nanosText(nanos uint64) string {
	if nanos > math.MaxInt64 {
		return "more than 292 years"
	}
	return time.Duration(nanos).String()
}

// setLimits replaces limits. What exceeds a lowered limit already stays; nothing new is let in until there is room. A lowered
// window is for sessions opened from now on.
func (c *Core) setLimits(s *session, seq uint64, op *dlmv1.SetLimits) *dlmv1.Answer {
	c.limits = mergeLimits(c.limits, op.GetLimits())
	for s := range c.sessions.order.all() {
		c.preserveSession(s)
		s.window.size = max(s.window.size, c.limits.Window) // their clients may hear of the larger one
	}
	return c.reply(s, seq, dlmv1.Reason_REASON_OK)
}
