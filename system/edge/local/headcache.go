package local

// headCacheBytes bounds each generation of the cache: keys, and about so much beside each.
const (
	headCacheBytes = 16 << 20
	headCacheExtra = 96
)

// headCache remembers what the writer needs to know of keys. The writer alone changes them, so it is
// always right; sensors write the same keys over and over. Two generations: what is asked for in the old one
// moves to the young, and when that is full the old one goes. A generation holds more than the keys of one
// commit, so that what Pebble does not have yet is never forgotten.
type headCache struct {
	young, old map[string]head
	bytes      int
}

func newHeadCache() headCache {
	return headCache{young: map[string]head{}, old: map[string]head{}}
}

func (c *headCache) get(key []byte) (head, bool) {
	if h, ok := c.young[string(key)]; ok {
		return h, true
	}
	h, ok := c.old[string(key)]
	if ok {
		c.put(string(key), h)
	}
	return h, ok
}

func (c *headCache) put(key string, h head) {
	if _, ok := c.young[key]; !ok {
		c.bytes += len(key) + headCacheExtra
	}
	c.young[key] = h
	if c.bytes > headCacheBytes {
		c.young, c.old, c.bytes = map[string]head{}, c.young, 0
	}
}
