package broker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"clerk-credential-helper/platform"
)

// The processes that share our locks are one side. A Flatpak, or a container with the session's bus, shares the keychain and
// not the locks: it is another side. Between sides an item of the keychain excludes, beside the session's: a writer marks it,
// waits for a moment, and goes on only if its mark still stands. This is Fischer's algorithm (Lamport, "A Fast Mutual Exclusion
// Algorithm", 1987). It assumes nothing about how long the keychain takes: a write that has replaced a mark which stood for the
// moment has taken longer than that since its reader saw none, and every writer measures its own.
//
// A mark says nothing about the session or its token, and no read looks at it.

// mark is that item: which process writes the session.
type mark struct {
	By string    `json:"by,omitempty"` // random, another one for each time; empty if none does
	At time.Time `json:"at"`
}

// marks is the item of a session's marks. Only the last one is kept.
type marks struct{ slot }

const (
	// markMoment is how long a mark has to stand. A read and a write together take 4 ms with gnome-keyring, and while 12 other
	// processes read and write all the time 30 ms, at most 240.
	markMoment = 300 * time.Millisecond
	// markDoubt is the same if another side may be at work unseen: our write took longer than the moment, or we have replaced
	// another's mark, or another our mark. A refresh that goes well is over by then.
	markDoubt = 5 * time.Second
	// markLimit is the age at which a mark no longer counts, because its writer was killed. No refresh takes as long.
	markLimit = refreshLimit + 5*time.Second
	// markPoll is the pause between two looks at another side's mark.
	markPoll = 100 * time.Millisecond
)

// counts reports whether a mark is neither too old nor, after a change of the clock, too far in the future.
func (m mark) counts(now time.Time) bool { return now.Sub(m.At).Abs() < markLimit }

// read reads the last mark. One that is not readable is none.
func (all marks) read(ctx context.Context) (mark, error) {
	var m mark
	text, err := all.b.Keychain.Get(ctx, all.name("mark"))
	if errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrDamaged) {
		return mark{}, nil
	}
	if err != nil || json.Unmarshal([]byte(text), &m) != nil {
		return mark{}, err
	}
	return m, nil
}

// write replaces the last mark by ours, or by none.
func (all marks) write(ctx context.Context, by string) error {
	text, err := json.Marshal(mark{by, all.b.Now().UTC()})
	if err != nil {
		return err
	}
	return all.b.Keychain.Set(ctx, all.name("mark"), string(text))
}

// claim excludes other sides from writing the session, until release. ok is false if one of them writes it now. A keychain that
// keeps no mark excludes none of them: its error is that of the session's own reads and writes. The session lock is held, and
// if stale is set, so long that no mark counts.
func (all marks) claim(ctx context.Context, stale bool) (release func(), ok bool, err error) {
	own := all.readRecord(ctx, "mark").By // its writer was killed, if it still stands: we hold the lock
	by := rand.Text()
	moment := markMoment
	for range 3 {
		began := time.Now()
		m, err := all.read(ctx)
		if err != nil {
			break
		}
		if m.By != "" && m.By != own {
			if !stale && m.counts(all.b.Now()) {
				return nil, false, nil
			}
			moment = markDoubt
		}
		all.writeRecord(ctx, "mark", record{By: by}) // without it our side waits for the mark, should we be killed
		own = by
		if err := all.write(ctx, by); err != nil {
			break
		}
		if time.Since(began) > markMoment {
			moment = markDoubt
		}
		if err := pause(ctx, moment); err != nil {
			all.free(ctx, by)
			return nil, false, err
		}
		m, err = all.read(ctx)
		switch {
		case err == nil && m.By == by:
			return func() { all.free(ctx, by) }, true, nil
		case err == nil && m.By != "":
			return nil, false, nil
		}
		moment = markDoubt
	}
	all.trace("the keychain keeps no mark: processes that do not share our locks are not excluded")
	return func() { all.free(ctx, by) }, true, ctx.Err()
}

// free ends our mark. If that fails, it ends by its age.
func (all marks) free(ctx context.Context, by string) {
	ctx = context.WithoutCancel(ctx) // the keychain has limits of its own
	m, err := all.read(ctx)
	if err == nil && m.By == by {
		err = all.write(ctx, "")
	}
	if err != nil {
		all.trace("the mark of this process stays: %v", err)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
