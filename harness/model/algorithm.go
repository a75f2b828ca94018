package model

// Algorithm is how one agrees: a fault-free round, while rounds follow each other. Sizes are in bytes, of
// messages with numbers of a few thousand.
type Algorithm struct {
	Name       string
	Answers    float64 // from each follower a round; the leader sends each an offer and a notice
	OfferSize  float64 // the round itself, besides the decision in it
	NoticeSize float64 // that it is decided
	AnswerSize float64
	BeatSize   float64 // a heartbeat and its answer
}

// algorithms are those that order cuts through a leader. A test of the driver compares them with what is
// sent.
var algorithms = []Algorithm{
	// MsgApp with the entry, MsgApp that says it is committed, and a MsgAppResp to the first: to the second it
	// would say the same again, which it leaves out.
	{Name: "raft", Answers: 1, OfferSize: 25, NoticeSize: 16, AnswerSize: 11, BeatSize: 27},
	// Accept, Decided, Accepted.
	{Name: "multipaxos", Answers: 1, OfferSize: 29, NoticeSize: 17, AnswerSize: 25, BeatSize: 82},
}

// Of finds an algorithm by its name in package orderers.
func Of(name string) (Algorithm, bool) {
	for _, a := range algorithms {
		if a.Name == name {
			return a, true
		}
	}
	return Algorithm{}, false
}

// Names are the algorithms that there is a model of.
func Names() (names []string) {
	for _, a := range algorithms {
		names = append(names, a.Name)
	}
	return names
}
