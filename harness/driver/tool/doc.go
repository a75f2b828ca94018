// Package tool builds the small programs that drivers of experiments measure with: from Go sources of this
// module, or from C++.
//
// A compiler that is not there, and a source that it refuses for want of a library, are
// packet.ErrUnavailable: the experiment goes on without what they would have built. What is built is not
// installed anywhere and keeps nothing but the file it is told to write; Go's own build cache makes
// repetition cheap.
package tool
