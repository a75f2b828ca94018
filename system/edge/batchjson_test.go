package edge

import (
	"fmt"
	"testing"
)

// Half of a surrogate pair is no character. The decoder makes one and the same of all of them, so that keys
// that differ would be one key: a batch with one is refused, and whatever is a character goes through.
func TestHalfAPairIsRefused(t *testing.T) {
	for _, c := range []struct{ key, want string }{
		{`a\ud83d\ude00`, "a\U0001F600"}, {`\u00e4\n\\ud800`, "ä\n\\ud800"}, {`\ufffd`, "\ufffd"},
		{`\ud800`, ""}, {`\udc00`, ""}, {`\ud83d\ud83d`, ""}, {`\ud83dx`, ""}, {`\ud83d\n`, ""},
		{`\uD83D\uDE00\uDE00`, ""}, {`\\\ud800`, ""}, {`\ud83`, ""}, {`\`, ""},
	} {
		b, err := decodeBatch(fmt.Appendf(nil, `{"ops":[{"op":"put","key":"%s","value":"x"}]}`, c.key))
		if (err == nil) != (c.want != "") || err == nil && string(b.Ops[0].Key) != c.want {
			t.Errorf("%s: %v", c.key, err)
		}
	}
}
