package tilestore

import (
	"container/list"
	"sync"
)

// A cache keeps values that were used lately, up to a total cost. It is safe
// for concurrent use.
type cache[K comparable, V any] struct {
	mu    sync.Mutex
	limit int
	cost  int
	used  list.List // of *cached[K, V], the latest in front
	byKey map[K]*list.Element
}

type cached[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, byKey: make(map[K]*list.Element)}
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.used.MoveToFront(e)
	return e.Value.(*cached[K, V]).value, true
}

// put adds a value, and drops the oldest ones beyond the limit. What is there
// for the key already stays: all values for one key are equal.
func (c *cache[K, V]) put(key K, value V, cost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[key]; ok || cost > c.limit {
		return
	}
	c.byKey[key] = c.used.PushFront(&cached[K, V]{key, value, cost})
	for c.cost += cost; c.cost > c.limit; {
		oldest := c.used.Remove(c.used.Back()).(*cached[K, V])
		delete(c.byKey, oldest.key)
		c.cost -= oldest.cost
	}
}
