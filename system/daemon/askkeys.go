package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"metronome/system/cluster"
	"metronome/system/wire"
)

// KeysInUse are the keys that a process has, as its metrics say.
type KeysInUse struct {
	Proxy  bool
	States map[uint32]KeyInUse
	Needed []uint32 // keys under which a restart, or a repair, may need frames
}

// KeyInUse is one of them.
type KeyInUse struct {
	State wire.KeyState
	Check uint32 // wire.Key.Check
}

// String is for people.
func (k *KeysInUse) String() string {
	var all []string
	for _, n := range slices.Sorted(maps.Keys(k.States)) {
		s := fmt.Sprintf("key %d %08x %v", n, k.States[n].Check, k.States[n].State)
		if slices.Contains(k.Needed, n) {
			s += ", needed"
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// maxMetrics is far more than a process's metrics have.
const maxMetrics = 16 << 20

// opsClient asks straight, whatever proxy of the web the environment names.
var opsClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// AskKeys reads from a process's ops address which keys it has.
func AskKeys(ctx context.Context, c *cluster.Config, p wire.Peer) (*KeysInUse, error) {
	addr := ""
	if r := c.Replica(p); r != nil {
		addr = r.Ops
	} else if x := c.Proxy(p); x != nil {
		addr = x.Ops
	}
	if addr == "" {
		return nil, fmt.Errorf("%v has no ops address in the cluster file: look at its log, and use --unchecked", p)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("metrics of %v: %w", p, err)
	}
	res, err := opsClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics of %v: %w: is it running?", p, err)
	}
	defer res.Body.Close()
	k, err := readKeys(io.LimitReader(res.Body, maxMetrics))
	k.Proxy = p.IsProxy()
	if err == nil && len(k.States) == 0 {
		err = fmt.Errorf("they name no keys (HTTP %s): is it of this version?", res.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("metrics of %v: %w", p, err)
	}
	return k, nil
}

var keyLine = regexp.MustCompile(`^metronome_key_(?:` +
	`state\{check="([0-9a-f]{8})",key="([0-9]+)",state="([a-z]+)"\}|` + `needed\{key="([0-9]+)"\}) 1$`)

func readKeys(from io.Reader) (*KeysInUse, error) {
	k := &KeysInUse{States: map[uint32]KeyInUse{}}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		m := keyLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		n, err := strconv.ParseUint(m[2]+m[4], 10, 32)
		if err != nil {
			return k, fmt.Errorf("a key's number: %w", err)
		}
		if m[4] != "" {
			k.Needed = append(k.Needed, uint32(n))
			continue
		}
		state, err := wire.ParseKeyState(m[3])
		check, err2 := strconv.ParseUint(m[1], 16, 32)
		if err != nil || err2 != nil {
			return k, fmt.Errorf("a key that cannot be read: %q", lines.Text())
		}
		k.States[uint32(n)] = KeyInUse{state, uint32(check)}
	}
	return k, lines.Err()
}
