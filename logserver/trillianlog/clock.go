package trillianlog

import (
	"sync/atomic"
	"time"

	trillclock "github.com/google/trillian/util/clock"
)

// A clock is Trillian's time source. No two readings are the same and none is
// before an earlier one, whatever the clock under it does: Trillian refuses
// a root that is not later than the last one.
type clock struct {
	now  func() time.Time
	last atomic.Int64 // Unix nanoseconds
}

func (c *clock) Now() time.Time {
	for {
		last := c.last.Load()
		next := max(c.now().UnixNano(), last+1)
		if c.last.CompareAndSwap(last, next) {
			return time.Unix(0, next)
		}
	}
}

// advance makes all later readings lie after t.
func (c *clock) advance(t int64) {
	for last := c.last.Load(); last < t && !c.last.CompareAndSwap(last, t); last = c.last.Load() {
	}
}

// NewTimer serves Trillian's interface; no part of Trillian that runs here uses it.
func (c *clock) NewTimer(d time.Duration) trillclock.Timer { return trillclock.System.NewTimer(d) }
