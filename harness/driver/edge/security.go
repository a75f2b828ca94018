package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"metronome/harness/factorial"
	"metronome/harness/load/kv"
	"metronome/system/access"
	"metronome/system/access/secretfile"
)

// Security is the driver of experiments/edge-security.
type Security struct{}

// Open implements [factorial.Driver]. Each trial has an edge of its own, which remembers no failures.
func (Security) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
	return &securitySession{env: env}, nil
}

type securitySession struct {
	env   factorial.Env
	count int
}

// Close implements [factorial.Session].
func (*securitySession) Close() error { return nil }

// legitimate is who knows the password.
const legitimate = "lamp"

// Trial implements [factorial.Session].
func (s *securitySession) Trial(ctx context.Context, c factorial.Cell) (o factorial.Outcome, err error) {
	l, a, err := s.shape(c)
	if err != nil {
		return o, err
	}
	g, password, err := s.furnish(c)
	if err != nil {
		return o, err
	}
	p, addr, err := s.spawn(ctx, g)
	if err != nil {
		return o, err
	}
	defer p.kill() // it may have minutes of hashing before it, and nothing to lose
	config, err := trusting(filepath.Join(g.Dir, caFile))
	if err != nil {
		return o, err
	}
	victim := &httpTarget{addr, config, newEdgeDialect(addr, legitimate, password)}
	if err := logIn(ctx, victim); err != nil {
		return o, err
	}
	over := newAttack("https://"+addr+"/v1/kv/a", config, a.addresses)
	over.user, over.names, over.perSecond = a.user, a.names, a.perSecond
	r, err := over.during(ctx, func(begin func()) (*kv.Result, error) {
		return kv.Run(ctx, &begins{victim, begin}, l, []int{p.pid()})
	})
	if err != nil {
		return o, err
	}
	return secure(r, over, l), nil
}

// begins is a target under attack as soon as all connections are there.
type begins struct {
	kv.Target
	begin func()
}

// Connect implements [kv.Target].
func (t *begins) Connect(ctx context.Context, i int, l kv.Load) (kv.Conn, error) {
	c, err := t.Target.Connect(ctx, i, l)
	if i == l.Connections-1 {
		t.begin()
	}
	return c, err
}

// shaped is an attack as a cell has it.
type shaped struct {
	addresses, names int
	user             string
	perSecond        float64
}

func (s *securitySession) shape(c factorial.Cell) (l kv.Load, a shaped, err error) {
	l = kv.Default()
	var errs [6]error
	l.RateOPS, errs[0] = c.Float("legitimate")
	l.Connections, errs[1] = c.Int("connections")
	a.perSecond, errs[2] = c.Float("wrong")
	a.addresses, errs[3] = c.Int("addresses")
	a.names, errs[4] = c.Int("names")
	whose, err := c.Get("guess")
	errs[5] = err
	if err := errors.Join(errs[:]...); err != nil {
		return l, a, err
	}
	switch whose {
	case "own":
		a.user = legitimate
	case "others":
	default:
		return l, a, fmt.Errorf("guess %q: use own or others", whose)
	}
	if a.addresses < 1 || a.addresses > 10_000 || l.RateOPS <= 0 {
		return l, a, errors.New("use 1 to 10000 addresses and a legitimate rate above 0")
	}
	l.ReadRatio, l.Keys = 1, 1000
	l.WindowNS, l.WarmupNS = c.Length.Nanoseconds(), (c.Length / 4).Nanoseconds()
	l.DrainNS, l.IntervalNS, l.Seed = int64(time.Second), l.WindowNS, c.Seed
	return l, a, nil
}

// furnish makes an edge's folder: certificates, one user, and which defences it has.
func (s *securitySession) furnish(c factorial.Cell) (g Guarded, password string, err error) {
	s.count++
	g.Dir = filepath.Join(s.env.Dir, fmt.Sprint("edge-", s.count))
	g.Users = filepath.Join(g.Dir, "users.yaml")
	cost, err1 := c.Int("cost")
	var err2, err3, err4 error
	g.Cache, err2 = c.Bool("cache")
	g.Gate, err3 = c.Bool("gate")
	g.Limits, err4 = c.Bool("limits")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return g, "", err
	}
	if g.Identity, _, err = certificates(g.Dir); err != nil {
		return g, "", err
	}
	password = access.NewPassword()
	hash, err := access.Hash(password, cost)
	if err != nil {
		return g, "", err
	}
	f := access.NewFile()
	f.Cost = cost
	all := access.Right{Verbs: []string{access.Read.String(), access.Write.String()}}
	if err := f.Add(legitimate, access.User{Role: access.RoleDevice, Password: hash,
		Rights: []access.Right{all}}); err != nil {
		return g, "", err
	}
	text, err := f.Marshal()
	if err != nil {
		return g, "", err
	}
	return g, password, secretfile.Write(g.Users, text)
}

// spawn starts the edge as a process: lab edge-guarded.
func (s *securitySession) spawn(ctx context.Context, g Guarded) (*child, string, error) {
	g.Told = filepath.Join(g.Dir, "address")
	what, err := json.Marshal(g)
	if err != nil {
		return nil, "", fmt.Errorf("encode what to serve: %w", err)
	}
	log, lab := filepath.Join(s.env.Logs, "edge-guarded.log"), filepath.Join(s.env.Bin, "lab")
	c, err := start(log, lab, "edge-guarded", string(what))
	if err != nil {
		return nil, "", err
	}
	var addr string
	err = c.ready(ctx, func(context.Context) error {
		b, err := os.ReadFile(g.Told)
		if err == nil && !strings.HasSuffix(string(b), "\n") {
			err = errors.New("it has not said where yet")
		}
		addr = strings.TrimSpace(string(b))
		return err
	})
	if err != nil {
		return nil, "", errors.Join(err, c.stop())
	}
	return c, addr, nil
}

// logIn is a first request, so that the edge knows the user at this address.
func logIn(ctx context.Context, t kv.Target) error {
	one := kv.Default()
	one.Keys, one.ReadRatio, one.WarmupNS, one.WindowNS = 1, 1, 0, int64(300*time.Millisecond)
	r, err := kv.Run(ctx, t, one, nil)
	if err == nil && r.Answered == 0 {
		err = fmt.Errorf("log in: %v", r.Errors)
	}
	return err
}

// secure is what a trial tells. Requests that were refused or got no answer are the result, not its end.
func secure(r *kv.Result, a *attack, l kv.Load) factorial.Outcome {
	lost := float64(r.Failed+r.Busy+r.Unanswered+r.Unsent) / float64(max(1, r.Due))
	o := factorial.Outcome{Values: map[string]float64{
		"p50_ms": float64(r.Latency.P50NS) / 1e6, "p99_ms": float64(r.Latency.P99NS) / 1e6,
		"refused_share": lost, "hashes_per_s": float64(a.hashed.Load()) * 1e9 / float64(l.WindowNS+l.WarmupNS),
		"server_cores": float64(r.Cost.TargetCPUNS) / float64(max(1, r.Cost.WallNS))}}
	if lost > 0.01 {
		o.AtLeast = append(o.AtLeast, "p99_ms") // a hundredth waited for ever
	}
	if lost > 0.5 {
		o.AtLeast = append(o.AtLeast, "p50_ms")
	}
	if n := a.skipped.Load(); n > 0 {
		o.Flags = append(o.Flags, fmt.Sprintf("%d attempts skipped: %d were waiting", n, mostFlying))
	}
	if n := a.failed.Load(); n > 0 {
		o.Flags = append(o.Flags, fmt.Sprintf("%d attempts without an answer", n))
	}
	return o
}
