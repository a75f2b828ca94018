package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/order/orderers"
	"metronome/system/wire"
)

type devOptions struct {
	dir, durability, resp string
	consensus, integrity  string
	replicas, proxies     int
	lanes, reserve        int
	iot                   iotOptions
}

func devCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "A whole cluster on this machine, without root: replicas, a proxy, keys",
		Long: `Start a cluster on this machine: replicas and proxies as processes of their own, multicast on the loopback
interface, keys, data and logs in a folder. Ctrl-C stops everything. A folder that was used before goes on with its
cluster file and, with durability fsync, with its data.

With --iot it is a smart home: a master, edge servers and twenty devices that measure, with certificates and users of
its own. The devices' readings are of a house that is simulated; everything else is what a real home would run.`,
		Example: `  metronome dev
  metronome dev --replicas 5 --dir /tmp/five --resp 127.0.0.1:7000
  redis-cli -p 6379 set greeting hello

  metronome dev --iot --edges 2                                # then open the page that it names
  metronome dev --iot --edges 2 --speed 60 --dir /tmp/home     # an hour in a minute`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.iot.on {
				return runIoT(cmd, &o)
			}
			return runDev(cmd, &o)
		},
	}
	cmd.Flags().StringVar(&o.dir, "dir", "metronome-dev", "folder for the cluster file, keys and logs")
	cmd.Flags().IntVar(&o.replicas, "replicas", 3, "replicas: an odd number")
	cmd.Flags().IntVar(&o.proxies, "proxies", 1, "proxies; the first has --resp's port, the others the next ones")
	cmd.Flags().IntVar(&o.lanes, "lanes", 1, "lanes of each proxy")
	cmd.Flags().IntVar(&o.reserve, "reserve", 0, "how many of the proxies, the last ones, are not started: for metronome bench load")
	cmd.Flags().StringVar(&o.durability, "durability", "fsync", "fsync: acknowledged is on the disks of a majority; memory: in their memory, gone when all end")
	cmd.Flags().StringVar(&o.integrity, "integrity", "xxh3", "of frames: xxh3, crc32c, mac (authentic) or aead (encrypted, too)")
	cmd.Flags().StringVar(&o.consensus, "consensus", orderers.Default, "algorithm that orders: "+strings.Join(orderers.Names(), " or "))
	cmd.Flags().StringVar(&o.resp, "resp", "127.0.0.1:6379", "where the first proxy speaks the Redis protocol")
	o.iot.flags(cmd)
	return cmd
}

func (o *devOptions) check() error {
	if _, err := orderers.Parse(o.consensus); err != nil {
		return fmt.Errorf("--%w", err)
	}
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
	runtime.LockOSThread() // the children's, for life
	d := newProcesses(filepath.Join(o.dir, "logs"))
	defer d.stop()
	leader, err := clusterUp(ctx, d, o, c)
	if err == nil {
		describe(cmd, o, c, leader)
		err = d.watch(ctx, cmd.OutOrStdout())
	}
	if ctx.Err() != nil {
		fmt.Fprintln(cmd.OutOrStdout(), "\nstopping")
		return nil
	}
	return err
}

// clusterUp starts everything but the proxies in reserve, and returns when the cluster executes
// operations.
func clusterUp(ctx context.Context, d *processes, o *devOptions, c *cluster.Config) (leader string, err error) {
	peers := c.Peers()
	for _, p := range peers[:len(peers)-o.reserve] {
		role := "replica"
		if p.IsProxy() {
			role = "proxy"
		}
		if err := d.start(p.String(), role, "--config", filepath.Join(o.dir, cluster.FileName), "--name", p.String()); err != nil {
			return "", err
		}
	}
	if leader, err = findLeader(ctx, d, c); err != nil {
		return "", err
	}
	for i := range c.Proxies[:len(c.Proxies)-o.reserve] {
		addr := c.Proxies[i].Resp
		if err := d.until(ctx, "no answer from "+addr, 20*time.Millisecond, func(ctx context.Context) error {
			return writable(ctx, addr)
		}); err != nil {
			return "", err
		}
	}
	return leader, nil
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
		Change: func(c *cluster.Config) {
			c.Durability, c.Consensus, c.Integrity = o.durability, o.consensus, o.integrity
		}})
	if !errors.Is(err, fs.ErrExist) {
		return c, err
	}
	if c, err = cluster.Load(filepath.Join(o.dir, cluster.FileName)); err != nil {
		return nil, err
	}
	if len(c.Replicas) != o.replicas || len(c.Proxies) != o.proxies || c.Proxies[0].Resp != o.resp || c.Proxies[0].Lanes != o.lanes ||
		c.Durability != o.durability || c.Consensus != o.consensus || c.Integrity != o.integrity {
		return nil, fmt.Errorf("%s holds another cluster: %d replicas, %d proxies, %d lanes, clients at %s, durability %s, consensus %s, integrity %s. Next: ask "+
			"for the same, name another folder with --dir, or remove it", o.dir, len(c.Replicas), len(c.Proxies), c.Proxies[0].Lanes,
			c.Proxies[0].Resp, c.Durability, c.Consensus, c.Integrity)
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

// findLeader founds the cluster if nobody has, and waits for its leader.
func findLeader(ctx context.Context, d *processes, c *cluster.Config) (leader string, err error) {
	asked := false
	err = d.until(ctx, "the cluster did not come up", 50*time.Millisecond, func(ctx context.Context) error {
		a, err := daemon.Ask(ctx, c, c.Replicas[0].Peer(), daemon.AdminRequest{Cmd: "status"})
		switch {
		case err == nil && a.Status.Leader != "":
			leader = a.Status.Leader
			return nil
		case err == nil && a.Status.Life == "" && !asked:
			_, err = daemon.Ask(ctx, c, c.Replicas[0].Peer(), daemon.AdminRequest{Cmd: "init"})
			asked = err == nil // founding is under way, and must not be asked for again
			return cmp.Or(err, errFounding)
		case err == nil:
			return errors.New(a.Status.NotReady)
		}
		return err
	})
	return leader, err
}

var errFounding = errors.New("it is being founded")

// writable tries whether a proxy executes an operation.
func writable(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("DBSIZE\r\n")); err != nil {
		return err
	}
	var b [1]byte
	if _, err := conn.Read(b[:]); err != nil || b[0] != ':' {
		return cmp.Or(err, errNotYet)
	}
	return nil
}

var errNotYet = errors.New("it executes nothing yet")

func describe(cmd *cobra.Command, o *devOptions, c *cluster.Config, leader string) {
	out := cmd.OutOrStdout()
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		dir = o.dir
	}
	file, up := filepath.Join(dir, cluster.FileName), len(c.Proxies)-o.reserve
	fmt.Fprintf(out, "%d replicas, %d proxies are up; leader %s.\n\n", len(c.Replicas), up, leader)
	if up > 0 {
		host, port, _ := net.SplitHostPort(c.Proxies[0].Resp)
		fmt.Fprintf(out, "  talk to it     redis-cli -h %s -p %s set greeting hello\n", host, port)
		fmt.Fprintf(out, "  load it        redis-benchmark -h %s -p %s -t set,get -P 64 -q\n", host, port)
	}
	for i := range c.Proxies[up:] {
		p := c.Proxies[up+i].Peer()
		fmt.Fprintf(out, "  be %-10s  metronome bench load --config %s --name %s\n", p, file, p)
	}
	fmt.Fprintf(out, "  look at it     metronome cluster status --config %s\n", file)
	for _, p := range c.Peers()[:len(c.Replicas)+up] {
		addr := ""
		if r := c.Replica(p); r != nil {
			addr = r.Ops
		} else {
			addr = c.Proxy(p).Ops
		}
		fmt.Fprintf(out, "  %-13s  metrics http://%s/metrics   log %s\n", p, addr, filepath.Join(dir, "logs", p.String()+".log"))
	}
	if c.Durable() {
		fmt.Fprintf(out, "\nDurability is fsync: an acknowledged write is on the disks of a majority of replicas, in %s. The same\n"+
			"command goes on with it. Ctrl-C stops everything.\n", filepath.Join(dir, "data"))
		return
	}
	fmt.Fprintf(out, "\nDurability is memory: a write is acknowledged when a majority of replicas holds it in memory, and is gone when\n"+
		"this command ends. Ctrl-C stops everything.\n")
}
