package orderers

import (
	"fmt"
	"strings"

	"metronome/system/order"
	"metronome/system/order/baxos"
	"metronome/system/order/mencius"
	"metronome/system/order/multipaxos"
	"metronome/system/order/rabia"
	"metronome/system/order/racs"
	"metronome/system/order/raft"
)

// Default is the algorithm of a cluster that names none.
const Default = "raft"

// algorithm is one of the table.
type algorithm struct {
	name     string
	static   bool
	all      bool // every member proposes
	start    func(c order.Config) (order.Orderer, error)
	said     func(message []byte) order.Said
	describe func(message []byte) string
}

var algorithms = [...]algorithm{
	{"raft", false, false,
		func(c order.Config) (order.Orderer, error) { return raft.New(c) }, raft.Said, raft.Describe},
	{"multipaxos", true, false,
		func(c order.Config) (order.Orderer, error) { return multipaxos.New(c) }, multipaxos.Said,
		multipaxos.Describe},
	{"mencius", true, true,
		func(c order.Config) (order.Orderer, error) { return mencius.New(c) }, mencius.Said, mencius.Describe},
	{"baxos", true, true,
		func(c order.Config) (order.Orderer, error) { return baxos.New(c) }, baxos.Said, baxos.Describe},
	{"rabia", true, true,
		func(c order.Config) (order.Orderer, error) { return rabia.New(c) }, rabia.Said, rabia.Describe},
	{"racs", true, false,
		func(c order.Config) (order.Orderer, error) { return racs.New(c) }, racs.Said, racs.Describe},
}

// Names are the algorithms there are, the default first.
func Names() []string {
	names := make([]string, len(algorithms))
	for i := range algorithms {
		names[i] = algorithms[i].name
	}
	return names
}

// Choice is one of the algorithms.
type Choice struct{ a *algorithm }

// Parse finds an algorithm by its name; an empty one is the default.
func Parse(name string) (Choice, error) {
	if name == "" {
		name = Default
	}
	for i := range algorithms {
		if algorithms[i].name == name {
			return Choice{&algorithms[i]}, nil
		}
	}
	return Choice{}, fmt.Errorf("consensus %q: no such algorithm: use %s", name, strings.Join(Names(), " or "))
}

// String is the algorithm's name.
func (c Choice) String() string { return c.a.name }

// Static reports that the members are fixed: a replica that lost its state cannot come back as a new
// life.
func (c Choice) Static() bool { return c.a.static }

// Leaderless reports that every member proposes.
func (c Choice) Leaderless() bool { return c.a.all }

// New starts an orderer.
func (c Choice) New(config order.Config) (order.Orderer, error) { return c.a.start(config) }

// Said is what a message tells others of its sender's stable storage.
func (c Choice) Said(message []byte) order.Said { return c.a.said(message) }

// Describe says in a few words what a message is, for people.
func (c Choice) Describe(message []byte) string { return c.a.describe(message) }
