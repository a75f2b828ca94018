package api

import (
	"net/url"
	"time"

	"metronome/system/master/phi"
	"metronome/system/master/vault"
)

// Bounds of requests, in bytes.
const (
	MaxJSON    = 1 << 20
	MaxNames   = 32 << 10 // chunk names of one question
	MaxMissing = 4 << 20  // bytes of that question
)

// EdgePath is the path of something of one edge.
func EdgePath(edge string, parts ...string) string {
	path := "/v1/edges/" + url.PathEscape(edge)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// JoinRequest asks to become an edge: POST /v1/join.
type JoinRequest struct {
	Secret  string `json:"secret"`  // of the join token, hexadecimal
	Request string `json:"request"` // certificate request, PEM
}

// JoinReply makes one.
type JoinReply struct {
	Edge        string `json:"edge"`
	Home        string `json:"home"`
	Certificate string `json:"certificate"` // chain, PEM
	BackupKey   string `json:"backup_key"`
	Restorable  bool   `json:"restorable"` // there are backups of this edge's earlier life
}

// RenewRequest asks for a new certificate: POST /v1/renew.
type RenewRequest struct {
	Request string `json:"request"`
}

// RenewReply is it.
type RenewReply struct {
	Certificate string `json:"certificate"`
}

// Hello begins a life of an edge's backups: POST …/hello. The reply's lease goes into the header
// Lease of all that follows; who holds an older one is refused.
type Hello struct {
	Incarnation string `json:"incarnation"`
	Revision    uint64 `json:"revision"`
	KeyID       string `json:"key_id"` // of the backup key it seals with
}

// LeaseHeader carries the lease.
const LeaseHeader = "X-Backup-Lease"

// Lease answers a Hello.
type Lease struct {
	Lease   uint64 `json:"lease"`
	Warning string `json:"warning,omitempty"` // for the edge's log: an empty store though backups exist
}

// Report is what an edge says of itself, every Promise: POST …/report.
type Report struct {
	Promise     time.Duration `json:"promise_ns"` // it will report again within this
	URL         string        `json:"url,omitempty"`
	Software    string        `json:"software"`
	Store       string        `json:"store"`
	Incarnation string        `json:"incarnation"`
	Revision    uint64        `json:"revision"`
	Digest      string        `json:"digest"` // of the entries at Revision
	Keys        uint64        `json:"keys"`
	Bytes       uint64        `json:"bytes"`
	Clock       time.Time     `json:"clock"` // the edge's
	QueueDepth  int           `json:"queue_depth"`
	CertDays    float64       `json:"certificate_days"` // 0 = not told
	DiskFree    uint64        `json:"disk_free_bytes"`
	DiskFloor   uint64        `json:"disk_floor_bytes"`
	Backup      BackupState   `json:"backup"`
	Reasons     []string      `json:"reasons,omitempty"` // why the edge is not ready
}

// BackupState is how backups go, as the edge sees it.
type BackupState struct {
	State    string    `json:"state"`           // starting, shipping, checkpoint, failing, fenced, elsewhere
	Error    string    `json:"error,omitempty"` // the last, if it is failing
	Backup   uint64    `json:"backup"`          // number of the chain that is shipped to
	Shipped  uint64    `json:"shipped"`         // revision up to which the master has everything
	Behind   uint64    `json:"behind"`          // revisions
	Failures uint64    `json:"failures"`
	Since    time.Time `json:"since,omitzero"` // it fails
}

// Elsewhere is the state of an edge whose data others back up: the cluster that it shares.
const Elsewhere = "elsewhere"

// Wish is what a master asks of an edge.
type Wish struct {
	Reach  uint64 `json:"reach"`            // of the chain, after this request
	Backup string `json:"backup,omitempty"` // why a new checkpoint is wanted; "" = it is not
}

// Missing asks which chunks are missing, and says: POST …/missing.
type Missing struct {
	Names []string `json:"names"`
}

// Committed answers a manifest that was committed: POST …/backups.
type Committed struct {
	Number uint64 `json:"number"`
	Reach  uint64 `json:"reach"`
}

// Epoch answers POST …/restores: the number of this restore.
type Epoch struct {
	Epoch uint16 `json:"epoch"`
}

// Above asks for it.
type Above struct {
	Above uint16 `json:"above"`
}

// Object is an object of a vault in a list: GET …/objects/FOLDER.
type Object struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Level is how much a thing needs somebody to look.
type Level string

// Levels.
const (
	Good Level = "good"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Finding is something that somebody should know of an edge.
type Finding struct {
	Level Level  `json:"level"`
	Code  string `json:"code"` // a constant word, for alerts
	Text  string `json:"text"` // what it is, and what to do
}

// Liveness is what a detector thinks.
type Liveness struct {
	State    phi.State     `json:"state"`
	Phi      float64       `json:"phi"`
	Silence  time.Duration `json:"silence_ns"`
	Interval time.Duration `json:"interval_ns"` // mean gap between signs of life
	Why      string        `json:"why"`
}

// Proof is the last restore that was tried and was right.
type Proof struct {
	Backup   uint64        `json:"backup"`
	Revision uint64        `json:"revision"`
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took_ns"`
	Digest   string        `json:"digest"`
	Compared bool          `json:"compared"` // with a digest that the edge reported for the revision
}

// Drill is the last restore that was tried.
type Drill struct {
	At     time.Time `json:"at"`
	Good   bool      `json:"good"`
	Error  string    `json:"error,omitempty"`
	Reason string    `json:"reason"` // scheduled, or asked for
}

// Edge is all there is to see of an edge.
type Edge struct {
	Name       string          `json:"name"`
	Level      Level           `json:"level"` // the worst of the findings
	Revoked    bool            `json:"revoked"`
	LastSeen   time.Time       `json:"last_seen,omitzero"` // by the master's clock
	Passive    Liveness        `json:"liveness"`
	Heartbeat  *Liveness       `json:"heartbeat,omitempty"`
	ClockSkew  time.Duration   `json:"clock_skew_ns"` // the edge's clock minus the master's
	Report     *Report         `json:"report,omitempty"`
	BackupAge  time.Duration   `json:"backup_age_ns"` // since everything was known to be in a backup; -1 = never
	Newest     *vault.Summary  `json:"newest,omitempty"`
	Backups    []vault.Summary `json:"backups"`
	Stored     int64           `json:"stored_bytes"`
	Proof      *Proof          `json:"last_proven,omitempty"`
	Drill      *Drill          `json:"last_drill,omitempty"`
	Checked    *Check          `json:"last_check,omitempty"`
	Findings   []Finding       `json:"findings"`
	Restorable string          `json:"restorable,omitempty"` // in words
}

// Check is the last reading-again of what is stored.
type Check struct {
	At time.Time `json:"at"`
	vault.Checked
}

// Status is all there is to see of a master.
type Status struct {
	Home        string    `json:"home"`
	Master      string    `json:"master"`
	Software    string    `json:"software"`
	Now         time.Time `json:"now"`
	Started     time.Time `json:"started"`
	Destination string    `json:"destination"`
	DiskFree    uint64    `json:"disk_free_bytes"`
	DiskFloor   uint64    `json:"disk_floor_bytes"`
	CertDays    float64   `json:"certificate_days"`
	CADays      float64   `json:"ca_days"`
	Retention   string    `json:"retention"`
	Heartbeats  string    `json:"heartbeats"` // off, or the interval
	Edges       []Edge    `json:"edges"`
	Findings    []Finding `json:"findings"`
}
