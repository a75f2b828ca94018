package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

type devOptions struct {
	dir, durability, resp string
	replicas, proxies     int
	lanes, reserve        int
}

func devCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "A whole cluster on this machine, without root: replicas, a proxy, keys",
		Long: `Start a cluster on this machine: replicas and proxies as processes of their own, multicast on the loopback
interface, keys, data and logs in a folder. Ctrl-C stops everything. A folder that was used before goes on with its
cluster file and, with durability fsync, with its data.`,
		Example: `  metronome dev
  metronome dev --replicas 5 --dir /tmp/five --resp 127.0.0.1:7000
  redis-cli -p 6379 set greeting hello`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDev(cmd, &o)
		},
	}
	cmd.Flags().StringVar(&o.dir, "dir", "metronome-dev", "folder for the cluster file, keys and logs")
	cmd.Flags().IntVar(&o.replicas, "replicas", 3, "replicas: an odd number")
	cmd.Flags().IntVar(&o.proxies, "proxies", 1, "proxies; the first has --resp's port, the others the next ones")
	cmd.Flags().IntVar(&o.lanes, "lanes", 1, "lanes of each proxy")
	cmd.Flags().IntVar(&o.reserve, "reserve", 0, "how many of the proxies, the last ones, are not started: for metronome bench load")
	cmd.Flags().StringVar(&o.durability, "durability", "fsync", "fsync: acknowledged is on the disks of a majority; memory: in their memory, gone when all end")
	cmd.Flags().StringVar(&o.resp, "resp", "127.0.0.1:6379", "where the first proxy speaks the Redis protocol")
	return cmd
}

func (o *devOptions) check() error {
	switch {
	case o.durability != "fsync" && o.durability != "memory":
		return fmt.Errorf("--durability %s: use fsync or memory", o.durability)
	case o.replicas < 1 || o.replicas%2 == 0 || o.replicas > wire.MaxSeats:
		return fmt.Errorf("--replicas %d: use an odd number up to %d: an even one survives no more losses than the odd one below", o.replicas, wire.MaxSeats)
	case o.proxies < 1 || o.reserve < 0 || o.reserve > o.proxies:
		return fmt.Errorf("--proxies %d --reserve %d: at least one proxy, and no more in reserve than there are proxies", o.proxies, o.reserve)
	}
	return nil
}

func runDev(cmd *cobra.Command, o *devOptions) error {
	ctx, stop := signals()
	defer stop()
	if err := o.check(); err != nil {
		return err
	}
	c, err := devCluster(o)
	if err != nil {
		return err
	}
	// A child is told to die with the thread that started it: this goroutine keeps its thread for
	// life, so a killed parent leaves nothing behind.
	runtime.LockOSThread()
	d := &devProcesses{dir: o.dir, exits: make(chan devExit, len(c.Peers()))}
	defer d.stop()
	err = d.up(ctx, cmd, c, o.reserve)
	if err == nil {
		err = d.watch(ctx, cmd.OutOrStdout())
	}
	if ctx.Err() != nil {
		fmt.Fprintln(cmd.OutOrStdout(), "\nstopping")
		return nil
	}
	return err
}

// up starts everything but the proxies in reserve, and returns when the cluster executes
// operations.
func (d *devProcesses) up(ctx context.Context, cmd *cobra.Command, c *cluster.Config, reserve int) error {
	peers := c.Peers()
	for _, p := range peers[:len(peers)-reserve] {
		if err := d.start(p); err != nil {
			return err
		}
	}
	leader, err := d.found(ctx, c)
	if err != nil {
		return err
	}
	for i := range c.Proxies[:len(c.Proxies)-reserve] {
		if err := d.await(ctx, c.Proxies[i].Resp); err != nil {
			return err
		}
	}
	describe(cmd, d.dir, c, leader)
	return nil
}

// watch waits for Ctrl-C. The cluster outlives the loss of children: that is what it is for.
func (d *devProcesses) watch(ctx context.Context, out io.Writer) error {
	for range d.children {
		select {
		case e := <-d.exits:
			role, _, _ := strings.Cut(e.peer.String(), "-")
			fmt.Fprintf(out, "\n%v\n  start it again  metronome %s --config %s --name %v\n", e.err, role,
				filepath.Join(d.dir, cluster.FileName), e.peer)
		case <-ctx.Done():
			return nil
		}
	}
	return errors.New("every process of the cluster has ended")
}

// devCluster writes a cluster file, or uses the one that is there if it describes what is asked
// for.
func devCluster(o *devOptions) (*cluster.Config, error) {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the cluster: %w", err)
	}
	if err := freeAddress(o.resp); err != nil {
		return nil, err
	}
	c, err := cluster.Dev(o.dir, cluster.DevOptions{Replicas: o.replicas, Proxies: o.proxies, Lanes: o.lanes, Resp: o.resp,
		Change: func(c *cluster.Config) { c.Durability = o.durability }})
	if !errors.Is(err, fs.ErrExist) {
		return c, err
	}
	if c, err = cluster.Load(filepath.Join(o.dir, cluster.FileName)); err != nil {
		return nil, err
	}
	if len(c.Replicas) != o.replicas || len(c.Proxies) != o.proxies || c.Proxies[0].Resp != o.resp || c.Proxies[0].Lanes != o.lanes ||
		c.Durability != o.durability {
		return nil, fmt.Errorf("%s holds another cluster: %d replicas, %d proxies, %d lanes, clients at %s, durability %s. Next: ask "+
			"for the same, name another folder with --dir, or remove it", o.dir, len(c.Replicas), len(c.Proxies), c.Proxies[0].Lanes,
			c.Proxies[0].Resp, c.Durability)
	}
	return c, nil
}

// freeAddress finds out early what would fail late.
func freeAddress(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for clients on %s: %w. Next: name another address with --resp, host:port, as in --resp 127.0.0.1:7379", addr, err)
	}
	return l.Close()
}

// errEnded is why a process ended that gave no reason.
var errEnded = errors.New("exit status 0")

// devProcesses are the children.
type devProcesses struct {
	dir      string
	children []*exec.Cmd
	running  sync.WaitGroup
	exits    chan devExit // has room for all
}

type devExit struct {
	peer wire.Peer
	err  error
}

func (d *devProcesses) log(p wire.Peer) string {
	return filepath.Join(d.dir, "logs", p.String()+".log")
}

func (d *devProcesses) start(p wire.Peer) error {
	exe, err := self()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.dir, "logs"), 0o700); err != nil {
		return fmt.Errorf("folder of the logs: %w", err)
	}
	out, err := os.Create(d.log(p))
	if err != nil {
		return fmt.Errorf("log of %v: %w", p, err)
	}
	defer out.Close()
	role := "replica"
	if p.IsProxy() {
		role = "proxy"
	}
	child := exec.Command(exe, role, "--config", filepath.Join(d.dir, cluster.FileName), "--name", p.String())
	child.Stdout, child.Stderr = out, out
	// Its own process group: Ctrl-C reaches this process, which ends the others in order.
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := child.Start(); err != nil {
		return fmt.Errorf("start %v: %w", p, err)
	}
	d.children = append(d.children, child)
	d.running.Go(func() {
		err := child.Wait()
		d.exits <- devExit{p, fmt.Errorf("%v ended (%w): its log is %s:\n%s", p, cmp.Or(err, errEnded), d.log(p), lastLines(d.log(p)))}
	})
	return nil
}

const lastBytes = 600

// lastLines is the end of a log.
func lastLines(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-lastBytes):])
}

// stop ends the children: first in order, then for good.
func (d *devProcesses) stop() {
	for _, c := range d.children {
		_ = c.Process.Signal(syscall.SIGTERM)
	}
	late := time.AfterFunc(5*time.Second, func() {
		for _, c := range d.children {
			_ = c.Process.Kill()
		}
	})
	defer late.Stop()
	d.running.Wait()
}

// patience is how long the cluster may take to come up.
const patience = 30 * time.Second

func (d *devProcesses) found(ctx context.Context, c *cluster.Config) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for asked := false; ; {
		a, err := daemon.Ask(ctx, c, c.Replicas[0].Peer(), daemon.AdminRequest{Cmd: "status"})
		switch {
		case err == nil && a.Status.Leader != "":
			return a.Status.Leader, nil
		case err == nil && a.Status.Life == "" && !asked:
			_, err = daemon.Ask(ctx, c, c.Replicas[0].Peer(), daemon.AdminRequest{Cmd: "init"})
			asked = err == nil // founding is under way, and must not be asked for again
		case err == nil:
			err = errors.New(a.Status.NotReady)
		}
		select {
		case exit := <-d.exits:
			return "", exit.err
		case <-ctx.Done():
			return "", fmt.Errorf("the cluster did not come up: %w. Next: look at the logs in %s", err, filepath.Join(d.dir, "logs"))
		case <-time.After(50 * time.Millisecond): // not listening yet
		}
	}
}

// await waits until a proxy answers clients.
func (d *devProcesses) await(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if writable(ctx, addr) {
			return nil
		}
		select {
		case exit := <-d.exits:
			return exit.err
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: look at the logs in %s", addr, filepath.Join(d.dir, "logs"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// writable reports whether a proxy executes an operation.
func writable(ctx context.Context, addr string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("DBSIZE\r\n")); err != nil {
		return false
	}
	var b [1]byte
	n, _ := conn.Read(b[:])
	return n == 1 && b[0] == ':'
}

func describe(cmd *cobra.Command, dir string, c *cluster.Config, leader string) {
	out := cmd.OutOrStdout()
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	host, port, _ := net.SplitHostPort(c.Proxies[0].Resp)
	fmt.Fprintf(out, "%d replicas, %d proxies are up; leader %s.\n\n", len(c.Replicas), len(c.Proxies), leader)
	fmt.Fprintf(out, "  talk to it     redis-cli -h %s -p %s set greeting hello\n", host, port)
	fmt.Fprintf(out, "  load it        redis-benchmark -h %s -p %s -t set,get -P 64 -q\n", host, port)
	fmt.Fprintf(out, "  look at it     metronome cluster status --config %s\n", filepath.Join(abs, cluster.FileName))
	for _, p := range c.Peers() {
		addr := ""
		if r := c.Replica(p); r != nil {
			addr = r.Ops
		} else {
			addr = c.Proxy(p).Ops
		}
		fmt.Fprintf(out, "  %-13s  metrics http://%s/metrics   log %s\n", p, addr, filepath.Join(abs, "logs", p.String()+".log"))
	}
	if c.Durable() {
		fmt.Fprintf(out, "\nDurability is fsync: an acknowledged write is on the disks of a majority of replicas, in %s. The same\n"+
			"command goes on with it. Ctrl-C stops everything.\n", filepath.Join(abs, "data"))
		return
	}
	fmt.Fprintf(out, "\nDurability is memory: a write is acknowledged when a majority of replicas holds it in memory, and is gone when\n"+
		"this command ends. Ctrl-C stops everything.\n")
}
