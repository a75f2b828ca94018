package edge

import "testing"

func FuzzDecodeBatch(f *testing.F) {
	f.Add([]byte(`{"session":"q","epoch":1,"prev":0,"last":9,"mode":"atomic","ops":[` +
		`{"seq":1,"op":"put","key":"a","value":"x","if_match":"\"3\""},` +
		`{"seq":2,"op":"delete","key_base64":"/w==","if_none_match":"*"}]}`))
	f.Add([]byte(`{"ops":[{"op":"put","key":"a","value_base64":""}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := decodeBatch(body)
		if err != nil {
			if p := problemOf(err); p.Status < 400 || p.Status >= 500 {
				t.Fatalf("%v", err)
			}
			return
		}
		last, size := uint64(0), 0
		for i := range b.Ops {
			op := &b.Ops[i]
			if b.Sender != nil && (op.Seq <= last || op.Seq <= b.Sender.Prev || op.Seq > b.Sender.Last) {
				t.Fatalf("number %d after %d in %+v", op.Seq, last, b.Sender)
			}
			if op.Kind != Put && op.Kind != Delete || op.Kind == Delete && op.Value != nil {
				t.Fatalf("%+v", op)
			}
			last, size = op.Seq, size+len(op.Value)
		}
		if len(b.Ops) > MaxOps || size > MaxBatchBytes {
			t.Fatalf("%d operations, %d bytes", len(b.Ops), size)
		}
	})
}
