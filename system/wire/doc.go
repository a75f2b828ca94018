// Package wire turns frames and items into bytes and back. It does no I/O, keeps no state between
// calls, and neither encoding nor decoding allocates.
//
// # Frame
//
// A frame is the payload of one UDP datagram: a header of 72 bytes, then whole items of one lane.
// Every field is little-endian.
//
//	offset  size  field         meaning
//	     0     2  magic         0x4D54, so the first bytes read "TM"
//	     2     1  version       1; a frame of another version is dropped and counted
//	     3     1  type          1 data, 2 heartbeat (no items; carries the marks below), 3 nack (gaps)
//	     4     1  mode          bits 0-3: digest mode, 0 none, 1 xxh3, 2 crc32c, 3 mac, 4 aead;
//	                            bits 4-7: number of the key that seals the frame, modulo 16
//	     5     1  flags         bit 0: repair, sent again on request; bits 4-7: seat + 1 of who is to answer
//	     6     2  lane          the lane's index within (proxy, incarnation)
//	     8     4  cluster       tag of the cluster; a stranger's frame is dropped unread
//	    12     4  proxy         who multicasts
//	    16     4  incarnation   the proxy's life; an old one is fenced, and the first is drawn at random
//	    20     2  count         items completed by this frame
//	    22     2  length        bytes of payload that follow the header
//	    24     8  frame         the frame's number in its lane, from 0, without gaps
//	    32     8  first         number of the first item completed here
//	    40     8  highwater     highest frame number sent in this lane so far
//	    48     8  tail          lowest frame number the sender can still repair
//	    56     8  payload       H(payload)
//	    64     8  digest        H(bytes 0 to 63)
//	    72     -  items         the payload
//
// The digest has two levels. H(payload) stands in the header and the digest covers the header, so
// one flipped bit anywhere fails; a repair, whose marks have moved on, is stamped again for the
// price of 64 bytes; and a load generator hashes only the header over a payload prepared
// beforehand.
//
// # Item
//
//	offset  size  field         meaning
//	     0     1  op            1 put, 2 get, 3 delete, 4 compare-and-set, 5 increment, 6 append,
//	                            7 multi, 8 scan, 9 session, 10 count
//	     1     1  flags         bit 0: session follows; bit 1: fragment of a larger value;
//	                            bit 2: answer with the previous value; bit 3: only if present;
//	                            bit 4: length and revision only
//	     2     2  keylen        at most 1024
//	     4     4  valuelen      bytes of value in this frame
//	     8    24  session       only with flag 0: session id, the request's number, the low mark
//	     -     8  expect        only for compare-and-set: expected revision, 0 = must be absent
//	     -     8  fragment      only with flag 1: length of the whole value, then this part's offset
//	     -     -  key
//	     -     -  value
//
// What a value holds depends on the operation: an increment's delta, a multi's items, a scan's
// arguments. Every operation is answered by a [Result]; a put without conditions answers nothing
// but "done", and is acknowledged in ranges, by the committed watermark of its lane ([Item.Blind]).
//
// A value that does not fit in a frame travels as fragments, one a frame, all numbered as the one
// item they are; count is 0 in every fragment but the last (PROTOCOL R6: a fragmented value is one
// item to watermark and cut).
//
// # What a digest promises
//
// Mode xxh3 (the default) and crc32c detect damage and keep out strangers who do not try: they are
// seeded by the cluster key, but they are not MACs, and whoever watches the network can forge them.
// Mode mac is a MAC: AES-128-CMAC (RFC 4493), cut to 64 bits. It was chosen over GMAC because it
// needs no nonce, and a restamped repair would repeat one; over HMAC-SHA-256 because a header is
// four AES blocks but two to four compressions; and because every server CPU has AES instructions.
// Mode none is for measuring what the others cost.
//
// # Encrypted frames
//
// Mode aead is mode mac, and hides what clients wrote: the items of a data frame are encrypted, with 24 bytes
// behind them.
//
//	offset  size  field  meaning
//	    72     n  items  encrypted
//	  72+n    16  tag    GCM's; its additional data are the header's bytes 0 to 39, flag 0 left out
//	  88+n     8  salt   drawn by the sender for each incarnation
//
// H(payload) is then the MAC of tag and salt alone: the tag is the MAC of the rest. The key is
// derived from the cluster key, the cluster's tag, proxy, incarnation and salt; the nonce is lane
// (2 bytes), zero (2), frame number (8). A frame number is sealed once a life, and a repair changes
// nothing that GCM sees, so no nonce serves twice: a repair's items, tag and salt are byte for byte
// those that were sent. What a repair does change, its flag and the marks, is under the header's MAC
// only.
//
// Headers, heartbeats and requests for repair are authenticated and not encrypted: who watches learns which
// proxy sends how much and when. A replica holds frames opened ([Opener.Opened]) and seals them again for a
// peer or its journal ([Digester.Reseal]).
//
// # Keys
//
// Frames of all modes are sealed under one of a cluster's keys and name it by its number, modulo 16 ([Keys],
// [Digester.SetKeys]). A receiver opens what is under any key that it has and that is not retired; others are
// [BadKey], before a digest is computed. The chain is seeded by the first key for ever ([ChainSeed]).
//
// The package does not know sockets, lanes' state, or the meaning of items.
package wire
