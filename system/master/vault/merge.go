package vault

import (
	"context"
	"errors"
	"slices"
)

// Merging: a piece a second is many objects; as soon as there are mergeFrom small ones they become
// one. The whole is stored before its parts go, and readers skip what they have seen, so a crash
// leaves it twice at most.
const (
	mergeFrom  = 64
	mergeBytes = MaxChunk // sealed, of one merged piece
)

// Merge joins the small pieces of a chain's log. It does nothing while there are few.
func (v *Vault) Merge(ctx context.Context, number uint64) error {
	v.write.Lock()
	defer v.write.Unlock()
	c, err := v.chain(number)
	if err != nil {
		return err
	}
	parts := c.small()
	if len(parts) < mergeFrom {
		return nil
	}
	var records [][]byte
	whole := piece{number: number, first: parts[0].first, last: parts[0].first - 1}
	for _, p := range parts {
		some, err := v.readPiece(ctx, p)
		if err != nil {
			return err
		}
		for _, r := range some {
			_, last, err := span([][]byte{r})
			if err != nil {
				return err
			}
			if last > whole.last {
				records, whole.last = append(records, r), last
			}
		}
	}
	if _, err := v.putPiece(ctx, c, whole, EncodeLog(records)); err != nil {
		return err
	}
	// A merge that was cut short may have left this very piece among the parts.
	parts = slices.DeleteFunc(parts, func(p piece) bool { return p.name() == whole.name() })
	return v.dropPieces(ctx, c, parts)
}

// small are consecutive pieces that together are no larger than a merged one: the first such run.
func (c *chain) small() (run []piece) {
	total := int64(0)
	for _, p := range c.pieces {
		joins := len(run) == 0 || p.first <= run[len(run)-1].last+1
		if p.size >= mergeBytes/2 || !joins || total+p.size > mergeBytes {
			if len(run) >= mergeFrom {
				break
			}
			run, total = nil, 0
		}
		if p.size < mergeBytes/2 {
			run, total = append(run, p), total+p.size
		}
	}
	return run
}

func (v *Vault) dropPieces(ctx context.Context, c *chain, parts []piece) (err error) {
	for _, p := range parts {
		err = errors.Join(err, v.dest.Remove(ctx, backupFolder+"/"+p.name()))
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	c.pieces = slices.DeleteFunc(c.pieces, func(p piece) bool { return slices.Contains(parts, p) })
	c.settle()
	return err
}

// readPiece reads the records of a piece.
func (v *Vault) readPiece(ctx context.Context, p piece) ([][]byte, error) {
	b, err := v.dest.Get(ctx, backupFolder+"/"+p.name(), LogKind.MaxSealed())
	if err != nil {
		return nil, damage(err)
	}
	plain, err := v.seal.Open(LogKind, p.name(), b)
	if err != nil {
		return nil, err
	}
	return decodeLog(plain)
}
