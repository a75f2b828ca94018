// Package offline is the driver of edge-offline: a device cannot reach its edge for a while, goes on
// writing, is switched off, and empties its queue once the edge is back.
//
// A trial is three processes. The first opens an empty queue and writes what an outage of that length
// holds, as fast as the disk takes it: hours of silence do not change what is on the disk, so they are left
// out, and the backlog is what counts. The second is a real edge, metronome edge over HTTPS. The third opens
// the queue again, as after a power cut, and sends. How long that takes, in how many requests, with how much
// memory is what a trial tells.
//
// Whether nothing was lost, doubled or overtaken is read from the edge: its log of changes against the
// operations as they were written (package outage), and its keys in the end against a model.
//
// In arms with a cut the device reaches the edge through a [Cutter], which breaks connections in the middle
// of requests, and after the edge has executed one and before the device hears of it: what was sent is sent
// again then.
package offline
