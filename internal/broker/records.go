package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
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
	// aheadPause follows a refresh ahead of need that failed.
	aheadPause = 5 * time.Minute
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
func (b *Broker) readRecord(ctx context.Context, kind string, p *config.Profile) record {
	text, err := b.Records.Get(ctx, kind+"-"+identity(p))
	if err != nil {
		return record{}
	}
	r, _ := parseRecord(text, b.Now())
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

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// writeRecord stores a record. A failure to store one is traced; callers at the end of a sign-in cannot act on it.
func (b *Broker) writeRecord(ctx context.Context, kind string, p *config.Profile, r record) error {
	r.At = b.Now().UTC()
	text, err := json.Marshal(r)
	if err == nil {
		err = b.Records.Set(ctx, kind+"-"+identity(p), string(text))
	}
	if err != nil {
		err = fmt.Errorf("no outcome can be left for those who wait: %w", err)
		b.trace("profile %s: %v", p.Name, err)
	}
	return err
}

// recordSignIn records the end of a sign-in. After a refusal, a timeout or a failure of the issuer there is a cool-down,
// because each further sign-in would open a page. Ctrl-C, no network and a failing keychain leave the previous cool-down
// as it was; only a success ends it.
func (b *Broker) recordSignIn(ctx context.Context, p *config.Profile, before record, err error) {
	r := record{Refusals: before.Refusals, Until: before.Until, CallerPID: b.Caller.PID}
	r.Code, r.Status = codeOf(err)
	var response *clerk.ResponseError
	unopened := errors.As(err, &response) && response.Endpoint == "discovery"
	switch {
	case unopened: // no page was opened
	case r.Code == ok:
		r.Refusals, r.Until = 0, time.Time{}
		b.Records.Delete(context.WithoutCancel(ctx), "refresh-"+identity(p)) // it was about the previous session
	case slices.Contains([]code{denied, timeout, refused, unfit, otherUser}, r.Code):
		pause := coolDownFirst << max(0, min(before.Refusals, 6))
		r.Refusals++
		r.Until = b.Now().UTC().Add(min(pause, coolDownMost))
	}
	b.writeRecord(context.WithoutCancel(ctx), "signin", p, r)
}

// CoolDown is the time before which the person is not asked to sign in to the profile on demand, and how the last sign-in
// ended. It is the zero time if there is none.
func (b *Broker) CoolDown(ctx context.Context, p *config.Profile) (until time.Time, why error) {
	return b.coolDown(b.readRecord(ctx, "signin", p))
}

func (b *Broker) coolDown(r record) (until time.Time, why error) {
	if !r.Until.After(b.Now()) {
		return time.Time{}, nil
	}
	// A cool-down outlasts a page that was opened in it and was given up.
	if err := r.err(); err != nil {
		return r.Until, err
	}
	return r.Until, errEarlier
}
