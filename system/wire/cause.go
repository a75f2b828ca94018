package wire

// Cause says why a frame was dropped; [OK] says that it was not. Every cause has a counter.
type Cause uint8

// The causes, in the order in which a frame is examined.
const (
	OK         Cause = iota
	BadShort         // shorter than a header
	BadMagic         // not a Metronome frame
	BadVersion       // a version this build does not speak
	BadCluster       // another cluster's frame
	BadMode          // a digest mode other than the one configured
	BadLength        // the datagram's length disagrees with the header's
	BadDigest        // the header's digest is wrong
	BadType          // an unknown frame type under a right digest
	BadPayload       // the payload's hash is wrong
	BadItem          // an item's header is out of bounds, or the items do not add up
	BadLane          // no such lane is open, or the frame contradicts what its lane holds
	BadKey           // sealed under a key that the ring lacks, or that is retired; examined after the mode
	causes
)

// NumCauses is the number of causes, OK included: the length of an array indexed by [Cause].
const NumCauses = int(causes)

var causeNames = [NumCauses]string{"ok", "short", "magic", "version", "cluster", "mode", "length",
	"digest", "type", "payload", "item", "lane", "key"}

// String is the cause's name in counters, CSV columns (bad_<name>) and messages.
func (c Cause) String() string {
	if int(c) < NumCauses {
		return causeNames[c]
	}
	return "unknown"
}
