package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"metronome/system/access"
	"metronome/system/access/secretfile"
	"metronome/system/cluster"
	"metronome/system/home"
	"metronome/system/master/mastercmd"
)

// iotPlan is what a home's folder remembers: what runs there, and where.
type iotPlan struct {
	Store     string            `json:"store"`
	Master    string            `json:"master"` // addresses, host:port
	MasterOps string            `json:"master_ops"`
	Page      string            `json:"page"`
	Edges     []iotEdge         `json:"edges"`
	Homes     map[string]string `json:"homes"` // device to edge
	Seed      uint64            `json:"seed"`  // of what the devices measure
}

type iotEdge struct {
	Name   string `json:"name"`
	Listen string `json:"listen"`
	Ops    string `json:"ops"`
}

func (e *iotEdge) url() string { return "https://" + e.Listen }

// home is the edge of a device.
func (p *iotPlan) home(device string) *iotEdge {
	for i := range p.Edges {
		if p.Edges[i].Name == p.Homes[device] {
			return &p.Edges[i]
		}
	}
	return &p.Edges[0]
}

const maxPlan = 1 << 20

// prepareIoT reads or makes a home's folder: the plan, the CA, users.
func prepareIoT(o *devOptions) (*iot, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the home: %w", err)
	}
	h := &iot{dir: dir}
	if err := h.loadPlan(&o.iot); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(filepath.Join(h.masterDir(), "pki", "master.pem")); errors.Is(err, fs.ErrNotExist) {
		if err := mastercmd.Init(h.masterDir(), "dev", []string{"127.0.0.1", "localhost"}); err != nil {
			return nil, err
		}
	}
	if h.ca, err = os.ReadFile(h.caFile()); err != nil {
		return nil, err
	}
	return h, h.makeUsers()
}

// loadPlan reads the plan and compares it with what is asked for, or makes one.
func (h *iot) loadPlan(o *iotOptions) error {
	path := filepath.Join(h.dir, "iot.json")
	b, err := secretfile.Read(path, maxPlan)
	p := &iotPlan{Store: o.store, Page: o.page, Homes: map[string]string{}, Seed: rand.Uint64()}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := p.pickMaster(); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(b, p); err != nil {
			return fmt.Errorf("%s: %w. Next: remove the folder, or name another with --dir", path, err)
		}
		if err := p.fits(h.dir, o); err != nil {
			return err
		}
	}
	if err := p.grow(o); err != nil {
		return err
	}
	if err := p.free(); err != nil {
		return err
	}
	h.plan = p
	if b, err = json.MarshalIndent(p, "", "  "); err != nil {
		return err
	}
	return secretfile.Write(path, append(b, '\n'))
}

func (p *iotPlan) fits(dir string, o *iotOptions) error {
	if p.Store == o.store && p.Page == o.page && len(p.Edges) <= o.edges && p.Edges[0].Listen == o.edge {
		return nil
	}
	return fmt.Errorf("%s holds another home: %d edges from %s, store %s, page %s. Next: ask for the same (or for "+
		"more edges), name another folder with --dir, or remove it", dir, len(p.Edges), p.Edges[0].Listen, p.Store,
		p.Page)
}

func (p *iotPlan) pickMaster() (err error) {
	if p.Master, err = p.port(); err == nil {
		p.MasterOps, err = p.port()
	}
	return err
}

// grow adds edges, and gives devices that have none a home.
func (p *iotPlan) grow(o *iotOptions) error {
	host, text, err := net.SplitHostPort(o.edge)
	port, numberErr := strconv.Atoi(text)
	if err != nil || numberErr != nil || !isLoopback(host) {
		return fmt.Errorf("--edge %s: use a loopback address with a port, as 127.0.0.1:7443", o.edge)
	}
	if host, _, err := net.SplitHostPort(o.page); err != nil || !isLoopback(host) {
		return fmt.Errorf("--page %s: use a loopback address with a port, as 127.0.0.1:7601: the page knows no "+
			"passwords here", o.page)
	}
	for len(p.Edges) < o.edges {
		e := iotEdge{Name: fmt.Sprintf("edge-%d", len(p.Edges)+1), Listen: o.edge}
		if len(p.Edges) > 0 {
			if e.Listen, err = p.portAfter(host, port); err != nil {
				return err
			}
		}
		if e.Ops, err = p.port(); err != nil {
			return err
		}
		p.Edges = append(p.Edges, e)
	}
	for i, d := range home.New(home.Config{}).Devices() {
		if p.Homes[d.Name] == "" {
			p.Homes[d.Name] = p.Edges[i%len(p.Edges)].Name
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// portAfter is the next port that nobody has.
func (p *iotPlan) portAfter(host string, port int) (string, error) {
	taken := map[string]bool{p.Page: true, p.Master: true, p.MasterOps: true}
	for i := range p.Edges {
		taken[p.Edges[i].Listen] = true
	}
	for next := port + 1; next < min(port+200, 1<<16); next++ {
		addr := net.JoinHostPort(host, strconv.Itoa(next))
		if !taken[addr] && portFree(addr) == nil {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port after %d: name another with --edge", port)
}

// port is a port that is free now, will be when the home is started again, and is nobody's of this home.
func (p *iotPlan) port() (string, error) {
	all := p.addresses()
	free, err := cluster.FreeAddresses("127.0.0.1", len(all)+1)
	if err != nil {
		return "", err
	}
	return slices.DeleteFunc(free, func(addr string) bool { return all[addr] != "" })[0], nil
}

func portFree(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// free finds out early what would fail late.
func (p *iotPlan) free() error {
	for addr, next := range p.addresses() {
		if err := portFree(addr); err != nil {
			return fmt.Errorf("%w. Does metronome dev --iot run in this folder already? Next: stop it, or %s", err, next)
		}
	}
	return nil
}

// addresses are all of them, and what to do about one that is taken.
func (p *iotPlan) addresses() map[string]string {
	const folder = "use another folder with --dir"
	all := map[string]string{p.Master: folder, p.MasterOps: folder,
		p.Page: "name another address with --page, and another folder if this one has a home"}
	for i := range p.Edges {
		all[p.Edges[i].Ops] = folder
		all[p.Edges[i].Listen] = "name another address with --edge, and another folder if this one has a home"
	}
	return all
}

// makeUsers makes the credential file: each device may do as it likes with what is its own; the
// guest, who is for people, with everything under home/.
func (h *iot) makeUsers() error {
	secrets, err := h.secrets()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(h.curlFile()); err == nil {
		return nil // written last
	}
	password := access.NewPassword()
	hash, err := access.Hash(password, access.DefaultCost)
	if err != nil {
		return err
	}
	f := access.NewFile()
	verbs := []string{"read", "write", "delete"}
	guest := access.User{Role: access.RoleDevice, Password: hash, Note: "for people",
		Rights: []access.Right{{Prefix: home.Prefix, Verbs: verbs}}}
	if err := f.Add("guest", guest); err != nil {
		return err
	}
	for _, d := range home.New(home.Config{}).Devices() {
		token, stored := access.NewToken()
		secrets[d.Name] = token
		u := access.User{Role: access.RoleDevice, Token: stored, Home: h.plan.Homes[d.Name], Note: d.Room,
			Rights: []access.Right{{Prefix: home.Prefix + d.Name + "/", Verbs: verbs}}}
		if err := f.Add(d.Name, u); err != nil {
			return err
		}
	}
	return h.keepUsers(f, secrets, password)
}

func (h *iot) keepUsers(f *access.File, secrets map[string]string, password string) error {
	users, err := f.Marshal()
	if err != nil {
		return err
	}
	tokens, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct {
		path string
		text []byte
	}{{h.usersFile(), users}, {h.secretsFile(), tokens}, {h.curlFile(), h.curlrc(password)}} {
		if err := secretfile.Write(file.path, file.text); err != nil {
			return err
		}
	}
	return nil
}

// curlrc is a configuration of curl: whom to trust, and the guest's password, which so is on no
// command line.
func (h *iot) curlrc(password string) []byte {
	return fmt.Appendf(nil, "# curl -K %s https://...\nsilent\nshow-error\ncacert = %q\nuser = %q\n", h.curlFile(),
		h.caFile(), "guest:"+password)
}

// secrets are the devices' tokens.
func (h *iot) secrets() (map[string]string, error) {
	all := map[string]string{}
	b, err := secretfile.Read(h.secretsFile(), maxPlan)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	return all, err
}
