package local

import "encoding/binary"

// What keys in Pebble begin with.
const (
	dataSpace    = 'd'
	sessionSpace = 's'
	logSpace     = 'l'
)

var (
	identityKey = []byte("m identity")
	stateKey    = []byte("m state")
	backupKey   = []byte("m backup")
	spotKey     = []byte("m spot")
)

func appendDataKey(b, key []byte) []byte { return append(append(b, dataSpace), key...) }

// sessionKey is injective: a client's name may hold anything.
func sessionKey(client, session string) []byte {
	b := append(make([]byte, 0, 4+len(client)+len(session)), sessionSpace)
	b = binary.AppendUvarint(b, uint64(len(client)))
	return append(append(b, client...), session...)
}

// splitSessionKey is the other way round.
func splitSessionKey(key []byte) (client, session string, ok bool) {
	if len(key) == 0 {
		return "", "", false
	}
	n, used := binary.Uvarint(key[1:])
	if used <= 0 || n > uint64(len(key)-1-used) {
		return "", "", false
	}
	rest := key[1+used:]
	return string(rest[:n]), string(rest[n:]), true
}

func logKey(revision uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{logSpace}, revision)
}

// after is the first key that does not begin with prefix; nil = there is none.
func after(prefix []byte) []byte {
	end := clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
