package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// What becomes of a token that a server rejects. git tells it (erase), and the go command (the head of a 401). Of the tools
// whose requests say [protocol.Request.Repeats] it is concluded from their second question. The others do not tell it.

const (
	// rejectionGrace is how long after its receipt a rejected token is kept: the server refuses the account then, and a
	// refresh would not help.
	rejectionGrace = time.Minute
	// rejectionPause is how long git does not get a token for a host that has rejected it and, in a row, one before.
	// git-lfs before 3.8 would ask for it without end.
	rejectionPause = time.Minute
	// rejectionMemory is how far apart two rejections in a row can be.
	rejectionMemory = 5 * time.Minute
	// rejectionSlow is the age at which a token is replaced again by a third one, in case that the account was given
	// rights meanwhile.
	rejectionSlow = 10 * time.Minute
	// eraseLimit bounds the wait for a refresh, while git waits.
	eraseLimit = 5 * time.Second
	// repeatWithin is the time in which a second question of the same process means that the server has rejected the token.
	repeatWithin = time.Minute
	// renewOnce is how long a tool and a host, after one refresh because of a 401 or of a second question, cause no
	// other. Whether the server accepts the new token is not told.
	renewOnce = time.Hour
	// renewalsMost bounds these refreshes in that time, for all tools and hosts: a wildcard has hosts without end.
	renewalsMost = 6
	// rememberedMost bounds how many hosts, and how many processes, are remembered.
	rememberedMost = 50
)

// rejection is what is remembered of a host that has rejected tokens.
type rejection struct {
	Host string `json:"host"` // as config.TargetName has it
	// Token is the first 16 hexadecimal digits of the SHA-256 of the last one.
	Token string `json:"token"`
	// Count is how many rejections there were in a row, each at most rejectionMemory after the previous one, and Tokens
	// of how many tokens.
	Count  int       `json:"count"`
	Tokens int       `json:"tokens"`
	At     time.Time `json:"at"`
}

// rejections are those of several hosts, the last one at the end. A session and a machine's token have their own; those of
// tokens that the environment brings are in a record.
type rejections []rejection

// add remembers another one.
func (all rejections) add(host, token string, now time.Time) rejections {
	r := all.of(host, now)
	if sum := fingerprint(token); r.Token != sum {
		r.Token = sum
		r.Tokens++
	}
	r.Count++
	r.At = now.UTC()
	all = append(all.without(host), r)
	return all[max(0, len(all)-rememberedMost):]
}

// of returns what is remembered of a host; the rest is zero if nothing is.
func (all rejections) of(host string, now time.Time) rejection {
	for _, r := range all {
		if r.Host == host && !r.At.After(now) && now.Sub(r.At) <= rejectionMemory {
			return r
		}
	}
	return rejection{Host: host}
}

// without forgets a host: it has accepted a token.
func (all rejections) without(host string) rejections {
	return slices.DeleteFunc(slices.Clone(all), func(r rejection) bool { return r.Host == host })
}

// pause is the end of the time in which git does not get this token for the host, zero if there is none.
func (r rejection) pause(token string, now time.Time) time.Time {
	if until := r.At.Add(rejectionPause); r.Count >= 2 && now.Before(until) && r.Token == fingerprint(token) {
		return until
	}
	return time.Time{}
}

// hostName is the name under which a host is remembered.
func hostName(req protocol.Request) string { return config.TargetName(req.Scheme, req.Host) }

// fingerprint tells tokens apart, and does not tell what they are.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:8])
}

// injectedRejections is the record for tokens that the environment brings.
type injectedRejections struct {
	At    time.Time  `json:"at"`
	Hosts rejections `json:"hosts"`
}

func (sl slot) readInjectedRejections(ctx context.Context) rejections {
	return readNote[injectedRejections](ctx, sl.b, sl.name("rejected")).Hosts
}

// writeInjectedRejections traces an error: there is no better place for it.
func (sl slot) writeInjectedRejections(ctx context.Context, all rejections) {
	if err := writeNote(ctx, sl.b, sl.name("rejected"), injectedRejections{sl.b.Now().UTC(), all}); err != nil {
		sl.trace("what a server rejects cannot be remembered: %v", err)
	}
}

// Cause is why a server rejects a fresh token, as far as git's request shows it.
type Cause int

const (
	// ByAccount: the server has seen the token, and refuses the account. After a redirect it can also be another
	// server, to which git sends no token; its request does not show that.
	ByAccount Cause = iota
	// ByOldGit: the same; or git has sent no token, because the server names only schemes in which this git cannot send
	// it, or none (RFC 9110 §15.5.2). git before 2.41 does not tell.
	ByOldGit
	// ByPreference: git has sent no token, because the server offers NTLM or Digest, which curl prefers to Basic.
	ByPreference
	// ByHeader: git has sent the Authorization of http.extraHeader instead of the token.
	ByHeader
)

// causeOf returns the cause that a request shows.
func causeOf(req protocol.Request) Cause {
	switch {
	case req.OtherHeader:
		return ByHeader
	case req.Authtype, req.Sent != protocol.AuthAuto: // a header of git's own is always sent
		return ByAccount
	case req.Prefers():
		return ByPreference
	case len(req.Challenges) == 0:
		return ByOldGit
	}
	return ByAccount
}

// ChallengeError means that git can send no token in a form for which the server asks.
type ChallengeError = protocol.ChallengeError

// RejectedError means that a server has rejected a token that another one would not replace: it is fresh.
type RejectedError struct {
	Host string
	// Whose names the token, such as "the token of ada@acme.dev".
	Whose string
	// Until is the end of the pause in which git gets nothing for the host; zero if there is none.
	Until time.Time
	Cause Cause
	// Injected reports that the environment brings the token, so that its age is not known.
	Injected bool
}

func (e *RejectedError) Error() string {
	switch {
	case !e.Until.IsZero():
		return fmt.Sprintf("%s has refused %s more than once, and git gets no token for it before %s", e.Host, e.Whose, e.Until.Local().Format(time.TimeOnly))
	case e.Cause == ByPreference || e.Cause == ByHeader:
		return fmt.Sprintf("git has not sent %s to %s", e.Whose, e.Host)
	}
	if e.Injected {
		return fmt.Sprintf("%s refused %s", e.Host, e.Whose)
	}
	return fmt.Sprintf("%s refused %s, which is fresh", e.Host, e.Whose)
}

// whose names a token for people.
func whose(p *config.Profile, s Session, source string) string {
	switch {
	case source != "":
		return fmt.Sprintf("the token of %s for profile %s", source, p.Name)
	case s.Given:
		return "the token that was given for profile " + p.Name
	}
	return "the token of " + cmp.Or(s.Account(), "profile "+p.Name)
}

// paused returns why git gets nothing for a host now, nil if it gets the token of the plan.
func (sl slot) paused(ctx context.Context, plan Plan, req protocol.Request) error {
	p, s, source := plan.Profile, plan.Session, ""
	all := s.RejectedBy
	if plan.Source != SourceKeychain && !plan.Minted() {
		source, all = plan.Source, sl.readInjectedRejections(ctx)
	}
	r := all.of(hostName(req), sl.b.Now())
	until := r.pause(s.Token(p), sl.b.Now())
	if until.IsZero() {
		return nil
	}
	return &RejectedError{Host: req.Shown(), Whose: whose(p, s, source), Until: until, Cause: causeOf(req)}
}

// item is where a token is kept, with what is remembered of it: a session, or a machine's token.
type item interface {
	read(ctx context.Context) (Session, error)
	write(ctx context.Context, s Session) error
	lockName() string
}

func (sl slot) lockName() string { return sl.name("session") }

func (b *Broker) item(p *config.Profile) item {
	if p.IsMachine {
		return b.machine(p)
	}
	return b.slot(p)
}

// accepted forgets that a host has rejected the profile's token. It waits for no lock: what it cannot write now is over
// in some minutes.
func (d *Decision) accepted(ctx context.Context, p *config.Profile) {
	sl, host := d.broker.slot(p), hostName(d.req)
	if _, source, _ := sl.b.injected(ctx, sl.p); source != "" {
		if all := sl.readInjectedRejections(ctx); len(all.without(host)) < len(all) {
			sl.writeInjectedRejections(ctx, all.without(host))
		}
		return
	}
	it := sl.b.item(sl.p)
	if s, err := it.read(ctx); err != nil || len(s.RejectedBy.without(host)) == len(s.RejectedBy) && s.Rejected == 0 {
		return
	}
	release, free, err := sl.b.Locks.TryLock(it.lockName())
	if err != nil || !free {
		return
	}
	defer release()
	if sl.b.SharedStore && !sl.p.IsMachine {
		unmark, ok, err := marks{sl}.claim(ctx, false)
		if err != nil || !ok {
			return
		}
		defer unmark()
	}
	s, err := it.read(ctx)
	if err == nil {
		s.RejectedBy, s.Rejected = s.RejectedBy.without(host), 0
		err = it.write(ctx, s)
	}
	if err != nil {
		sl.trace("that a server accepts the token cannot be kept: %v", err)
	}
}

// erase drops a token that a server has rejected, so that the next get refreshes. It is not a logout. If a refresh
// would not help, the reply has a message for the person.
func (d *Decision) erase(ctx context.Context) protocol.Reply {
	b, req := d.broker, d.req
	p := b.choose(ctx, req)
	if p == nil {
		return d.notOurs(ctx)
	}
	if fromDocker(req) {
		return d.dockerLogout(ctx, p)
	}
	reply := protocol.Reply{Result: protocol.Done}
	if req.HasSecret && req.Secret == "" { // as of an address with an empty password, which is no token of ours
		return reply
	}
	s, source, err := b.injected(ctx, p)
	switch {
	case err != nil, source != "" && !equal(req.Secret, s.Token(p)):
		return reply
	case source != "" && notSent(req):
		reply.Err = &RejectedError{Host: req.Shown(), Whose: whose(p, s, source), Cause: causeOf(req)}
		return reply
	case source != "":
		sl, host := b.slot(p), hostName(req)
		all := sl.readInjectedRejections(ctx).add(host, req.Secret, b.Now())
		sl.writeInjectedRejections(ctx, all)
		r := all.of(host, b.Now())
		reply.Err = &RejectedError{Host: req.Shown(), Whose: whose(p, s, source), Until: r.pause(req.Secret, b.Now()), Cause: causeOf(req), Injected: true}
		return reply
	}
	if reply, err = d.reject(ctx, p); err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	return reply
}

// notSent reports whether git has sent something else than the token, so that no server has rejected it.
func notSent(req protocol.Request) bool {
	cause := causeOf(req)
	return cause == ByPreference || cause == ByHeader
}

// dockerLogout answers docker's erase, which is a "docker logout" and no server's refusal. docker sends several
// spellings of the host, one after the other: only the first is answered with words.
func (d *Decision) dockerLogout(ctx context.Context, p *config.Profile) protocol.Reply {
	sl, req := d.broker.slot(p), d.req
	reply := protocol.Reply{Result: protocol.Done}
	if _, source, err := sl.b.injected(ctx, sl.p); source != "" || err != nil {
		return reply
	}
	s, err := sl.read(ctx)
	if err != nil || !s.alive() {
		return reply
	}
	r := sl.readAskers(ctx)
	if before := r.last(sl.asker(req)); before.PID == 0 || sl.b.Now().Sub(before.At) > repeatWithin {
		reply.Hint = fmt.Sprintf("still signed in to profile %s as %s; to sign out: clerk-credential-helper logout %s", sl.p.Name, s.Account(), sl.p.Name)
		sl.noteAsker(ctx, r, before)
	}
	return reply
}

// reject judges a token that a server has rejected, if it is the one in force. An erase without a secret, as a person
// types it, stands for any. It waits for a refresh for some seconds only: after that there is another token.
func (d *Decision) reject(ctx context.Context, p *config.Profile) (reply protocol.Reply, err error) {
	sl, req := d.broker.slot(p), d.req
	reply.Result = protocol.Done
	it := sl.b.item(sl.p)
	other := func(s Session) bool {
		token := s.Token(sl.p)
		return token == "" || req.Secret != "" && !equal(req.Secret, token)
	}
	limited, cancel := context.WithTimeout(ctx, eraseLimit)
	defer cancel()
	lock := func() (func(), error) { return sl.lock(limited, other) }
	if sl.p.IsMachine {
		lock = func() (func(), error) { return sl.b.machine(sl.p).lock(limited) }
	}
	release, err := lock()
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		sl.trace("the rejected token is being replaced")
		return reply, nil
	}
	if err != nil {
		return reply, err
	}
	defer release()
	s, err := it.read(ctx)
	if errors.Is(err, errNoSession) || errors.Is(err, platform.ErrNotFound) || errors.Is(err, ErrDamaged) {
		return reply, nil
	}
	if err != nil {
		return reply, err
	}
	if other(s) {
		sl.trace("the rejected token is not the one in force")
		return reply, nil
	}
	reply, changed := sl.judge(&s, req)
	if changed {
		err = it.write(ctx, s)
	}
	return reply, err
}

// judge decides what becomes of the rejected token of a session, and whether that changes it.
func (sl slot) judge(s *Session, req protocol.Request) (reply protocol.Reply, changed bool) {
	reply.Result = protocol.Done
	now, host, token, which := sl.b.Now(), hostName(req), s.Token(sl.p), whose(sl.p, *s, "")
	age := now.Sub(s.ReceivedAt)
	rejected := &RejectedError{Host: req.Shown(), Whose: which, Cause: causeOf(req)}
	if req.Secret == "" { // a person's "git credential reject": no server has refused it
		switch {
		case s.RefreshToken == "" && !sl.p.IsMachine:
			reply.Hint = "the token stays, since it cannot be replaced; clerk-credential-helper logout " + sl.p.Name + " removes it"
		case age < rejectionGrace || sl.p.IsMachine:
			reply.Hint = "the token stays; clerk-credential-helper token --fresh replaces it"
		default:
			s.drop()
			return reply, true
		}
		return reply, false
	}
	if notSent(req) {
		reply.Err = rejected
		return reply, false
	}
	before := s.RejectedBy.of(host, now)
	s.RejectedBy = s.RejectedBy.add(host, token, now)
	switch {
	case req.Sent == protocol.AuthBasic && req.State && len(req.Challenges) == 0 && before.Count == 0:
		// git-lfs, once a server has answered it with a 401, asks for a credential before it knows which one the server
		// asks for. If that is Bearer, nothing is wrong with the token.
		sl.trace("the rejected token stays: the server has not asked for Basic")
		return reply, true
	case age < rejectionGrace, before.Tokens >= 2 && age < rejectionSlow:
		sl.trace("the rejected token stays: another one would be rejected as well")
		after := s.RejectedBy.of(host, now)
		rejected.Until = after.pause(token, now)
		reply.Err = rejected
		return reply, true
	case s.Given:
		reply.Err = fmt.Errorf("%s refused %s, and it is dropped", req.Shown(), which)
		reply.Hint = "run: clerk-credential-helper login --with-token " + sl.p.Name + ", with another one"
	case s.RefreshToken == "" && !sl.p.IsMachine:
		reply.Err = fmt.Errorf("%s refused %s, and only a sign-in brings another one", req.Shown(), which)
		reply.Hint = "run: clerk-credential-helper login " + sl.p.Name
	default:
		reply.Hint = fmt.Sprintf("%s refused %s; the next try gets a new one", req.Shown(), which)
	}
	if sl.p.IsMachine {
		s.Rejected++
	}
	s.drop()
	sl.trace("the rejected token is dropped")
	return reply, true
}

// drop takes the token out of the session, which stays.
func (s *Session) drop() { s.AccessToken, s.IDToken, s.ExpiresAt = "", "", time.Time{} }

// asker is a process that has got a token for a host, on a wire whose tool asks again only if the server has rejected
// it; or one that docker runs for a logout.
type asker struct {
	Tool string    `json:"tool"`
	PID  int       `json:"pid"`
	Host string    `json:"host,omitempty"`
	At   time.Time `json:"at"`
}

func (a asker) same(b asker) bool { return a.Tool == b.Tool && a.PID == b.PID && a.Host == b.Host }

// askers is the record that holds them, the last one at the end.
type askers struct {
	At  time.Time `json:"at"`
	All []asker   `json:"all"`
}

func (sl slot) asker(req protocol.Request) asker {
	return asker{Tool: req.Tool, PID: sl.b.Caller.PID, Host: hostName(req)}
}

func (sl slot) readAskers(ctx context.Context) askers {
	r, now := readNote[askers](ctx, sl.b, sl.name("askers")), sl.b.Now()
	r.All = slices.DeleteFunc(r.All, func(a asker) bool { return a.At.After(now) || now.Sub(a.At) > repeatWithin })
	return r
}

// last returns when that process asked last, and when it got a new token; zero if it did not.
func (r askers) last(a asker) asker {
	for _, before := range r.All {
		if before.same(a) {
			return before
		}
	}
	return a
}

// renewals are when tools got a new token for one that a host has rejected, by tool and host.
type renewals struct {
	At  time.Time            `json:"at"`
	All map[string]time.Time `json:"all"`
}

func renewal(req protocol.Request) string { return req.Tool + " " + hostName(req) }

func (sl slot) readRenewals(ctx context.Context) map[string]time.Time {
	r, now := readNote[renewals](ctx, sl.b, sl.name("renewals")), sl.b.Now()
	maps.DeleteFunc(r.All, func(_ string, at time.Time) bool { return at.After(now) || now.Sub(at) > renewOnce })
	return r.All
}

// mayRenew reports whether the tool may get another token for one that the host has rejected.
func (sl slot) mayRenew(ctx context.Context, req protocol.Request) bool {
	all := sl.readRenewals(ctx)
	return all[renewal(req)].IsZero() && len(all) < renewalsMost
}

// noteRenewal remembers that the tool has got another token. A refresh is seldom, and all who waited for it note the same.
func (sl slot) noteRenewal(ctx context.Context, req protocol.Request) {
	now := sl.b.Now().UTC()
	all := sl.readRenewals(ctx)
	if all == nil {
		all = map[string]time.Time{}
	}
	all[renewal(req)] = now
	if err := writeNote(context.WithoutCancel(ctx), sl.b, sl.name("renewals"), renewals{now, all}); err != nil {
		sl.trace("that a token was replaced cannot be remembered: %v", err)
	}
}

// noteAsker remembers that the process asks now. Two processes may do so at once, and one be lost: then its token is
// replaced one question later.
func (sl slot) noteAsker(ctx context.Context, r askers, a asker) {
	a.At = sl.b.Now().UTC()
	all := append(slices.DeleteFunc(r.All, a.same), a)
	last := askers{a.At, all[max(0, len(all)-rememberedMost):]}
	if err := writeNote(context.WithoutCancel(ctx), sl.b, sl.name("askers"), last); err != nil {
		sl.trace("who asks cannot be remembered: %v", err)
	}
}

// rejected reports whether the server has rejected the token of the plan, and it may be replaced. certain is false if
// that is only concluded from the tool's second question.
func (sl slot) rejected(ctx context.Context, plan Plan, req protocol.Request) (rejected, certain bool) {
	switch a := sl.asker(req); {
	case req.Unauthorized:
		// The go command had the token before it asked, but for a host that a wildcard names.
		exact := func(h config.Host) bool { return h.Exact() && h.Match(req.Scheme, req.Host) }
		rejected, certain = req.InvalidToken() || slices.ContainsFunc(plan.Profile.Hosts, exact), true
	case req.Repeats && a.PID != 0:
		last := plan.askers.last(a)
		rejected = !last.At.IsZero() && sl.b.Now().Sub(last.At) < repeatWithin
	}
	return rejected && sl.mayRenew(ctx, req), certain
}
