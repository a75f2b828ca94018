package cluster

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/system/packet/socket"
	"metronome/system/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s\n(-update rewrites %s)", got, want, path)
	}
}

const example = "testdata/example.yaml"

func load(t *testing.T) *Config {
	t.Helper()
	c, err := Load(example)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestExample: the example loads without a warning, and its values are the defaults that it says
// they are.
func TestExample(t *testing.T) {
	c := load(t)
	if warnings, err := c.Validate(); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", warnings, err)
	}
	d := Default()
	d.Multicast.Group, d.Multicast.Interface = c.Multicast.Group, c.Multicast.Interface
	for _, pair := range [][2]any{{c.Multicast, d.Multicast}, {c.Port, d.Port}, {c.Integrity, d.Integrity},
		{c.Durability, d.Durability}, {c.Limits, d.Limits}, {c.Timing, d.Timing}, {c.Secrets, d.Secrets}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("the example has %+v, the default is %+v", pair[0], pair[1])
		}
	}
	var names []string
	for _, p := range c.Peers() {
		names = append(names, p.String())
	}
	if got := strings.Join(names, " "); got != "replica-0 replica-1 replica-2 proxy-1 proxy-2" {
		t.Errorf("peers %s", got)
	}
	if r := c.Replica(wire.ReplicaPeer(0)); r == nil || *r.Cores.Ordering != 2 || len(r.Cores.Apply) != 3 {
		t.Errorf("replica-0 is %+v", r)
	}
	if p := c.Proxy(wire.ProxyPeer(2)); p == nil || p.Stream != c.StreamAddresses()[wire.ProxyPeer(2)] {
		t.Errorf("proxy-2 is %+v", p)
	}
	if c.Replica(wire.ProxyPeer(1)) != nil || c.Proxy(wire.ReplicaPeer(1)) != nil ||
		c.Proxy(wire.ProxyPeer(3)) != nil {
		t.Error("found what is not there")
	}
	if got := c.Path(c.Secrets.CA); got != filepath.Join("testdata", "secrets", "ca.crt") {
		t.Errorf("secrets are relative to the file: %s", got)
	}
}

// TestExampleHasEveryKey walks the type, so that a key added to it is added to the example.
func TestExampleHasEveryKey(t *testing.T) {
	c := load(t)
	var walk func(t reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		switch typ.Kind() {
		case reflect.Pointer:
			walk(typ.Elem(), path)
		case reflect.Slice:
			walk(typ.Elem(), path+"[0]")
		case reflect.Struct:
			for f := range typ.Fields() {
				key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
				if key == "" {
					continue
				}
				at := strings.TrimPrefix(path+"."+key, ".")
				if !c.doc.Has(at) {
					t.Errorf("the example lacks %s", at)
				}
				walk(f.Type, at)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

const minimal = `name: shop
replicas:
  - stream: 10.0.0.1:7701
    datagram: 10.0.0.1:7702
  - stream: 10.0.0.2:7701
    datagram: 10.0.0.2:7702
  - stream: 10.0.0.3:7701
    datagram: 10.0.0.3:7702
proxies:
  - stream: 10.0.0.4:7701
    datagram: 10.0.0.4:7702
    resp: 10.0.0.4:6379
multicast:
  group: 239.77.0.1:7700
`

// TestMinimal: addresses are all that must be given.
func TestMinimal(t *testing.T) {
	c, err := Parse([]byte(minimal), "")
	if err != nil {
		t.Fatal(err)
	}
	if warnings, _ := c.Validate(); len(warnings) > 0 {
		t.Error(warnings)
	}
	if c.Replicas[2].Peer() != wire.ReplicaPeer(2) || c.Proxies[0].Number != 1 || c.Proxies[0].Lanes != 1 ||
		c.Mode() != wire.ModeXXH3 {
		t.Errorf("%+v", c)
	}
}

// edit changes lines of the minimal file: pairs of old and new text.
func edit(t *testing.T, pairs ...string) string {
	t.Helper()
	s := minimal
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == "" {
			s += pairs[i+1] + "\n"
			continue
		}
		if !strings.Contains(s, pairs[i]) {
			t.Fatalf("the file has no %q", pairs[i])
		}
		s = strings.Replace(s, pairs[i], pairs[i+1], 1)
	}
	return s
}

// TestErrors is every message, as people see it.
func TestErrors(t *testing.T) {
	everything := `name: Shop!
replicas:
  - name: replica-99
    stream: somewhere
    datagram: db1:7702
  - name: replica-1
    stream: 0.0.0.0:7701
    datagram: 10.0.0.2:7700
    cores: {ingest: [-1]}
  - name: replica-1
    stream: 10.0.0.3:7701
    ops: 10.0.0.3:7701
proxies:
  - number: 7
    stream: 10.0.0.3:7701
    datagram: 239.1.1.1:7702
    lanes: 65
  - number: 7
    stream: 10.0.0.5:0
    datagram: 10.0.0.5:7702
multicast: {group: 10.0.0.1:7700, ttl: 256}
port: {kind: dpdk, mode: gro, burst: 0, receive_buffer: 1}
integrity: md5
durability: disk
limits: {key: 2KiB, value: 0, lane_window_frames: 1000, lane_arena_bytes: 3MiB, retain_bytes: 1,
         store_bytes: 1, sessions: 0, session_ttl: 0s, clients: 0, stream_queue_bytes: 0}
timing: {tick: 0s, election_ticks: 5, heartbeat_ticks: 2, round_interval: 2s, peer_timeout: 1ms}
secrets: {cluster_key_file: "", ca: "", certs: ""}
`
	cases := []struct{ name, source string }{
		{"unknown key", edit(t, "datagram: 10.0.0.2", "datagramm: 10.0.0.2", "group:", "gruop:")},
		{"key twice", edit(t, "", "name: other")},
		{"wrong type", edit(t, "", "timing:\n  election_ticks: soon")},
		{"no unit", edit(t, "", "timing:\n  tick: 20")},
		{"size", edit(t, "", "limits:\n  key: 1KB")},
		{"empty file", ""},
		{"no datagram", edit(t, "    datagram: 10.0.0.2:7702\n", "")},
		{"address twice", edit(t, "stream: 10.0.0.2:7701", "stream: 10.0.0.1:7701")},
		{"same replica twice", edit(t, "- stream: 10.0.0.2:7701", "- name: replica-0\n    stream: 10.0.0.2:7701")},
		{"ops shadows resp", edit(t, "resp: 10.0.0.4:6379", "resp: 10.0.0.4:6379\n    ops: 0.0.0.0:6379")},
		{"group not multicast", edit(t, "239.77.0.1:7700", "10.0.0.9:7700")},
		{"group reserved", edit(t, "239.77.0.1:7700", "224.0.0.1:7700")},
		{"group without port", edit(t, "239.77.0.1:7700", "239.77.0.1")},
		{"no group", edit(t, "  group: 239.77.0.1:7700", "  mode: multicast")},
		{"unknown mode", edit(t, "group:", "mode: broadcast\n  group:")},
		{"datagram on the group's port", edit(t, "10.0.0.2:7702", "10.0.0.2:7700")},
		{"storage", edit(t, "", "durability: fsync\nstorage:\n  journal: 1KiB\n  transfer_rate: 3B")},
		{"integrity none", edit(t, "", "integrity: none")},
		{"window below the largest item (R6)",
			edit(t, "", "limits: {lane_window_frames: 512, lane_arena_bytes: 1MiB}")},
		{"no lanes", edit(t, "resp: 10", "number: 0\n    lanes: 0\n    resp: 10")},
		{"lanes beyond retain_bytes", edit(t, "resp: 10", "lanes: 32\n    resp: 10")},
		{"af_packet without an interface", edit(t, "", "port: {mode: af_packet}")},
		{"memif without sockets", edit(t, "", "port: {kind: dpdk, mode: memif}")},
		{"one socket for two", edit(t, "", "port: {kind: dpdk, mode: memif}", "datagram: 10.0.0.1:7702",
			"datagram: 10.0.0.1:7702\n    device: a.sock", "datagram: 10.0.0.2:7702",
			"datagram: 10.0.0.2:7702\n    device: ./a.sock", "datagram: 10.0.0.3:7702",
			"datagram: 10.0.0.3:7702\n    device: /"+strings.Repeat("x", 107), "datagram: 10.0.0.4:7702",
			"datagram: 10.0.0.4:7702\n    device: p.sock")},
		{"no PCI address", edit(t, "", "port: {kind: dpdk, mode: pci, empty_polls: -1}", "datagram: 10.0.0.1:7702",
			"datagram: 10.0.0.1:7702\n    device: eth0", "datagram: 10.0.0.2:7702",
			"datagram: 10.0.0.2:7702\n    device: 0000:00:04.0")},
		{"more ingest cores than ports", edit(t, "datagram: 10.0.0.1:7702",
			"datagram: 10.0.0.1:7702\n    cores: {ingest: [1, 2, 3]}", "group:", "ports: 2\n  group:")},
		{"ports of a device", edit(t, "group:", "ports: 2\n  group:", "", "port: {kind: dpdk, mode: af_xdp}",
			"group:", "interface: eth0\n  group:")},
		{"ports without a group", edit(t, "group:", "ports: 2\n  mode: unicast\n  group:")},
		{"ports beyond the last", edit(t, "group: 239.77.0.1:7700", "ports: 65\n  group: 239.77.0.1:65500")},
		{"a datagram address on one of the ports", edit(t, "group:", "ports: 4\n  group:")},
		{"everything", everything},
	}
	var b strings.Builder
	for _, tc := range cases {
		_, err := Parse([]byte(tc.source), "")
		fmt.Fprintf(&b, "== %s\n%v\n\n", tc.name, err)
	}
	golden(t, "errors.txt", b.String())
}

// TestWarnings is every warning, as people see it.
func TestWarnings(t *testing.T) {
	var b strings.Builder
	for _, tc := range []struct{ name, source string }{
		{"two replicas", edit(t, "  - stream: 10.0.0.3:7701\n    datagram: 10.0.0.3:7702\n", "")},
		{"one replica", edit(t, "  - stream: 10.0.0.3:7701\n    datagram: 10.0.0.3:7702\n", "",
			"  - stream: 10.0.0.2:7701\n    datagram: 10.0.0.2:7702\n", "")},
		{"no proxies", edit(t, "proxies:\n  - stream: 10.0.0.4:7701\n    datagram: 10.0.0.4:7702\n"+
			"    resp: 10.0.0.4:6379\n", "")},
		{"no resp", edit(t, "    resp: 10.0.0.4:6379\n", "")},
		{"unicast", edit(t, "group: 239.77.0.1:7700", "mode: unicast")},
		{"somebody's group", edit(t, "239.77.0.1", "232.7.7.7")},
		{"ingest cores on one port", edit(t, "datagram: 10.0.0.1:7702",
			"datagram: 10.0.0.1:7702\n    cores: {ingest: [1, 2]}")},
		{"device without use", edit(t, "datagram: 10.0.0.1:7702", "datagram: 10.0.0.1:7702\n    device: a.sock")},
	} {
		c, err := Parse([]byte(tc.source), "")
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		warnings, _ := c.Validate()
		fmt.Fprintf(&b, "== %s\n%v\n\n", tc.name, Problems(warnings))
	}
	golden(t, "warnings.txt", b.String())
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), "metronome dev") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a folder was read as a file")
	}
	path := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(path, []byte("nam: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := path + `: line 1: unknown key "nam": did you mean name? (nam: x)`
	if _, err := Load(path); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Devices are each node's own; sockets are relative to the file.
func TestDevices(t *testing.T) {
	c := load(t)
	if c.Bypass() {
		t.Error("sockets bypass nothing")
	}
	c.Port.Kind, c.Port.Mode = "dpdk", "memif"
	c.Replicas[1].Device, c.Proxies[0].Device = "r1.sock", "/run/p1.sock"
	for peer, want := range map[wire.Peer]string{
		wire.ReplicaPeer(0): "", wire.ReplicaPeer(1): filepath.Join("testdata", "r1.sock"),
		wire.ProxyPeer(1): "/run/p1.sock", wire.ProxyPeer(9): "",
	} {
		if got := c.Device(peer); got != want || !c.Bypass() {
			t.Errorf("%v: %q, want %q", peer, got, want)
		}
	}
	c.Port.Mode, c.Replicas[1].Device = "pci", "0000:00:04.0"
	if got := c.Device(wire.ReplicaPeer(1)); got != "0000:00:04.0" || !c.Bypass() {
		t.Errorf("an address is no file: %q", got)
	}
}

// TestPortModesAreTheSockets keeps the file's words those of the package that opens the port.
func TestPortModesAreTheSockets(t *testing.T) {
	var words []string
	for _, m := range socket.Modes {
		words = append(words, string(m))
	}
	if !slices.Equal(words, portModes["socket"]) {
		t.Errorf("%v, sockets have %v", portModes["socket"], words)
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "17": 17, "17B": 17, "1KiB": 1024, "16 MiB": 16 << 20,
		"4GiB": 4 << 30} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s is %d (%v), want %d", text, b, err, want)
		}
		var again Bytes
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%s is written %s", text, b)
		}
	}
	for _, text := range []string{"", "-1", "1KB", "1.5MiB", "MiB", "9999999999GiB", "0x10", "1 2"} {
		if err := new(Bytes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestLargestItemFrames compares the figure with fragments as wire cuts them.
func TestLargestItemFrames(t *testing.T) {
	for _, l := range []Limits{{Key: 1, Value: 1}, {Key: 16, Value: 1 << 20},
		{Key: wire.MaxKey, Value: wire.MaxValue}} {
		it := wire.Item{Op: wire.OpCAS, Key: make([]byte, l.Key), HasSession: true, Fragment: true}
		for _, m := range []wire.Mode{wire.ModeXXH3, wire.ModeAEAD} {
			room := wire.MaxPayload - m.Overhead() - it.Size()
			need := (int(l.Value) + room - 1) / room
			if got := l.LargestItemFrames(m); got < need || got > need+need/4+2 {
				t.Errorf("%v, key %v, value %v: %d frames, wire needs %d", m, l.Key, l.Value, got, need)
			}
		}
	}
}

func TestDigestNamesWhatDiffers(t *testing.T) {
	base := load(t).Digest()
	same := func(c *Config) {
		c.Replicas[0].Cores, c.Replicas[1].Ops, c.Proxies[0].Resp = nil, "", ""
		c.Port, c.Secrets, c.Multicast.Interface = Port{}, Secrets{}, "eth7"
	}
	for want, change := range map[string]func(*Config){
		"":            same,
		"name":        func(c *Config) { c.Name = "other" },
		"replicas":    func(c *Config) { c.Replicas = c.Replicas[:2] },
		"proxies":     func(c *Config) { c.Proxies[1].Lanes++ },
		"multicast":   func(c *Config) { c.Multicast.Group = "239.1.1.1:7700" },
		"datagrams":   func(c *Config) { c.Integrity = "mac" },
		"limits":      func(c *Config) { c.Limits.SessionTTL += time.Second },
		"timing":      func(c *Config) { c.Timing.ElectionTicks++ },
		"name limits": func(c *Config) { c.Name, c.Limits.Value = "other", 5 },
	} {
		c := load(t)
		change(c)
		d := c.Digest()
		if got := strings.Join(base.Differs(d), " "); got != want {
			t.Errorf("differs in %q, want %q", got, want)
		}
		back, ok := DecodeDigest(d.Append(nil))
		if !ok || back != d {
			t.Error("changed on the wire")
		}
	}
	if _, ok := DecodeDigest(make([]byte, DigestBytes-1)); ok {
		t.Error("a short digest was read")
	}
}

// FuzzParse: whatever stands in a file, there is an answer, and a file that is taken is valid.
func FuzzParse(f *testing.F) {
	b, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add(minimal)
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Parse([]byte(source), "")
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err == nil && c.Limits.LaneWindowFrames < c.Limits.LargestItemFrames(c.Mode()) {
			t.Error("R6: the window is below the largest item")
		}
	})
}

// Lanes are numbered over all proxies; the group's ports follow each other, and one port is as none.
func TestSpreadOfLanes(t *testing.T) {
	c := load(t)
	for proxy, want := range map[uint32][2]int{1: {0, 4}, 2: {4, 4}, 3: {0, 0}} {
		if first, lanes := c.LanesOf(wire.ProxyPeer(proxy)); [2]int{first, lanes} != want {
			t.Errorf("proxy %d: lanes from %d on, %d of them, want %v", proxy, first, lanes, want)
		}
	}
	one, before := c.Multicast.Addresses(), c.Digest()
	c.Multicast.Ports = 3
	want := []string{"239.77.0.1:7700", "239.77.0.1:7701", "239.77.0.1:7702"}
	if got := c.Multicast.Addresses(); !slices.Equal(got, want) || !slices.Equal(one, want[:1]) {
		t.Errorf("%v and %v, want %v", one, got, want)
	}
	if differs := before.Differs(c.Digest()); !slices.Equal(differs, []string{"multicast"}) {
		t.Errorf("other ports differ in %v", differs)
	}
	if got := c.Replicas[0].IngestCPUs(); !slices.Equal(got, []int{0}) || c.Replicas[1].IngestCPUs() != nil {
		t.Errorf("ingest cores %v", got)
	}
}
