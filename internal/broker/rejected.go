package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"
)

// What becomes of a token that a server rejects. git tells it (erase), and the go command (the head of a 401). Of the tools
// whose requests say [protocol.Request.Repeats] it is concluded from their second question. The others do not tell it.

const (
	// rejectionGrace is how long after its receipt a rejected token is kept: the server refuses the account then, and a refresh
	// would not help.
	rejectionGrace = time.Minute
	// rejectionPause is how long git does not get a token for a host that has rejected it and, in a row, one before.
	// git-lfs before 3.8 would ask for it without end.
	rejectionPause = time.Minute
	// rejectionMemory is how far apart two rejections in a row can be.
	rejectionMemory = 5 * time.Minute
	// repeatWithin is the time in which a second question of the same process means that the server has rejected the token.
	repeatWithin = time.Minute
	// renewOnce is how long a tool and a host, after one refresh because of a 401 or of a second question, cause no other. Whether the
	// server accepts the new token is not told.
	renewOnce = time.Hour
	// rememberedMost bounds how many hosts, and how many processes, are remembered.
	rememberedMost = 50
)

// rejection is what is remembered of a host that has rejected tokens.
type rejection struct {
	Host string `json:"host"`
	// Token is the first 16 hexadecimal digits of the SHA-256 of the last one.
	Token string `json:"token"`
	// Count is how many rejections there were in a row, each at most rejectionMemory after the previous one.
	Count int       `json:"count"`
	At    time.Time `json:"at"`
}

// rejections are those of several hosts, the last one at the end. A session has its own; those of tokens that the environment
// brings are in a record.
type rejections []rejection

// add remembers another one.
func (all rejections) add(host, token string, now time.Time) rejections {
	r := rejection{Host: hostKey(host), Token: fingerprint(token), Count: 1 + all.count(host, now), At: now.UTC()}
	all = append(all.without(host), r)
	return all[max(0, len(all)-rememberedMost):]
}

// count is how many tokens the host has lately rejected in a row.
func (all rejections) count(host string, now time.Time) int {
	for _, r := range all {
		if r.Host == hostKey(host) && now.Sub(r.At) <= rejectionMemory {
			return r.Count
		}
	}
	return 0
}

// without forgets a host: it has accepted a token.
func (all rejections) without(host string) rejections {
	return slices.DeleteFunc(slices.Clone(all), func(r rejection) bool { return r.Host == hostKey(host) })
}

// pause is the end of the time in which git does not get this token for the host, zero if there is none.
func (all rejections) pause(host, token string, now time.Time) time.Time {
	for _, r := range all {
		if until := r.At.Add(rejectionPause); r.Host == hostKey(host) && r.Count >= 2 && now.Before(until) && !r.At.After(now) && r.Token == fingerprint(token) {
			return until
		}
	}
	return time.Time{}
}

// hostKey is the name under which a host is remembered.
func hostKey(host string) string { return strings.ToLower(host) }

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
	var r injectedRejections
	if text, err := sl.b.Records.Get(ctx, sl.name("rejected")); err != nil || json.Unmarshal([]byte(text), &r) != nil {
		return nil
	}
	return r.Hosts
}

// writeInjectedRejections traces an error: there is no better place for it.
func (sl slot) writeInjectedRejections(ctx context.Context, all rejections) {
	text, err := json.Marshal(injectedRejections{sl.b.Now().UTC(), all})
	if err == nil {
		err = sl.b.Records.Set(ctx, sl.name("rejected"), string(text))
	}
	if err != nil {
		sl.trace("what a server rejects cannot be remembered: %v", err)
	}
}

// Cause is why a server rejects a fresh token, as far as git's request shows it.
type Cause int

const (
	// ByAccount: the server has seen the token, and refuses the account. After a redirect it can also be another server, to which git
	// sends no token; its request does not show that.
	ByAccount Cause = iota
	// ByOldGit: the same; or git has sent no token, because the server names only schemes in which this git cannot send it, or none
	// (RFC 9110 §15.5.2). git before 2.41 does not tell.
	ByOldGit
	// ByPreference: git has sent no token, because the server offers NTLM or Digest, which curl prefers to Basic.
	ByPreference
	// ByHeader: git has sent the Authorization of http.extraHeader instead of the token.
	ByHeader
)

// causeOf returns the cause that a request shows.
func causeOf(req protocol.Request) Cause {
	switch {
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
	// Token is whose token it is, such as "the token of ada@acme.dev".
	Token string
	// Until is the end of the pause in which git gets nothing for the host; zero if there is none.
	Until time.Time
	Cause Cause
	// Injected reports that the environment brings the token, so that its age is not known.
	Injected bool
}

func (e *RejectedError) Error() string {
	switch {
	case !e.Until.IsZero():
		return fmt.Sprintf("%s has refused %s twice, and git gets none for it before %s", e.Host, e.Token, e.Until.Local().Format(time.TimeOnly))
	case e.Cause == ByPreference || e.Cause == ByHeader:
		return fmt.Sprintf("git has not sent %s to %s", e.Token, e.Host)
	}
	if e.Injected {
		return fmt.Sprintf("%s refused %s", e.Host, e.Token)
	}
	return fmt.Sprintf("%s refused %s, which is fresh", e.Host, e.Token)
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
	if plan.Source != SourceKeychain && plan.Source != SourceMachine {
		source, all = plan.Source, sl.readInjectedRejections(ctx)
	}
	until := all.pause(req.Host, s.Token(p), sl.b.Now())
	if until.IsZero() {
		return nil
	}
	return &RejectedError{Host: req.Shown(), Token: whose(p, s, source), Until: until, Cause: causeOf(req)}
}

// accepted forgets that a host has rejected the profile's token. It waits for no lock: what it cannot write now is over in some
// minutes.
func (sl slot) accepted(ctx context.Context, host string) {
	if _, source, _ := sl.b.injected(ctx, sl.p); source != "" {
		if all := sl.readInjectedRejections(ctx); len(all.without(host)) < len(all) {
			sl.writeInjectedRejections(ctx, all.without(host))
		}
		return
	}
	if s, err := sl.read(ctx); err != nil || len(s.RejectedBy.without(host)) == len(s.RejectedBy) {
		return
	}
	release, free, err := sl.b.Locks.TryLock(sl.name("session"))
	if err != nil || !free {
		return
	}
	defer release()
	s, err := sl.read(ctx)
	if err == nil {
		s.RejectedBy = s.RejectedBy.without(host)
		err = sl.write(ctx, s)
	}
	if err != nil {
		sl.trace("that a server accepts the token cannot be kept: %v", err)
	}
}

// erase drops a token that a server has rejected, so that the next get refreshes. It is not a logout. If a refresh would not help, the
// reply has a message for the person.
func (d *Decision) erase(ctx context.Context) protocol.Reply {
	b, req := d.broker, d.req
	p := b.choose(ctx, req)
	if p == nil {
		return d.notOurs(ctx)
	}
	if fromDocker(req) {
		return b.slot(p).dockerLogout(ctx, req)
	}
	reply := protocol.Reply{Result: protocol.Done}
	s, source, err := b.injected(ctx, p)
	switch {
	case source != "" || err != nil:
		if err == nil && equal(req.Secret, s.Token(p)) { // without one it is a person's "git credential reject": no server has refused it
			sl := b.slot(p)
			all := sl.readInjectedRejections(ctx).add(req.Host, req.Secret, b.Now())
			sl.writeInjectedRejections(ctx, all)
			reply.Err = &RejectedError{Host: req.Shown(), Token: whose(p, s, source), Until: all.pause(req.Host, req.Secret, b.Now()), Cause: causeOf(req), Injected: true}
		}
		return reply
	case p.IsMachine:
		err = b.machine(p).reject(ctx, req.Secret)
	default:
		reply, err = b.slot(p).reject(ctx, req)
	}
	if err != nil {
		return protocol.Reply{Result: protocol.Failed, Err: err}
	}
	return reply
}

// dockerLogout answers docker's erase, which is a "docker logout" and no server's refusal. docker sends several spellings of the
// host, one after the other: only the first is answered with words.
func (sl slot) dockerLogout(ctx context.Context, req protocol.Request) protocol.Reply {
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

// reject drops the session's token if it is the one that a server has rejected; an empty secret stands for any. A fresh
// one is kept.
func (sl slot) reject(ctx context.Context, req protocol.Request) (reply protocol.Reply, err error) {
	reply.Result = protocol.Done
	release, err := sl.lock(ctx)
	if err != nil {
		return reply, err
	}
	defer release()
	s, err := sl.read(ctx)
	if errors.Is(err, errNoSession) {
		return reply, nil
	}
	if err != nil {
		return reply, err
	}
	token, now := s.Token(sl.p), sl.b.Now()
	if token == "" || req.Secret != "" && !equal(req.Secret, token) {
		sl.trace("the rejected token is not the one in force")
		return reply, nil
	}
	// git-lfs, once a server has answered it with a 401, asks for a credential before it knows which one the server asks for. If that is
	// Bearer, nothing is wrong with the token.
	before := s.RejectedBy.count(req.Host, now)
	unasked := req.Sent == protocol.AuthBasic && req.State && len(req.Challenges) == 0 && before == 0
	fresh := now.Sub(s.ReceivedAt) < rejectionGrace
	if req.Secret != "" {
		s.RejectedBy = s.RejectedBy.add(req.Host, token, now)
	}
	switch {
	case unasked:
		sl.trace("the rejected token stays: the server has not asked for Basic")
		return reply, sl.write(ctx, s)
	case fresh && req.Secret == "": // a person's "git credential reject": no server has refused it
		reply.Hint = "the token is fresh, and stays; clerk-credential-helper token --fresh replaces it"
		return reply, nil
	case fresh, before >= 2 && req.Secret != "": // two others were rejected before, perhaps by a server that takes a minute for each answer
		sl.trace("the rejected token stays: another one would be rejected as well")
		reply.Err = &RejectedError{Host: req.Shown(), Token: whose(sl.p, s, ""), Until: s.RejectedBy.pause(req.Host, token, now), Cause: causeOf(req)}
		return reply, sl.write(ctx, s)
	case s.Given:
		reply.Err = fmt.Errorf("%s refused %s, and it is dropped", req.Shown(), whose(sl.p, s, ""))
		reply.Hint = "run: clerk-credential-helper login --with-token " + sl.p.Name + ", with another one"
	case req.Secret != "":
		reply.Hint = fmt.Sprintf("%s refused %s; the next try gets a new one", req.Shown(), whose(sl.p, s, ""))
	}
	s.AccessToken, s.IDToken, s.ExpiresAt = "", "", time.Time{}
	sl.trace("the rejected token is dropped")
	return reply, sl.write(ctx, s)
}

// asker is a process that has got a token, on a wire whose tool asks again only if the server has rejected it.
type asker struct {
	Tool string    `json:"tool"`
	PID  int       `json:"pid"`
	Host string    `json:"host,omitempty"`
	At   time.Time `json:"at"`
	// Renewed is when it has got a new token for one that the server has rejected.
	Renewed time.Time `json:"renewed,omitzero"`
}

func (a asker) same(b asker) bool { return a.Tool == b.Tool && a.PID == b.PID && a.Host == b.Host }

// askers is the record that holds them, the last one at the end.
type askers struct {
	At  time.Time `json:"at"`
	All []asker   `json:"all"`
}

func (sl slot) asker(req protocol.Request) asker {
	return asker{Tool: req.Tool, PID: sl.b.Caller.PID, Host: hostKey(req.Host)}
}

func (sl slot) readAskers(ctx context.Context) askers {
	var r askers
	if text, err := sl.b.Records.Get(ctx, sl.name("askers")); err != nil || json.Unmarshal([]byte(text), &r) != nil {
		return askers{}
	}
	now := sl.b.Now()
	r.All = slices.DeleteFunc(r.All, func(a asker) bool { return a.At.After(now) || now.Sub(a.At) > renewOnce })
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

// renewed reports whether a process of the tool has lately got a new token for one that the host has rejected.
func (r askers) renewed(a asker, now time.Time) bool {
	return slices.ContainsFunc(r.All, func(b asker) bool {
		return a.Tool == b.Tool && a.Host == b.Host && now.Sub(b.Renewed) <= renewOnce
	})
}

// noteAsker remembers that the process asks now. Two processes may do so at once, and one be lost: then its token is replaced one
// question later.
func (sl slot) noteAsker(ctx context.Context, r askers, a asker) {
	a.At = sl.b.Now().UTC()
	all := append(slices.DeleteFunc(r.All, a.same), a)
	text, err := json.Marshal(askers{a.At, all[max(0, len(all)-rememberedMost):]})
	if err == nil {
		err = sl.b.Records.Set(context.WithoutCancel(ctx), sl.name("askers"), string(text))
	}
	if err != nil {
		sl.trace("who asks cannot be remembered: %v", err)
	}
}

// refused reports whether the server has rejected the token of the plan. certain is false if that is only concluded from the
// tool's second question.
func (sl slot) refused(plan Plan, req protocol.Request) (refused, certain bool) {
	a, now := sl.asker(req), sl.b.Now()
	if plan.askers.renewed(a, now) {
		return false, false
	}
	switch {
	case req.Unauthorized:
		// The go command had the token before it asked, but for a host that a wildcard names.
		exact := func(h config.Host) bool { return h.Exact() && h.Match(req.Scheme, req.Host) }
		return req.InvalidToken() || slices.ContainsFunc(plan.Profile.Hosts, exact), true
	case req.Repeats && a.PID != 0:
		last := plan.askers.last(a)
		return !last.At.IsZero() && now.Sub(last.At) < repeatWithin, false
	}
	return false, false
}

// noteAsker remembers for the next question of the tool that this one was answered, and whether by a new token.
func (d *Decision) noteAsker(ctx context.Context, renewed bool) {
	sl := d.broker.slot(d.Profile)
	a := d.plan.askers.last(sl.asker(d.req))
	if renewed {
		a.Renewed = d.broker.Now().UTC()
	}
	sl.noteAsker(ctx, d.plan.askers, a)
}
