package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/access/pki"
	"metronome/system/cluster"
	"metronome/system/master"
	"metronome/system/master/ship"
)

// iotOptions are the flags of metronome dev --iot.
type iotOptions struct {
	on         bool
	edges      int
	store      string
	page, edge string
	speed      float64
}

func (o *iotOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.on, "iot", false, "a smart home: a master, edges, and twenty devices that measure")
	f.IntVar(&o.edges, "edges", 1, "with --iot: edge servers; a folder that has fewer gets more")
	f.StringVar(&o.store, "store", "local", "with --iot: local, each edge keeps its own devices' data; metronome, all edges share a cluster")
	f.StringVar(&o.edge, "edge", "127.0.0.1:7443", "with --iot: where the first edge serves; the others take the next free ports")
	f.StringVar(&o.page, "page", "127.0.0.1:7601", "with --iot: where the master's page is")
	f.Float64Var(&o.speed, "speed", 1, "with --iot: seconds of the house's time in one of ours")
}

func (o *iotOptions) check() error {
	switch {
	case o.edges < 1 || o.edges > maxEdges:
		return fmt.Errorf("--edges %d: use 1 to %d", o.edges, maxEdges)
	case o.store == storeMetronome && o.edges > maxShared:
		return fmt.Errorf("--edges %d: with --store metronome use 1 to %d", o.edges, maxShared)
	case o.store != storeLocal && o.store != storeMetronome:
		return fmt.Errorf("--store %s: use local or metronome", o.store)
	case !(o.speed > 0 && o.speed <= maxSpeed):
		return fmt.Errorf("--speed %v: use more than 0, up to %d", o.speed, maxSpeed)
	}
	return nil
}

const (
	maxEdges  = 16
	maxShared = 4 // edges of one cluster
	maxSpeed  = 3600

	storeLocal     = "local"
	storeMetronome = "metronome"
)

// iot is a smart home that runs: a master, edges, devices.
type iot struct {
	dir  string
	plan *iotPlan
	ca   []byte // PEM
}

// runIoT starts a home and runs until Ctrl-C.
func runIoT(cmd *cobra.Command, o *devOptions) error {
	ctx, stop := signals()
	defer stop()
	if err := errors.Join(o.iot.check(), o.check()); err != nil {
		return err
	}
	h, err := prepareIoT(o)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the children's, for life
	// What ships is stopped before what it ships to.
	logs := filepath.Join(h.dir, "logs")
	core, masters, edges := newProcesses(logs), newProcesses(logs), newProcesses(logs)
	defer core.stop()
	defer masters.stop()
	defer edges.stop()
	err = h.run(ctx, cmd.OutOrStdout(), o, core, masters, edges)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(cmd.OutOrStdout(), "\nstopping")
		err = nil
	}
	return err
}

func (h *iot) run(ctx context.Context, out io.Writer, o *devOptions, core, masters, edges *processes) error {
	if err := h.coreUp(ctx, core, o); err != nil {
		return err
	}
	if err := h.masterUp(ctx, masters); err != nil {
		return err
	}
	for i := range h.plan.Edges {
		if err := h.edgeUp(ctx, edges, i); err != nil {
			return err
		}
	}
	devices, err := h.openDevices()
	if err == nil {
		h.describe(out)
		err = h.live(ctx, out, devices, o.iot.speed, core, masters, edges)
	}
	return errors.Join(err, devices.close())
}

// live lets the devices measure until Ctrl-C, and tells of processes that end.
func (h *iot) live(ctx context.Context, out io.Writer, d *iotDevices, speed float64, groups ...*processes) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	for _, c := range groups {
		if len(c.list) > 0 {
			watching.Go(func() {
				if err := c.watch(ctx, out); err != nil {
					cancel(err)
				}
			})
		}
	}
	d.measure(ctx, h.plan, speed)
	if d.lost > 0 {
		fmt.Fprintf(out, "%d readings found the queue of their device full\n", d.lost)
	}
	return context.Cause(ctx)
}

// coreUp starts the replicated cluster that all edges share, if they do. Each edge runs a proxy of
// it, one of those in reserve.
func (h *iot) coreUp(ctx context.Context, c *processes, o *devOptions) error {
	if h.plan.Store == storeLocal {
		return nil
	}
	o.proxies, o.reserve = 1+maxShared, maxShared
	file, err := devCluster(o)
	if err != nil {
		return err
	}
	_, err = clusterUp(ctx, c, o, file)
	return err
}

// storeArgs say which store an edge has.
func (h *iot) storeArgs(i int) []string {
	if h.plan.Store == storeLocal {
		return nil
	}
	return []string{"--store", storeMetronome, "--cluster", filepath.Join(h.dir, cluster.FileName), "--proxy",
		strconv.Itoa(i + 2)}
}

// masterUp starts the master and waits until its page is there.
func (h *iot) masterUp(ctx context.Context, c *processes) error {
	p := h.plan
	if err := c.start("master", "master", "serve", "--dir", h.masterDir(), "--listen", p.Master, "--page", p.Page,
		"--admin", p.MasterOps, "--plain-loopback", "--min-free", "64", "--drill-every", "10m"); err != nil {
		return err
	}
	return c.until(ctx, "the master did not come up", 50*time.Millisecond, func(ctx context.Context) error {
		return answers(ctx, http.DefaultClient, "http://"+p.Page+"/")
	})
}

// edgeUp lets an edge join if it has not, starts it, and waits until it serves.
func (h *iot) edgeUp(ctx context.Context, c *processes, i int) error {
	e := &h.plan.Edges[i]
	if err := h.join(ctx, e.Name); err != nil {
		return err
	}
	if err := c.start(e.Name, h.edgeArgs(i)...); err != nil {
		return err
	}
	client := h.client()
	defer client.CloseIdleConnections()
	return c.until(ctx, e.Name+" did not come up", 50*time.Millisecond, func(ctx context.Context) error {
		return answers(ctx, client, e.url()+"/livez")
	})
}

func (h *iot) edgeArgs(i int) []string {
	e := &h.plan.Edges[i]
	args := []string{"edge", "--member", h.member(e.Name), "--data", filepath.Join(h.dir, e.Name, "data"),
		"--listen", e.Listen, "--admin", e.Ops, "--users", h.usersFile(), "--min-free", "64"}
	return append(args, h.storeArgs(i)...)
}

// join enrols an edge at the master and joins, unless that was done before.
func (h *iot) join(ctx context.Context, name string) error {
	if _, err := ship.Load(h.member(name)); err == nil {
		return nil
	}
	ca, err := pki.LoadAuthority(h.caFile(), filepath.Join(h.masterDir(), "pki", "ca.key"))
	if err != nil {
		return err
	}
	token, err := master.RegistryIn(h.masterDir()).Enroll(name, ca, master.TokensIn(h.masterDir()),
		master.Enrolment{Hosts: []string{"127.0.0.1", "localhost"}})
	if err != nil {
		return err
	}
	_, err = ship.Join(ctx, ship.Joining{Master: "https://" + h.plan.Master, Token: token.Text(),
		Dir: h.member(name)})
	return err
}

// client trusts this home's CA and nobody else.
func (h *iot) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.ca)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool,
		MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}}
}

// answers tries whether a server answers.
func answers(ctx context.Context, c *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

func (h *iot) masterDir() string         { return filepath.Join(h.dir, "master") }
func (h *iot) caFile() string            { return filepath.Join(h.masterDir(), "pki", "ca.crt") }
func (h *iot) member(edge string) string { return filepath.Join(h.dir, edge, "member") }
func (h *iot) usersFile() string         { return filepath.Join(h.dir, "users.yaml") }
func (h *iot) curlFile() string          { return filepath.Join(h.dir, "curlrc") }
func (h *iot) secretsFile() string       { return filepath.Join(h.dir, "devices.json") }
func (h *iot) device(name string) string { return filepath.Join(h.dir, "devices", name) }

// describe says what there is to see, in lines that can be pasted.
func (h *iot) describe(out io.Writer) {
	p := h.plan
	fmt.Fprintf(out, "a master, %d edges (store %s) and %d devices are up\n\n", len(p.Edges), p.Store, len(p.Homes))
	fmt.Fprintf(out, "  watch it       http://%s/\n", p.Page)
	for i := range p.Edges {
		e := &p.Edges[i]
		fmt.Fprintf(out, "  %-13s  %s   metrics http://%s/metrics   log %s\n", e.Name, e.url(), e.Ops,
			filepath.Join(h.dir, "logs", e.Name+".log"))
	}
	e := p.home("meter")
	curl := "curl -K " + h.curlFile()
	fmt.Fprintf(out, "\n  read           %s %s/v1/kv/home/meter/grid\n", curl, e.url())
	fmt.Fprintf(out, "  list           %s '%s/v1/kv?prefix=home/&limit=5&encoding=utf8'\n", curl, e.url())
	fmt.Fprintf(out, "  follow         %s -N -H 'Accept: text/event-stream' '%s/v1/watch?prefix=home/'\n", curl, e.url())
	fmt.Fprintf(out, "  write          %s -i -X PUT -d on %s/v1/kv/home/lamp\n", curl, e.url())
	fmt.Fprintf(out, "  who is alive   metronome master status --dir %s\n", h.masterDir())
	safe := "it is backed up"
	if p.Store == storeLocal {
		fmt.Fprintf(out, "  prove backups  metronome master drill --dir %s\n", h.masterDir())
		fmt.Fprintf(out, "  restore one    metronome master restore %s --dir %s --to %s\n", e.Name, h.masterDir(),
			filepath.Join(h.dir, e.Name, "restored"))
	} else {
		safe = "a majority of replicas has it"
		fmt.Fprintf(out, "  from any edge  %s '%s/v1/kv/home/meter/grid?consistency=quorum'\n", curl, p.Edges[0].url())
		fmt.Fprintf(out, "  the cluster    metronome cluster status --config %s\n", filepath.Join(h.dir, cluster.FileName))
	}
	fmt.Fprintf(out, "\nDevices keep what they measure in %s until %s, whatever fails.\n"+
		"Ctrl-C stops everything; the same command goes on with the data.\n", filepath.Join(h.dir, "devices"), safe)
}
