package device

import (
	"bytes"
	"container/list"
	"encoding/json"
	"path/filepath"
	"sync"
	"time"

	"metronome/system/disk"
)

// seenCache keeps what the edge was last known to hold, for reads without a network: the most
// recently used entries, bounded in bytes. It is written when the store closes and now and then;
// what a crash takes is only age. A damaged file is an empty cache.
type seenCache struct {
	fs    disk.FS
	dir   string
	limit int

	mu    sync.Mutex
	byKey map[string]*list.Element
	order *list.List // most recently used first; of *seenEntry
	bytes int
	dirty bool
	saved time.Time
}

type seenEntry struct {
	Key      string    `json:"k"`
	Value    []byte    `json:"v,omitempty"`
	Revision uint64    `json:"r,omitempty"`
	Found    bool      `json:"f"` // false: the edge had no such key
	At       time.Time `json:"t"`
}

const (
	seenFile     = "seen"
	seenOverhead = 128 // bytes of memory an entry takes beside key and value
	seenEvery    = time.Minute
)

func openSeen(c *Config) (*seenCache, error) {
	s := &seenCache{fs: c.FS, dir: c.Dir, limit: c.SeenBytes, byKey: make(map[string]*list.Element),
		order: list.New(), saved: time.Now()}
	entries, err := c.FS.List(c.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name == seenFile {
			s.load(e.Size)
		}
	}
	return s, nil
}

func (s *seenCache) load(size int64) {
	file, err := readFile(s.fs, filepath.Join(s.dir, seenFile), size, 4*s.limit+1<<12)
	if err != nil {
		return
	}
	body, ok := unseal(file)
	var list []*seenEntry
	if !ok || json.Unmarshal(body, &list) != nil {
		return
	}
	for _, e := range list {
		s.insert(e)
	}
}

// save writes the cache if it changed.
func (s *seenCache) save() error {
	s.mu.Lock()
	list := make([]*seenEntry, 0, s.order.Len())
	for e := s.order.Back(); e != nil; e = e.Prev() {
		list = append(list, e.Value.(*seenEntry))
	}
	dirty := s.dirty
	s.dirty, s.saved = false, time.Now()
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	body, err := json.Marshal(list) // entries never change
	if err != nil {
		return err
	}
	return replaceFile(s.fs, s.dir, seenFile, seal(body))
}

// stale reports whether it is time to save.
func (s *seenCache) stale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dirty && time.Since(s.saved) > seenEvery
}

// put notes what the edge holds now.
func (s *seenCache) put(key string, value []byte, revision uint64, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
	s.insert(&seenEntry{Key: key, Value: bytes.Clone(value), Revision: revision, Found: found, At: time.Now()})
}

func (e *seenEntry) size() int { return len(e.Key) + len(e.Value) + seenOverhead }

func (s *seenCache) insert(e *seenEntry) {
	if old := s.byKey[e.Key]; old != nil {
		s.drop(old)
	}
	if e.size() > s.limit/4 {
		return // it would push out everything else
	}
	s.byKey[e.Key] = s.order.PushFront(e)
	for s.bytes += e.size(); s.bytes > s.limit; {
		s.drop(s.order.Back())
	}
}

func (s *seenCache) drop(e *list.Element) {
	old := s.order.Remove(e).(*seenEntry)
	delete(s.byKey, old.Key)
	s.bytes -= old.size()
}

// get returns what was last seen of key; nil if nothing is known.
func (s *seenCache) get(key string) *seenEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	if e == nil {
		return nil
	}
	s.order.MoveToFront(e)
	return e.Value.(*seenEntry)
}
