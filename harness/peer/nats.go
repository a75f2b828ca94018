package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"metronome/harness/load/kv"
)

// natsServers is how many servers the cluster has, and replicas the stream.
const natsServers = 3

// natsKind is one configuration of JetStream.
type natsKind struct {
	name, what, durable string
	place               string
	storage             jetstream.StorageType
	keys                bool // a key-value bucket instead of a plain stream
}

var (
	natsMemory = natsKind{name: "nats-memory", place: memoryDir, storage: jetstream.MemoryStorage,
		what: "NATS JetStream, a stream of three replicas in memory, asynchronous publishing",
		durable: "an acknowledged message is in the memory of two of three servers; a stream is a log: no key " +
			"is looked up"}
	natsFile = natsKind{name: "nats-file", place: diskDir, storage: jetstream.FileStorage,
		what: "NATS JetStream, a stream of three replicas in files, synced always, asynchronous publishing",
		durable: "an acknowledged message is fsynced by two of three servers; a stream is a log: no key is " +
			"looked up"}
	natsKV = natsKind{name: "nats-kv", place: memoryDir, storage: jetstream.MemoryStorage, keys: true,
		what:    "NATS JetStream, a key-value bucket of three replicas in memory, asynchronous puts",
		durable: "an acknowledged put is in the memory of two of three servers"}
)

func natsPeer(k natsKind) Peer {
	modes := []Mode{{"async", 4, 4096, 1}, {"async-256", 1, 256, 1}, {"one", 1, 1, 1}}
	if !k.keys {
		modes = append(modes, Mode{"atomic-512", 4, 4, 512})
	}
	return Peer{Name: k.name, What: k.what, Durable: k.durable, Modes: modes,
		Start: func(ctx context.Context, h *Host, _ kv.Load) (Instance, error) { return startNATS(ctx, h, k) },
	}
}

// maxStream bounds a plain stream; its oldest messages go first.
const maxStream = 2 << 30

var natsConfig = template.Must(template.New("nats").Parse(`server_name: n{{.Index}}
listen: "{{.Client}}"
jetstream {
  store_dir: "{{.Dir}}"
  max_mem: 4GB
  max_file: 16GB
  {{- if .Sync}}
  sync_interval: always
  {{- end}}
}
cluster {
  name: peers
  listen: "{{.Route}}"
  routes: [ {{- range .Routes}} "nats://{{.}}", {{- end}} ]
}
`))

type natsInstance struct {
	*group
	kind    natsKind
	version string
	urls    []string
	nc      *nats.Conn
	stream  jetstream.Stream
	subject string // of a put; for a bucket, up to the key
}

func startNATS(ctx context.Context, h *Host, k natsKind) (_ Instance, err error) {
	binary, err := h.built("nats", "nats-server")
	if err != nil {
		return nil, err
	}
	n := &natsInstance{kind: k, version: firstLine(ctx, binary, "--version")}
	start := func(g *group) error { return n.start(h, g, binary) }
	if n.group, err = h.bringUp(ctx, k.place, start, n.open); err != nil {
		n.disconnect()
		return nil, fmt.Errorf("nats: %w", err)
	}
	return n, nil
}

func (n *natsInstance) start(h *Host, g *group, binary string) error {
	n.disconnect()
	n.urls = nil
	ports, err := freePorts(2 * natsServers)
	if err != nil {
		return err
	}
	var routes []string
	for _, p := range ports[natsServers:] {
		routes = append(routes, local(p))
	}
	for i := range natsServers {
		dir, err := g.dir.sub("n" + strconv.Itoa(i))
		if err != nil {
			return err
		}
		var text strings.Builder
		if err := natsConfig.Execute(&text, map[string]any{"Index": i, "Client": local(ports[i]), "Dir": dir,
			"Route": routes[i], "Routes": routes, "Sync": n.kind.storage == jetstream.FileStorage}); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		file := filepath.Join(dir, "nats.conf")
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		c, err := h.start(fmt.Sprintf("%s-n%d", n.kind.name, i), binary, "--config", file)
		if err != nil {
			return err
		}
		g.children = append(g.children, c)
		n.urls = append(n.urls, "nats://"+local(ports[i]))
	}
	return nil
}

// open makes the stream once the servers have found each other.
func (n *natsInstance) open(ctx context.Context) (err error) {
	if n.nc == nil {
		if n.nc, err = nats.Connect(strings.Join(n.urls, ",")); err != nil {
			return err
		}
	}
	if n.stream == nil {
		if err := n.create(ctx); err != nil {
			return fmt.Errorf("create the stream: %w", err)
		}
	}
	return n.inStep(ctx)
}

func (n *natsInstance) create(ctx context.Context) error {
	js, err := jetstream.New(n.nc)
	if err != nil {
		return err
	}
	if n.kind.keys {
		n.subject = "$KV.bench."
		if _, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "bench", History: 1,
			Storage: n.kind.storage, Replicas: natsServers}); err != nil {
			return err
		}
		n.stream, err = js.Stream(ctx, "KV_bench")
		return err
	}
	n.subject = "bench"
	n.stream, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "bench",
		Subjects: []string{"bench"}, Storage: n.kind.storage, Replicas: natsServers, MaxBytes: maxStream,
		Discard: jetstream.DiscardOld, AllowAtomicPublish: true})
	return err
}

// inStep is nil if all replicas of the stream have everything.
func (n *natsInstance) inStep(ctx context.Context) error {
	info, err := n.stream.Info(ctx)
	if err != nil {
		return err
	}
	if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != natsServers-1 {
		return errors.New("the stream has no leader, or too few replicas")
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline || r.Lag > 0 {
			return fmt.Errorf("replica %s lags by %d (current: %t)", r.Name, r.Lag, r.Current)
		}
	}
	return nil
}

// Connect implements [kv.Target]: every connection is one to the stream's leader.
func (n *natsInstance) Connect(ctx context.Context, _ int, l kv.Load) (kv.Conn, error) {
	if l.ReadRatio > 0 {
		return nil, errors.New("nats takes puts only here: its direct reads are not linearizable")
	}
	info, err := n.stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(strings.TrimPrefix(info.Cluster.Leader, "n"))
	if err != nil || i < 0 || i >= len(n.urls) {
		return nil, fmt.Errorf("the stream's leader is %q, which is none of ours", info.Cluster.Leader)
	}
	return dialPublisher(n.urls[i], n.subject, n.kind.keys, l.Outstanding)
}

// Info implements [Instance].
func (n *natsInstance) Info() Info {
	return Info{Version: n.version, PIDs: n.pids(), DataFS: n.dir.kind}
}

// Get implements [Instance]. Of a plain stream, only the latest message can be found.
func (n *natsInstance) Get(ctx context.Context, key []byte) ([]byte, error) {
	subject := n.subject
	if n.kind.keys {
		subject += string(key)
	}
	m, err := n.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNoKey
	}
	if err != nil || n.kind.keys {
		return m.Data, err
	}
	if value, ok := bytes.CutPrefix(m.Data, key); ok {
		return value, nil
	}
	return nil, ErrNoKey
}

// Check implements [Instance].
func (n *natsInstance) Check(ctx context.Context) error { return n.await(ctx, n.inStep) }

// Stop implements [Instance].
func (n *natsInstance) Stop() error {
	n.disconnect()
	return n.stop()
}

func (n *natsInstance) disconnect() {
	if n.nc != nil {
		n.nc.Close()
	}
	n.nc, n.stream = nil, nil
}
