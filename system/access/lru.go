package access

import "container/list"

// lru is a map that forgets what was not used for longest when it is full. It is not safe for concurrent
// use.
type lru[K comparable, V any] struct {
	most  int
	byKey map[K]*list.Element
	order *list.List // front: used last
}

type lruEntry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{most: most, byKey: map[K]*list.Element{}, order: list.New()}
}

// get is the value of a key, to be read or changed in place, or nil.
func (l *lru[K, V]) get(key K) *V {
	e := l.byKey[key]
	if e == nil {
		return nil
	}
	l.order.MoveToFront(e)
	return &e.Value.(*lruEntry[K, V]).value
}

func (l *lru[K, V]) put(key K, value V) *V {
	if v := l.get(key); v != nil {
		*v = value
		return v
	}
	if l.order.Len() >= l.most {
		l.drop(l.order.Back())
	}
	entry := &lruEntry[K, V]{key, value}
	l.byKey[key] = l.order.PushFront(entry)
	return &entry.value
}

func (l *lru[K, V]) remove(key K) {
	if e := l.byKey[key]; e != nil {
		l.drop(e)
	}
}

func (l *lru[K, V]) drop(e *list.Element) {
	l.order.Remove(e)
	delete(l.byKey, e.Value.(*lruEntry[K, V]).key)
}

func (l *lru[K, V]) len() int { return l.order.Len() }
