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
	// refusalsKept is how long a record counts, and with it its refusals: a computer that is left alone for a night opens
	// few tabs.
	refusalsKept = 24 * time.Hour
)

// code says how a sign-in or a refresh ended, in the record that other processes read.
type code string

const (
	asking     code = "asking" // it has not ended: the person is being asked
	ok         code = "ok"
	denied     code = "denied"
	timeout    code = "timeout"
	cancelled  code = "cancelled"
	noBrowser  code = "no-browser"
	network    code = "network"
	proxy      code = "proxy"   // gave no connection, with Status
	refused    code = "refused" // by the issuer, with Error and Status
	grantEnded code = "grant-ended"
	endedThere code = "signed-out-there"
	keychain   code = "keychain"
	shut       code = "locked" // the keychain's prompt was dismissed, or not answered
	otherUser  code = "other-account"
	unfit      code = "unfit" // the answer could not be used
	noIDToken  code = "no-id-token"
)

// proxyAddress is the Error of a record where no proxy could be asked.
const proxyAddress = "address"

// record is how a sign-in or a refresh ended, for the processes that wait for it and for those that come later.
type record struct {
	Code   code      `json:"code"`
	Status int       `json:"status,omitempty"`
	Error  string    `json:"error,omitempty"` // RefusalError.Code, or proxyAddress
	By     string    `json:"by,omitempty"`    // the tool for which the person is being asked
	At     time.Time `json:"at"`
	// Until is the end of the cool-down, zero for none. Refusals counts refusals in a row.
	Until    time.Time `json:"until,omitzero"`
	Refusals int       `json:"refusals,omitempty"`
	// Retry is when the issuer wants to be asked again, zero if it named no time.
	Retry time.Time `json:"retry,omitzero"`
	// Fault is the condition of the disk or of the process that was the reason, 0 for none.
	Fault platform.Fault `json:"fault,omitempty"`
	// Claims say who the CI job is that got no token.
	Claims clerk.Claims `json:"claims,omitempty"`
	// CallerPID is the process for which the person was asked, see Caller.
	CallerPID int `json:"command,omitempty"`
}

// ended returns the record of a sign-in or a refresh that ended with err.
func ended(err error) record {
	r := record{Code: codeOf(err), Fault: platform.FaultOf(err)}
	if refusal := Refusal(err); r.Code == refused && refusal != nil {
		r.Status, r.Error = refusal.Status, refusal.Code
	}
	if noProxy, ok := errors.AsType[*clerk.ProxyError](err); ok && r.Code == proxy {
		if r.Status = noProxy.Status; errors.Is(err, clerk.ErrProxyAddress) {
			r.Error = proxyAddress
		}
	}
	return r
}

// pauseFor sets Retry if the issuer has named a pause in err, to at most coolDownMost from now.
func (r *record) pauseFor(err error, now time.Time) {
	if refused, ok := errors.AsType[*clerk.ResponseError](err); ok && refused.RetryAfter > 0 {
		r.Retry = now.UTC().Add(min(refused.RetryAfter, coolDownMost))
	}
}

// codeOf returns the code for the error of a sign-in or a refresh.
func codeOf(err error) code {
	var response *clerk.ResponseError
	var noProxy *clerk.ProxyError
	var unreachable *url.Error // of every request; errors of system calls also implement net.Error
	var listen *net.OpError
	switch {
	case err == nil:
		return ok
	case errors.Is(err, clerk.ErrDenied):
		return denied
	case errors.Is(err, clerk.ErrTimeout):
		return timeout
	case errors.Is(err, ErrAbandoned):
		return asking
	case errors.Is(err, context.Canceled):
		return cancelled
	case errors.Is(err, platform.ErrNoBrowser), errors.Is(err, clerk.ErrOtherFlow):
		return noBrowser
	case errors.As(err, &listen) && listen.Op == "listen": // as in a sandbox without sockets: no page was opened
		return noBrowser
	case errors.Is(err, ErrOtherAccount):
		return otherUser
	case errors.Is(err, clerk.ErrSignedOutThere):
		return endedThere
	case errors.Is(err, clerk.ErrGrantEnded):
		return grantEnded
	case errors.Is(err, clerk.ErrNoIDToken):
		return noIDToken
	case errors.Is(err, errShut):
		return shut
	case errors.Is(err, platform.ErrLocked), errors.Is(err, platform.ErrUnavailable), errors.Is(err, errKeychain):
		return keychain
	case errors.As(err, &response):
		return refused
	case errors.As(err, &noProxy):
		return proxy
	case errors.As(err, &unreachable):
		return network
	}
	return unfit
}

// errShut means that the keychain has asked the person for its password, and is still locked.
var errShut = fmt.Errorf("%w, and its prompt was dismissed or not answered", platform.ErrLocked)

// shutError is errShut in the keychain's own words.
type shutError struct{ err error }

func (e *shutError) Error() string { return e.err.Error() }

func (e *shutError) Unwrap() []error { return []error{e.err, errShut} }

// errEarlier is why the person is not asked in a cool-down if the last sign-in has no error of its own.
var errEarlier = errors.New("an earlier sign-in failed")

// ErrCancelled means that the person pressed Ctrl-C. All processes that waited for the sign-in return it.
var ErrCancelled = errors.New("it was cancelled")

// ErrUnreachable means that the issuer gave no answer, or one that could not be read to its end.
var ErrUnreachable = errors.New("the issuer cannot be reached")

// errKeychain marks an error of the keychain for which platform has no sentinel.
var errKeychain = errors.New("the keychain failed")

// err is the error that a process returns which shares this end; nil for a success.
func (r record) err() error {
	err := r.errOfCode()
	if err == nil || r.Fault == 0 {
		return err
	}
	return fmt.Errorf("%w: %w", err, r.Fault)
}

func (r record) errOfCode() error {
	switch r.Code {
	case ok, asking, "": // an empty record is none
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
	case proxy:
		if r.Error == proxyAddress {
			return &clerk.ProxyError{Err: clerk.ErrProxyAddress}
		}
		return &clerk.ProxyError{Status: r.Status}
	case refused:
		e := &RefusalError{Code: r.Error, Status: r.Status}
		if _, listed := reasons()[e.Code]; e.Code != "" && !listed {
			e.Code = otherCode
		}
		return e
	case grantEnded:
		return clerk.ErrGrantEnded
	case endedThere:
		return clerk.ErrSignedOutThere
	case noIDToken:
		return clerk.ErrNoIDToken
	case keychain:
		return errKeychain
	case shut:
		return errShut
	case otherUser:
		return ErrOtherAccount
	}
	return errors.New("the issuer's answer could not be used")
}

// readRecord reads how the last sign-in ("signin") or refresh ("refresh") of the profile ended.
func (sl slot) readRecord(ctx context.Context, kind string) record {
	return readRecord(ctx, sl.b, sl.name(kind))
}

// noIDToken reports whether the last refresh brought no ID token, though tools get the ID token: only a sign-in brings one.
func (sl slot) noIDToken(ctx context.Context) bool {
	return sl.p.Token == "id" && sl.readRecord(ctx, "refresh").Code == noIDToken
}

// parseRecord parses a record; ok is false for one that can be ignored.
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

func (sl slot) writeRecord(ctx context.Context, kind string, r record) error {
	return writeRecord(ctx, sl.b, sl.name(kind), r)
}

// readRecord reads the record of that name. It is empty if it is missing, unreadable, from the future, or too old.
func readRecord(ctx context.Context, b *Broker, name string) record {
	text, err := b.Records.Get(ctx, name)
	if err != nil {
		return record{}
	}
	r, _ := parseRecord(text, b.Now())
	return r
}

// writeRecord stores a record. An error is also traced, because callers at the end of what it is about ignore it.
func writeRecord(ctx context.Context, b *Broker, name string, r record) error {
	r.At = b.Now().UTC()
	err := writeNote(ctx, b, name, r)
	if err != nil {
		err = fmt.Errorf("no record can be written for the processes that wait: %w", err)
		b.trace("%s: %v", name, err)
	}
	return err
}

// readNote reads another record than [record]; it is zero if there is none that can be read.
func readNote[T any](ctx context.Context, b *Broker, name string) (v T) {
	if text, err := b.Records.Get(ctx, name); err == nil && json.Unmarshal([]byte(text), &v) != nil {
		return *new(T)
	}
	return v
}

func writeNote(ctx context.Context, b *Broker, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Records.Set(ctx, name, string(text))
}

// page is the record of the last sign-in for a tool of Caller.OnePage. Its name has no profile in it.
type page struct {
	At      time.Time `json:"at"`
	PID     int       `json:"pid"`
	Profile string    `json:"profile"`
}

const (
	// pageRecord is the name of that record.
	pageRecord = "page"
	// pageLasts is how long it counts: a program that goes on may ask for another profile.
	pageLasts = 10 * time.Minute
)

// pageOf returns the profile whose page was opened for the calling process, if one is enough for it; empty for none.
func (b *Broker) pageOf(ctx context.Context) string {
	if !b.Caller.OnePage || b.Caller.PID == 0 {
		return ""
	}
	last := readNote[page](ctx, b, pageRecord)
	if last.PID != b.Caller.PID || last.At.After(b.Now()) || b.Now().Sub(last.At) > pageLasts {
		return ""
	}
	return last.Profile
}

// notePage remembers that the page of the profile is opened for the calling process.
func (sl slot) notePage(ctx context.Context) error {
	if !sl.b.Caller.OnePage {
		return nil
	}
	return writeNote(ctx, sl.b, pageRecord, page{sl.b.Now().UTC(), sl.b.Caller.PID, sl.p.Name})
}

// CoolDown is the time before which no tool's call asks the person to sign in to the profile, or to unlock the keychain while it
// is locked, and why. If there is no cool-down, the time is zero and the error nil.
func (b *Broker) CoolDown(ctx context.Context, p *config.Profile) (until time.Time, why error) {
	sl := b.slot(p)
	if until, why = sl.readRecord(ctx, "signin").coolDown(b.Now()); why != nil {
		return until, why
	}
	if _, err := sl.read(ctx); errors.Is(err, platform.ErrLocked) && !errors.Is(err, platform.ErrConfirm) {
		return promptPause(ctx, b, Permission{})
	}
	return time.Time{}, nil
}

// coolDown is the end of the cool-down after a sign-in, and why there is one.
func (r record) coolDown(now time.Time) (until time.Time, why error) {
	if !r.Until.After(now) {
		return time.Time{}, nil
	}
	// A cool-down goes on after a page that was opened during it and abandoned.
	switch err := r.err(); {
	case err == nil:
		return r.Until, errEarlier
	case r.Retry.After(now):
		return r.Until, fmt.Errorf("%w; %s", err, notBefore(r.Retry))
	default:
		return r.Until, err
	}
}

// mayAskAgain reports whether the person may be asked in spite of a cool-down: at a terminal, by another process than the
// one that was refused.
func (r record) mayAskAgain(c Caller, how Permission) bool {
	return (c.PID == 0 || c.PID != r.CallerPID) && how.AtTerminal
}
