package ship

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"metronome/system/edge"
	"metronome/system/master/api"
)

// pieceBytes is about how much log goes at once.
const pieceBytes = 1 << 20

// shipLog sends what changed up to now. What comes while it sends waits for the next time: a piece a
// second costs the edge less than one for each change.
func (s *Shipper) shipLog(ctx context.Context) error {
	now := s.cfg.Source.Status().Revision
	for s.chain() != 0 && s.next <= now && ctx.Err() == nil {
		records, next, err := s.cfg.Source.Log(ctx, s.next, pieceBytes)
		if errors.Is(err, edge.ErrTrimmed) {
			s.why = "the log no longer reaches back to what the master has"
			return nil
		}
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
		if err := s.shipPiece(ctx, records, next); err != nil {
			return err
		}
	}
	return nil
}

// chain is the number of the backup that the log is behind; 0 = none yet.
func (s *Shipper) chain() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Backup
}

func (s *Shipper) shipPiece(ctx context.Context, records [][]byte, next uint64) error {
	number := s.chain()
	sealed, err := s.seal.SealLog(number, records)
	if err != nil {
		return err
	}
	var wish api.Wish
	err = s.call(ctx, http.MethodPost, "log", strconv.FormatUint(number, 10), api.Raw(sealed), &wish)
	var p *api.Problem
	switch {
	case errors.As(err, &p) && p.Code() == "log-gap" && p.Reach != nil:
		s.next = *p.Reach + 1 // the master lost something: it is sent again
		return nil
	case errors.As(err, &p) && p.Code() == "no-backup":
		s.why = "the master no longer has the backup that the log is behind"
		s.mu.Lock()
		s.state.Backup = 0
		s.mu.Unlock()
		return nil
	case err != nil:
		return err
	}
	s.next = max(next, wish.Reach+1)
	s.logged += int64(len(sealed))
	s.wish(&wish)
	s.mu.Lock()
	s.stats.LogPieces++
	s.stats.BytesSent += uint64(len(sealed))
	s.mu.Unlock()
	return s.safe(ctx, wish.Reach)
}

// safe tells the store what is in a backup.
func (s *Shipper) safe(ctx context.Context, reach uint64) error {
	reach = min(reach, s.cfg.Source.Status().Revision)
	s.mu.Lock()
	if reach <= s.state.Shipped {
		s.mu.Unlock()
		return nil
	}
	s.state.Shipped = reach
	s.mu.Unlock()
	return s.cfg.Source.MarkBackedUp(ctx, reach)
}
