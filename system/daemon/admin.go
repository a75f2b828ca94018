package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/cluster"
	"metronome/system/order"
	"metronome/system/replica"
	"metronome/system/wire"
)

// Operators talk to a replica on its own machine, through a Unix socket that only its user may
// open: one request a connection, JSON both ways.

// AdminRequest is what an operator asks.
type AdminRequest struct {
	Cmd  string `json:"cmd"`            // init, status, arrivals, snapshot, add, remove, finalize
	Seat int    `json:"seat,omitempty"` // add, remove
}

// AdminAnswer is what a replica says.
type AdminAnswer struct {
	Error  string         `json:"error,omitempty"`
	Status *ClusterStatus `json:"status,omitempty"`

	Arrivals Arrivals `json:"arrivals,omitempty"`

	Snapshot *SnapshotInfo `json:"snapshot,omitempty"` // so many bytes follow
}

// ClusterStatus is the cluster as one replica sees it.
type ClusterStatus struct {
	Replica      string   `json:"replica"`
	Life         string   `json:"life"` // its id, "" if it belongs to no cluster
	Leader       string   `json:"leader"`
	Term         uint64   `json:"term"`
	Voters       []string `json:"voters"`
	Learners     []string `json:"learners"`
	QuorumMargin int      `json:"quorum_margin"` // voters connected here beyond a majority (R2)
	Position     uint64   `json:"position"`      // rounds agreed
	Index        uint64   `json:"index"`         // items applied
	Keys         int      `json:"keys"`
	StoreBytes   int      `json:"store_bytes"`
	StateHash    string   `json:"state_hash"`
	Durability   string   `json:"durability"`
	Lanes        int      `json:"lanes"`
	Feature      uint32   `json:"feature"`             // the cluster's feature level
	Supported    uint32   `json:"supported,omitempty"` // what all members know, at the leader
	Admitted     []string `json:"admitted"`            // seats that may join
	SnapshotAt   uint64   `json:"snapshot_at"`         // position of the newest durable snapshot
	JournalBytes int64    `json:"journal_bytes"`       // on the disk
	Behind       uint64   `json:"behind"`              // rounds agreed and not applied here
	// Holds tells, at the leader, up to which round each member has logged what was agreed.
	Holds    map[string]uint64 `json:"holds,omitempty"`
	NotReady string            `json:"not_ready,omitempty"`
	FoundErr string            `json:"found_err,omitempty"` // why `cluster init` was given up
	// Connected are the replicas that this one has a stream to, itself among them.
	Connected []string `json:"connected,omitempty"`
	Awaited   []string `json:"awaited,omitempty"` // seats that have not answered `cluster init`
}

// Feature is the highest feature level that this build knows.
const Feature = replica.Feature

// AdminSocket is where a replica's operators find it.
func AdminSocket(c *cluster.Config, self wire.Peer) string {
	return filepath.Join(c.Path("run"), self.String()+".sock")
}

// longestSocket is how long the kernel lets a Unix socket's path be.
const longestSocket = len(unix.RawSockaddrUnix{}.Path) - 1

// shortPath is another name for path if that is too long for a socket, good until released.
func shortPath(path string) (short string, release func(), err error) {
	if len(path) <= longestSocket {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// Admin serves operators until ctx ends.
func (r *Replica) Admin(ctx context.Context) error {
	path := AdminSocket(r.cfg.Cluster, r.cfg.Self)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("daemon: folder of the admin socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("daemon: old admin socket: %w", err)
	}
	short, release, err := shortPath(path)
	if err != nil {
		return fmt.Errorf("daemon: admin socket: %w", err)
	}
	defer release()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", short)
	if err != nil {
		return fmt.Errorf("daemon: admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("daemon: admin socket: %w", err), l.Close())
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	room := make(chan struct{}, adminConnections)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("daemon: admin socket: %w", err)
		}
		room <- struct{}{}
		go func() {
			r.serveAdmin(ctx, c)
			<-room
		}()
	}
}

const adminTimeout = 30 * time.Second

// adminConnections bounds the operators served at one time.
const adminConnections = 16

func (r *Replica) serveAdmin(ctx context.Context, c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(adminTimeout))
	var q AdminRequest
	var a AdminAnswer
	if err := json.NewDecoder(bufio.NewReader(c)).Decode(&q); err != nil {
		a.Error = "the request is no JSON: " + err.Error()
	} else if q.Cmd == "snapshot" {
		if err := r.sendSnapshot(ctx, c); err != nil {
			r.cfg.Log.Warn("a snapshot was not sent whole", "error", err)
		}
		return
	} else if err := r.administer(ctx, &q, &a); err != nil {
		a.Error = err.Error()
	}
	_ = json.NewEncoder(c).Encode(&a)
}

func (r *Replica) administer(ctx context.Context, q *AdminRequest, a *AdminAnswer) error {
	switch q.Cmd {
	case "init":
		return r.Initiate(ctx)
	case "status":
		a.Status = r.status()
		return nil
	case "arrivals":
		return r.arrivals(ctx, &a.Arrivals)
	case "add", "remove", "finalize":
		return r.operate(ctx, q)
	}
	return fmt.Errorf("unknown command %q: use init, status, arrivals, snapshot, add, remove or finalize", q.Cmd)
}

// operate passes a change of membership or of the feature level on to the leader. The status shows
// what came of it.
func (r *Replica) operate(ctx context.Context, q *AdminRequest) error {
	if q.Seat < 0 || q.Seat >= wire.MaxSeats {
		return fmt.Errorf("there is no seat %d: use 0 to %d", q.Seat, wire.MaxSeats-1)
	}
	v := r.View()
	c := order.Command{Kind: order.AdmitSeat, Seat: uint8(q.Seat)}
	switch q.Cmd {
	case "remove":
		if err := r.removable(v.Status.Members, q.Seat); err != nil {
			return err
		}
		c.Kind = order.RetireSeat
	case "finalize":
		c = order.Command{Kind: order.SetFeature, Level: replica.Feature}
	}
	return r.do(ctx, func(core *replica.Replica) error { return core.Request(c) })
}

// removable refuses a removal after which fewer than a majority of the voters would be there (R2).
func (r *Replica) removable(m order.Members, seat int) error {
	left, up := 0, 0
	for _, id := range m.Voters {
		if replica.SeatOf(id) == seat {
			continue
		}
		left++
		if p := wire.ReplicaPeer(replica.SeatOf(id)); p == r.cfg.Self || r.net.Up(p) {
			up++
		}
	}
	switch {
	case left == 0:
		return fmt.Errorf("%v is the only voter: add another replica first", wire.ReplicaPeer(seat))
	case up < left/2+1:
		return fmt.Errorf("without %v there would be %d voters, %d of them connected here: it would halt. "+
			"Next: start or replace the others first", wire.ReplicaPeer(seat), left, up)
	}
	return nil
}

func (r *Replica) status() *ClusterStatus {
	v := r.View()
	s := &ClusterStatus{Replica: r.cfg.Self.String(), Term: v.Status.Status.Term,
		Position: v.Status.Status.Position, Index: v.Status.Index, Keys: v.Status.Keys,
		StoreBytes: v.Status.StoreBytes, Lanes: len(v.Status.Lanes),
		StateHash: fmt.Sprintf("%016x", v.Status.Hash), Durability: r.cfg.Cluster.Durability,
		Voters: names(v.Status.Members.Voters), Learners: names(v.Status.Members.Learners),
		QuorumMargin: r.margin(v.Status.Members)}
	s.Feature, s.Supported, s.SnapshotAt = v.Status.Feature, v.Status.Supported, v.Status.Journal.Saved
	s.JournalBytes, s.Behind = v.Journal.Disk, uint64(v.Status.Waiting)
	for seat := range wire.MaxSeats {
		if v.Status.Admitted>>seat&1 == 1 {
			s.Admitted = append(s.Admitted, wire.ReplicaPeer(seat).String())
		}
	}
	for id, position := range v.Status.Status.Match {
		if s.Holds == nil {
			s.Holds = map[string]uint64{}
		}
		s.Holds[life(id)] = position
	}
	if v.Status.ID != 0 {
		s.Life = life(v.Status.ID)
	}
	if v.Status.Status.Leader != 0 {
		s.Leader = life(v.Status.Status.Leader)
	}
	err := v.NotReady
	if v.FoundErr != nil {
		err = v.FoundErr
		s.FoundErr = err.Error()
	}
	if err != nil {
		s.NotReady = err.Error()
	}
	s.Connected = append(s.Connected, r.cfg.Self.String())
	for _, p := range r.net.Peers() { // also those that the file has gained since the start
		if p.IsReplica() && r.net.Up(p) {
			s.Connected = append(s.Connected, p.String())
		}
	}
	for _, seat := range v.Awaited {
		s.Awaited = append(s.Awaited, wire.ReplicaPeer(seat).String())
	}
	return s
}

// margin is how many voters may be lost before the cluster halts, as far as this replica's
// connections tell.
func (r *Replica) margin(m order.Members) int {
	up := 0
	for _, id := range m.Voters {
		p := wire.ReplicaPeer(replica.SeatOf(id))
		if p == r.cfg.Self || r.net.Up(p) {
			up++
		}
	}
	return up - (len(m.Voters)/2 + 1)
}

// life names a life: the seat and which of its lives it is.
func life(id uint64) string {
	return fmt.Sprintf("%v/%d", wire.ReplicaPeer(replica.SeatOf(id)), id>>8)
}

func names(ids []uint64) []string {
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		out = append(out, life(id))
	}
	slices.Sort(out)
	return out
}

// Ask sends a request to a replica of this machine.
func Ask(ctx context.Context, c *cluster.Config, to wire.Peer, q AdminRequest) (a AdminAnswer, err error) {
	conn, err := dialAdmin(ctx, c, to)
	if err != nil {
		return a, err
	}
	defer conn.Close()
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d)
	}
	a, _, err = exchange(conn, to, &q)
	return a, err
}

func dialAdmin(ctx context.Context, c *cluster.Config, to wire.Peer) (net.Conn, error) {
	path := AdminSocket(c, to)
	short, release, err := shortPath(path)
	if err != nil {
		return nil, unreached(to, path, err)
	}
	defer release()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", short)
	if err != nil {
		return nil, unreached(to, path, err)
	}
	return conn, nil
}

func unreached(to wire.Peer, path string, err error) error {
	return fmt.Errorf("reach %v through %s: %w: is it running on this machine, as this user?", to, path, err)
}

// exchange sends a request and reads the line that answers it; what follows is read from rest.
func exchange(conn net.Conn, to wire.Peer, q *AdminRequest) (a AdminAnswer, rest *bufio.Reader, err error) {
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return a, nil, fmt.Errorf("ask %v: %w", to, err)
	}
	rest = bufio.NewReader(conn)
	line, err := rest.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		return a, nil, fmt.Errorf("answer of %v: %w", to, err)
	}
	if a.Error != "" {
		return a, nil, errors.New(a.Error)
	}
	return a, rest, nil
}
