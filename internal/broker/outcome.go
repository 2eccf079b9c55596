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
	// refusalsKept is how long refusals are counted together: a machine left alone for a night opens few tabs.
	refusalsKept = 24 * time.Hour
	// aheadPause follows a refresh ahead of need that came to nothing.
	aheadPause = 5 * time.Minute
)

// code says how a sign-in or a refresh ended, in the file that other processes read. It holds no text to print.
type code string

const (
	asking     code = "asking" // a person is being asked: not an end
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

// outcome is what a process leaves for those that wait, and for those that come later.
type outcome struct {
	Code   code      `json:"code"`
	Status int       `json:"status,omitempty"`
	By     string    `json:"by,omitempty"` // the tool on whose behalf a person is being asked
	At     time.Time `json:"at"`
	// Until is the end of the cool-down, zero for none; Refusals is how many came in a row.
	Until    time.Time `json:"until,omitzero"`
	Refusals int       `json:"refusals,omitempty"`
	// Retry is when the issuer wants to be asked for a refresh again, zero if it named no time.
	Retry time.Time `json:"retry,omitzero"`
	// Command is the process on whose behalf the cool-down came, see Broker.Command.
	Command int `json:"command,omitempty"`
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

// errEarlier is why nobody is asked while an older refusal counts.
var errEarlier = errors.New("an earlier sign-in came to nothing")

// ErrCancelled is Ctrl-C, in the words of all who shared the sign-in.
var ErrCancelled = errors.New("it was cancelled")

// ErrUnreachable is an issuer that gave no answer, or none that could be read to its end.
var ErrUnreachable = errors.New("the issuer cannot be reached")

// errKeychain marks what a keychain could not do, where platform has no sentinel for it.
var errKeychain = errors.New("the keychain failed")

// err is the outcome in words, equal for all who share it; nil for a success.
func (o outcome) err() error {
	switch o.Code {
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
		return fmt.Errorf("the issuer answered with status %d", o.Status)
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

// recall reads how the last sign-in ("signin") or refresh ("refresh") of the profile ended. What is missing, not
// readable, of the future or too old is no outcome.
func (b *Broker) recall(ctx context.Context, kind string, p *config.Profile) outcome {
	text, err := b.Outcomes.Get(ctx, kind+"-"+identity(p))
	if err != nil {
		return outcome{}
	}
	o, _ := parseOutcome(text, b.Now())
	return o
}

// parseOutcome reads an outcome; ok is false for a void one.
func parseOutcome(text string, now time.Time) (o outcome, ok bool) {
	if json.Unmarshal([]byte(text), &o) != nil || o.At.After(now) || now.Sub(o.At) > refusalsKept {
		return outcome{}, false
	}
	if most := o.At.Add(coolDownMost); o.Until.After(most) {
		o.Until = most
	}
	if most := o.At.Add(coolDownMost); o.Retry.After(most) {
		o.Retry = most
	}
	return o, true
}

// Void says of the text of an outcome that nobody goes by it any more: it is not readable, of the future or too old.
func Void(text string, now time.Time) bool {
	_, ok := parseOutcome(text, now)
	return !ok
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// record leaves an outcome. At the end of a sign-in or a refresh there is nothing to be done about a failure, which is
// traced.
func (b *Broker) record(ctx context.Context, kind string, p *config.Profile, o outcome) error {
	o.At = b.Now().UTC()
	text, err := json.Marshal(o)
	if err == nil {
		err = b.Outcomes.Set(ctx, kind+"-"+identity(p), string(text))
	}
	if err != nil {
		err = fmt.Errorf("no outcome can be left for those who wait: %w", err)
		b.trace("profile %s: %v", p.Name, err)
	}
	return err
}

// settle records the end of a sign-in. A person who said no, or did not come, is left in peace for a while, and so is
// one whose sign-ins come to nothing: each would open a page. Ctrl-C, no network and a failing keychain leave what was
// before; only a success takes it away.
func (b *Broker) settle(ctx context.Context, p *config.Profile, before outcome, err error) {
	o := outcome{Refusals: before.Refusals, Until: before.Until, Command: b.Command}
	o.Code, o.Status = codeOf(err)
	var response *clerk.ResponseError
	unopened := errors.As(err, &response) && response.Endpoint == "discovery"
	switch {
	case unopened: // no page was opened
	case o.Code == ok:
		o.Refusals, o.Until = 0, time.Time{}
		b.Outcomes.Delete(context.WithoutCancel(ctx), "refresh-"+identity(p)) // it was about the session that is gone
	case slices.Contains([]code{denied, timeout, refused, unfit, otherUser}, o.Code):
		pause := coolDownFirst << max(0, min(before.Refusals, 6))
		o.Refusals++
		o.Until = b.Now().UTC().Add(min(pause, coolDownMost))
	}
	b.record(context.WithoutCancel(ctx), "signin", p, o)
}

// CoolDown is the time before which nobody is asked to sign in to the profile on demand, because of what happened when
// it was last tried. It is the zero time if there is none.
func (b *Broker) CoolDown(ctx context.Context, p *config.Profile) (until time.Time, why error) {
	o := b.recall(ctx, "signin", p)
	if !o.Until.After(b.Now()) {
		return time.Time{}, nil
	}
	return o.Until, o.words()
}

// words is err for a cool-down, which outlasts a page that was opened in it and came to nothing.
func (o outcome) words() error {
	if err := o.err(); err != nil {
		return err
	}
	return errEarlier
}
