package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// FileName is the cluster file's name where a folder holds one cluster.
const FileName = "cluster.yaml"

// DevOptions is what a cluster on one machine may be asked for.
type DevOptions struct {
	Replicas int    // 0: 3
	Proxies  int    // 0: 1
	Lanes    int    // of each proxy; 0: 1
	Resp     string // of the first proxy, the next ones count up; empty: a free port
	Change   func(*Config)
}

// Dev writes a file and secrets for a cluster on this machine into dir, and returns what Load says
// of it: a loopback address and a group of its own, so that another cluster has none of its ports even
// while nobody listens on them; fresh keys. It refuses a folder that holds a cluster: errors.Is(err,
// os.ErrExist). Change may alter the configuration before it is written.
func Dev(dir string, o DevOptions) (*Config, error) {
	path := filepath.Join(dir, FileName)
	if exists(path) {
		return nil, fmt.Errorf("%s exists: use it, or name another folder: %w", path, os.ErrExist)
	}
	c, err := o.config()
	if err != nil {
		return nil, err
	}
	c.dir = dir
	if _, err := c.Validate(); err != nil {
		return nil, err
	}
	if _, err := (PKI{Now: time.Now()}).Init(c); err != nil {
		return nil, err
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write the cluster file: %w", err)
	}
	text := "# A cluster on one machine, for development, written by metronome dev.\n" + string(b)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the cluster file: %w", err)
	}
	return Load(path)
}

func (o DevOptions) config() (*Config, error) {
	if o.Replicas == 0 {
		o.Replicas = 3
	}
	o.Proxies, o.Lanes = max(o.Proxies, 1), max(o.Lanes, 1)
	c := Default()
	c.Name = "dev"
	asked, err := o.resps()
	if err != nil {
		return nil, err
	}
	free := ports{host: loopback(), asked: asked}
	defer free.release()
	for range o.Replicas {
		c.Replicas = append(c.Replicas, Replica{Stream: free.tcp(), Datagram: free.udp(), Ops: free.tcp()})
	}
	for i := range o.Proxies {
		p := Proxy{Stream: free.tcp(), Datagram: free.udp(), Ops: free.tcp(), Lanes: o.Lanes}
		if len(asked) > 0 {
			p.Resp = asked[i]
		} else {
			p.Resp = free.tcp()
		}
		c.Proxies = append(c.Proxies, p)
	}
	c.Multicast.Interface = "lo"
	c.Multicast.Group = free.group()
	c.Limits.RetainBytes = max(c.Limits.RetainBytes, Bytes(o.Proxies*o.Lanes)*c.Limits.LaneArenaBytes)
	c.complete()
	if o.Change != nil {
		o.Change(&c)
	}
	return &c, free.err
}

// resps is where the proxies are asked to serve the Redis protocol; nothing: wherever there is room.
func (o DevOptions) resps() ([]string, error) {
	if o.Resp == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(o.Resp)
	n, e := strconv.Atoi(port)
	if err != nil || e != nil {
		return nil, fmt.Errorf("resp %q: use host:port, as in 127.0.0.1:6379", o.Resp)
	}
	asked := make([]string, o.Proxies)
	for i := range asked {
		asked[i] = net.JoinHostPort(host, strconv.Itoa(n+i))
	}
	return asked, nil
}

// ports finds free ports of an address, and holds what it found until released, so that none is
// found twice; nor is one found that somebody asked for. They lie below the ports that the kernel
// gives to outgoing connections, so that they are still free when the cluster is started again.
type ports struct {
	host  string
	asked []string // host:port
	held  []io.Closer
	err   error
}

// loopback is one of the sixteen million addresses of this machine that begin with 127.
func loopback() string {
	r := random()
	return fmt.Sprintf("127.%d.%d.%d", 1+r%254, r>>8&0xFF, 1+r>>16%254)
}

// FreeAddresses are n TCP addresses of a host of this machine that are free now, and that no outgoing
// connection will be given.
func FreeAddresses(host string, n int) ([]string, error) {
	free := ports{host: host}
	defer free.release()
	all := make([]string, n)
	for i := range all {
		all[i] = free.tcp()
	}
	return all, free.err
}

const (
	devPortsFrom = 15000
	devPorts     = 15000
	devAttempts  = 200
)

func (p *ports) find(try func(addr string) (io.Closer, error)) string {
	var err error
	for range devAttempts {
		port := strconv.Itoa(devPortsFrom + int(random()%devPorts))
		if p.isAsked(port) {
			continue
		}
		addr := net.JoinHostPort(p.host, port)
		var l io.Closer
		if l, err = try(addr); err == nil {
			p.held = append(p.held, l)
			return addr
		}
	}
	p.err = errors.Join(p.err, fmt.Errorf("no free port on %s: %w", p.host, err))
	return ""
}

// isAsked reports whether somebody asked for a port, of any address: 0.0.0.0 takes all.
func (p *ports) isAsked(port string) bool {
	return slices.ContainsFunc(p.asked, func(addr string) bool { return strings.HasSuffix(addr, ":"+port) })
}

func (p *ports) tcp() string {
	return p.find(func(addr string) (io.Closer, error) { return net.Listen("tcp4", addr) })
}

func (p *ports) udp() string {
	return p.find(func(addr string) (io.Closer, error) { return net.ListenPacket("udp4", addr) })
}

// group is a random group of 239.0.0.0/8, on a port of its own.
func (p *ports) group() string {
	_, port, _ := net.SplitHostPort(p.udp())
	r := random()
	return fmt.Sprintf("239.%d.%d.%d:%s", 1+r%200, r>>8&0xFF, 1+r>>16%250, port)
}

func (p *ports) release() {
	for _, l := range p.held {
		_ = l.Close()
	}
}

func random() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.LittleEndian.Uint32(b[:])
}
