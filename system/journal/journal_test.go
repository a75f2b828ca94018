package journal

import (
	"bytes"
	"fmt"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

func TestRecordsComeBack(t *testing.T) {
	for name, fsys := range map[string]disk.FS{"memory": fault.New(1), "os": disk.OS()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cfg := Config{SegmentBytes: minSegment, Identity: "a", First: 1}
			want := map[uint64][]byte{}
			for life := range 5 {
				j, report, err := Open(fsys, dir, cfg)
				if err != nil {
					t.Fatal(err)
				}
				t.Log(report)
				if !report.Intact() || report.Torn != 0 || report.Harmless != 0 {
					t.Errorf("life %d: %v", life, report)
				}
				n := uint64(1)
				for number, rec := range j.Records() {
					if number != n || !bytes.Equal(rec, want[n]) {
						t.Fatalf("life %d: record %d is %.20q, want %d %.20q", life, number, rec, n, want[n])
					}
					n++
				}
				if int(n) != len(want)+1 {
					t.Fatalf("life %d: records end at %d of %d", life, n, len(want))
				}
				for i := range 50 {
					rec := bytes.Repeat([]byte(fmt.Sprint(life, i)), i*i)
					number, err := j.Append(rec)
					if err != nil {
						t.Fatal(err)
					}
					want[number] = rec
					if i%7 == 0 {
						if err := j.Sync(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
