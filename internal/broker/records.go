package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

const (
	// The cool-down after a refusal begins with coolDownFirst, doubles each time, and ends at coolDownMost.
	coolDownFirst = time.Minute
	coolDownMost  = time.Hour
	// refusalsKept is how long refusals are counted together, so that a machine left alone for a night opens few tabs.
	refusalsKept = 24 * time.Hour
)

// code is how a sign-in or a refresh ended, in the record that other processes read.
type code string

const (
	asking     code = "asking" // the person is being asked: it has not ended
	ok         code = "ok"
	denied     code = "denied"
	timeout    code = "timeout"
	cancelled  code = "cancelled"
	noBrowser  code = "no-browser"
	network    code = "network"
	refused    code = "refused" // by the issuer, with Status
	grantEnded code = "grant-ended"
	keychain   code = "keychain"
	otherUser  code = "other-account"
	unfit      code = "unfit" // the answer could not be used
	noIDToken  code = "no-id-token"
)

// record is how a sign-in or a refresh ended, for the processes that wait for it and for those that come later.
type record struct {
	Code   code      `json:"code"`
	Status int       `json:"status,omitempty"`
	By     string    `json:"by,omitempty"` // the tool for which the person is being asked
	At     time.Time `json:"at"`
	// Until is the end of the cool-down, zero for none. Refusals counts refusals in a row.
	Until    time.Time `json:"until,omitzero"`
	Refusals int       `json:"refusals,omitempty"`
	// Retry is when the issuer wants to be asked for a refresh again, zero if it named no time.
	Retry time.Time `json:"retry,omitzero"`
	// CallerPID is the process for which the person was asked, see Caller.
	CallerPID int `json:"command,omitempty"`
}

// codeOf finds the code of an error of a sign-in or a refresh.
func codeOf(err error) (code, int) {
	var response *clerk.ResponseError
	var unreachable *url.Error // every request's; system call errors would pass for a net.Error
	var listen *net.OpError
	switch {
	case err == nil:
		return ok, 0
	case errors.Is(err, clerk.ErrDenied):
		return denied, 0
	case errors.Is(err, clerk.ErrTimeout):
		return timeout, 0
	case errors.Is(err, ErrAbandoned):
		return asking, 0
	case errors.Is(err, context.Canceled):
		return cancelled, 0
	case errors.Is(err, platform.ErrNoBrowser), errors.Is(err, clerk.ErrOtherFlow):
		return noBrowser, 0
	case errors.As(err, &listen) && listen.Op == "listen": // a sandbox forbids the page's way back: none was opened
		return noBrowser, 0
	case errors.Is(err, ErrOtherAccount):
		return otherUser, 0
	case errors.Is(err, clerk.ErrGrantEnded):
		return grantEnded, 0
	case errors.Is(err, clerk.ErrNoIDToken):
		return noIDToken, 0
	case errors.Is(err, platform.ErrLocked), errors.Is(err, platform.ErrUnavailable), errors.Is(err, errKeychain):
		return keychain, 0
	case errors.As(err, &response):
		return refused, response.Status
	case errors.As(err, &unreachable):
		return network, 0
	}
	return unfit, 0
}

// errEarlier is why a person is not asked while an older refusal counts.
var errEarlier = errors.New("an earlier sign-in came to nothing")

// ErrCancelled is Ctrl-C, for all processes that shared the sign-in.
var ErrCancelled = errors.New("it was cancelled")

// ErrUnreachable is an issuer that gave no answer, or none that could be read to its end.
var ErrUnreachable = errors.New("the issuer cannot be reached")

// errKeychain marks what a keychain could not do, where platform has no sentinel for it.
var errKeychain = errors.New("the keychain failed")

// err is the error that all processes return that share this end; nil for a success.
func (r record) err() error {
	switch r.Code {
	case ok, asking:
		return nil
	case denied:
		return clerk.ErrDenied
	case timeout:
		return clerk.ErrTimeout
	case cancelled:
		return ErrCancelled
	case noBrowser:
		return platform.ErrNoBrowser
	case network:
		return ErrUnreachable
	case refused:
		return fmt.Errorf("the issuer answered with status %d", r.Status)
	case grantEnded:
		return clerk.ErrGrantEnded
	case noIDToken:
		return clerk.ErrNoIDToken
	case keychain:
		return errKeychain
	case otherUser:
		return ErrOtherAccount
	}
	return errors.New("the issuer's answer could not be used")
}

// readRecord reads how the last sign-in ("signin") or refresh ("refresh") of the profile ended. It is empty if that is
// missing, unreadable, from the future, or too old.
func (sl slot) readRecord(ctx context.Context, kind string) record {
	text, err := sl.b.Records.Get(ctx, sl.name(kind))
	if err != nil {
		return record{}
	}
	r, _ := parseRecord(text, sl.b.Now())
	return r
}

// parseRecord reads a record; ok is false for one that can be ignored.
func parseRecord(text string, now time.Time) (r record, ok bool) {
	if json.Unmarshal([]byte(text), &r) != nil || r.At.After(now) || now.Sub(r.At) > refusalsKept {
		return record{}, false
	}
	if most := r.At.Add(coolDownMost); r.Until.After(most) {
		r.Until = most
	}
	if most := r.At.Add(coolDownMost); r.Retry.After(most) {
		r.Retry = most
	}
	return r, true
}

// RecordExpired reports whether a record can be ignored: unreadable, from the future, or too old.
func RecordExpired(text string, now time.Time) bool {
	_, ok := parseRecord(text, now)
	return !ok
}

// writeRecord stores a record. A failure to store one is traced; callers at the end of a sign-in cannot act on it.
func (sl slot) writeRecord(ctx context.Context, kind string, r record) error {
	r.At = sl.b.Now().UTC()
	text, err := json.Marshal(r)
	if err == nil {
		err = sl.b.Records.Set(ctx, sl.name(kind), string(text))
	}
	if err != nil {
		err = fmt.Errorf("no outcome can be left for those who wait: %w", err)
		sl.trace("%v", err)
	}
	return err
}

// CoolDown is the time before which the person is not asked to sign in to the profile on demand, and how the last sign-in
// ended. It is the zero time if there is none.
func (b *Broker) CoolDown(ctx context.Context, p *config.Profile) (until time.Time, why error) {
	return b.slot(p).readRecord(ctx, "signin").coolDown(b.Now())
}

// coolDown is the end of the cool-down after a sign-in, and why there is one; the zero time if there is none.
func (r record) coolDown(now time.Time) (until time.Time, why error) {
	if !r.Until.After(now) {
		return time.Time{}, nil
	}
	// A cool-down outlasts a page that was opened in it and was given up.
	if err := r.err(); err != nil {
		return r.Until, err
	}
	return r.Until, errEarlier
}

// mayAskAgain reports whether the person may be asked in spite of a cool-down: at a terminal, by another process than the
// one that was refused.
func (r record) mayAskAgain(c Caller, how Permission) bool {
	return (c.PID == 0 || c.PID != r.CallerPID) && how.AtTerminal
}
