package peer

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"metronome/harness/load/kv"
	"metronome/system/packet"
)

const usage = `usage: peers list
       peers run NAME [flags]     one load, for people and scripts
       peers serve NAME [flags]   loads by JSON lines on standard input, for the lab
every answer is a line of JSON; peers run -h lists the flags`

// Main is the command "peers". Lines of JSON go to out, commands of serve come from in. extra are peers
// beside [All], such as the store under test. It returns the exit status: 0; 1 if something failed; 2 if
// the arguments are wrong; 3 if this machine lacks something.
func Main(args []string, in io.Reader, out io.Writer, extra ...Peer) int {
	peers := append(All(), extra...)
	say := json.NewEncoder(out)
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	if len(args) == 1 && args[0] == "list" {
		return list(say, peers)
	}
	if len(args) < 2 || (args[0] != "run" && args[0] != "serve") {
		return complain(say, fmt.Errorf("%w: %s", errUsage, usage))
	}
	p, err := Find(peers, args[1])
	if err != nil {
		return complain(say, fmt.Errorf("%w: %w", errUsage, err))
	}
	o, err := parseFlags(p, args[2:])
	if err != nil {
		return complain(say, fmt.Errorf("%w: %w", errUsage, err))
	}
	if args[0] == "serve" {
		return complain(say, serve(ctx, p, o, in, out))
	}
	return complain(say, run(ctx, p, o, say))
}

var errUsage = errors.New("cannot do that")

// complain says an error and turns it into an exit status.
func complain(say *json.Encoder, err error) int {
	if err == nil {
		return 0
	}
	var lacking *packet.ErrUnavailable
	if errors.As(err, &lacking) {
		_ = say.Encode(struct { // as the device under test says it
			Event string `json:"event"`
			*packet.ErrUnavailable
		}{"unavailable", lacking})
		return 3
	}
	_ = say.Encode(map[string]string{"event": "error", "error": err.Error()})
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func list(say *json.Encoder, peers []Peer) int {
	for _, p := range peers {
		if err := say.Encode(p); err != nil {
			return 1
		}
	}
	return 0
}

// options are a command's flags.
type options struct {
	bin, logs string
	metronome string
	set       Settings
	mode      Mode
	load      kv.Load
}

// parseFlags reads the flags of run and serve. The mode's shape holds where no flag says otherwise.
func parseFlags(p Peer, args []string) (o options, err error) {
	var help helpText
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(&help)
	o.load = kv.Default()
	l := &o.load
	mode := f.String("mode", "", "a mode of peers list; empty: the peer's best")
	f.StringVar(&o.bin, "bin", "bin/peers", "folder of the servers built from harness/peer/servers")
	f.StringVar(&o.metronome, "metronome", besideThis("metronome"), "our own binary")
	set := f.String("set", "", "name=value,…: settings of the system, such as replicas=5")
	f.StringVar(&o.logs, "logs", filepath.Join(os.TempDir(), "metronome-peers-logs"), "folder for logs")
	seconds := f.Float64("seconds", 5, "length of the window")
	warmup := f.Float64("warmup", 1, "seconds before it")
	f.Float64Var(&l.RateOPS, "rate", 0, "operations/s, open loop; 0: closed loop")
	f.StringVar(&l.Arrivals, "arrivals", l.Arrivals, "constant or poisson")
	connections := f.Int("connections", 0, "0: the mode's")
	outstanding := f.Int("outstanding", 0, "batches in flight a connection; 0: the mode's")
	batch := f.Int("batch", 0, "operations a batch; 0: the mode's")
	f.IntVar(&l.Keys, "keys", l.Keys, "how many different keys")
	f.IntVar(&l.KeyBytes, "key-bytes", l.KeyBytes, "length of a key")
	f.IntVar(&l.ValueBytes, "value-bytes", l.ValueBytes, "length of a value")
	f.Float64Var(&l.ReadRatio, "read-ratio", 0, "share of gets, 0 to 1")
	f.StringVar(&l.Distribution, "distribution", l.Distribution, "uniform or zipf")
	f.BoolVar(&l.Preload, "preload", false, "write every key once first")
	f.Uint64Var(&l.Seed, "seed", l.Seed, "of keys and arrivals")
	if err := f.Parse(args); err != nil {
		return o, fmt.Errorf("%w\n%s", err, help)
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q is one too many", f.Arg(0))
	}
	if o.mode, err = p.Mode(*mode); err != nil {
		return o, err
	}
	if o.set, err = ParseSettings(*set); err != nil {
		return o, err
	}
	if err := o.set.only(p.Name, p.settings...); err != nil {
		return o, err
	}
	override(&o.mode.Connections, *connections)
	override(&o.mode.Outstanding, *outstanding)
	override(&o.mode.Batch, *batch)
	o.load = o.mode.Of(o.load)
	l.WindowNS, l.WarmupNS = int64(*seconds*1e9), int64(*warmup*1e9)
	return o, l.Check()
}

func override(n *int, flag int) {
	if flag != 0 {
		*n = flag
	}
}

// helpText gathers what the flag package would say to people.
type helpText []byte

func (h *helpText) Write(b []byte) (int, error) {
	*h = append(*h, b...)
	return len(b), nil
}

// Ready is the first event of run and serve.
type Ready struct {
	Event   string `json:"event"` // "ready"
	Peer    string `json:"peer"`
	What    string `json:"what"`
	Durable string `json:"durable"`
	Mode    string `json:"mode"`
	Info
}

// checkLimit is how long the members may take after a load to catch up.
const checkLimit = 2 * time.Minute

// offered offers a load, by the instance's own generator if it has one.
func offered(ctx context.Context, i Instance, l kv.Load) (*kv.Result, error) {
	if own, ok := i.(runner); ok {
		return own.Run(ctx, l)
	}
	info := i.Info()
	r, err := kv.Run(ctx, i, l, info.PIDs)
	if err == nil {
		r.Cost.Roles(info.Roles)
	}
	return r, err
}

// measured offers a load and then checks the members; a failed check voids the result.
func measured(ctx context.Context, i Instance, l kv.Load) (*kv.Result, error) {
	r, err := offered(ctx, i, l)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if err := i.Check(ctx); err != nil {
		r.Void = fmt.Sprintf("the members differ after the load: %v", err)
	}
	return r, nil
}

// with starts a peer, hands it to use, and stops it.
func with(ctx context.Context, p Peer, o options, use func(i Instance, ready Ready) error) (err error) {
	h, err := OpenHost(o.bin, o.logs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	h.metronome, h.set = o.metronome, o.set
	i, err := p.Start(ctx, h, o.load)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Stop()) }()
	return use(i, Ready{Event: "ready", Peer: p.Name, What: p.What, Durable: p.Durable, Mode: o.mode.Name,
		Info: i.Info()})
}

func run(ctx context.Context, p Peer, o options, say *json.Encoder) error {
	return with(ctx, p, o, func(i Instance, ready Ready) error {
		if err := say.Encode(ready); err != nil {
			return err
		}
		r, err := measured(ctx, i, o.load)
		if err != nil {
			return err
		}
		return say.Encode(kv.Done{Event: "done", Result: r})
	})
}

func serve(ctx context.Context, p Peer, o options, in io.Reader, out io.Writer) error {
	return with(ctx, p, o, func(i Instance, ready Ready) error {
		return kv.Serve(ctx, in, out, ready, o.load, func(ctx context.Context, l kv.Load) (*kv.Result, error) {
			return measured(ctx, i, l)
		})
	})
}
