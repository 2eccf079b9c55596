package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/protocol"
)

// git is a git that asks for a host, or a program that asks through it.
func (b *bench) git(verb protocol.Verb, secret string, more ...func(*protocol.Request)) protocol.Reply {
	req := protocol.Request{Verb: verb, Scheme: "https", Host: "git.acme.dev", Username: "clerk", Secret: secret, Tool: protocol.GitTool}
	if verb == protocol.Get {
		req.Username, req.Secret = "", ""
	}
	for _, change := range more {
		change(&req)
	}
	return b.Answer(b.t.Context(), req)
}

// TestRejectedEnds: a program that asks again as long as it gets a token, such as git-lfs before 3.8, comes to an end
// where the server refuses every token.
func TestRejectedEnds(t *testing.T) {
	basic := func(req *protocol.Request) { req.Sent = protocol.AuthBasic }
	lfs := func(req *protocol.Request) { req.Sent, req.State = protocol.AuthBasic, true }
	bearer := func(req *protocol.Request) { req.Sent, req.Challenges = protocol.AuthBearer, []string{"Bearer"} }
	for _, row := range []struct {
		reason    string
		begin     func(*bench)
		pace      time.Duration // between an answer and its erase
		erase     func(*protocol.Request)
		most      int // tokens
		refreshes int
	}{
		{reason: "a fresh token", begin: func(b *bench) { b.have(10 * time.Second) }, most: 2},
		{reason: "an old one, which may be revoked", begin: func(b *bench) { b.have(time.Hour) }, most: 2, refreshes: 1},
		{reason: "a program that waits for 31 s each time", begin: func(b *bench) { b.have(time.Hour) }, pace: 31 * time.Second, most: 2, refreshes: 1},
		{reason: "a program that waits for 59 s each time", begin: func(b *bench) { b.have(time.Hour) }, pace: 59 * time.Second, most: 2, refreshes: 1},
		{reason: "one that waits for 70 s each time, so that no token is fresh", begin: func(b *bench) { b.have(time.Hour) }, pace: 70 * time.Second, most: 3, refreshes: 2},
		{reason: "tokens of a minute", begin: func(b *bench) {
			b.have(10*time.Second, func(s *broker.Session) { s.ExpiresAt = s.ReceivedAt.Add(time.Minute) })
			b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
				t := b.tokens("refreshed")
				t.ExpiresAt = b.now.Add(time.Minute)
				return t, nil
			}
		}, pace: time.Second, most: 2},
		{reason: "Bearer", begin: func(b *bench) { b.have(time.Hour) }, erase: bearer, most: 2, refreshes: 1},
		{reason: "Basic, and no challenge", begin: func(b *bench) { b.have(10 * time.Second) }, erase: basic, most: 2},
		{reason: "Basic, an old token, and no challenge", begin: func(b *bench) { b.have(time.Hour) }, erase: basic, most: 2, refreshes: 1},
		{reason: "the same of git-lfs, which may have asked too early", begin: func(b *bench) { b.have(time.Hour) }, erase: lfs, most: 3, refreshes: 1},
		{reason: "a token of the environment", begin: func(b *bench) {
			b.Injected = func(context.Context, *config.Profile) (string, string, error) {
				return "oat_1", "CLERK_HELPER_TOKEN", nil
			}
		}, most: 2},
		{reason: "a token that was given", begin: func(b *bench) {
			b.have(10*time.Second, func(s *broker.Session) { s.Given, s.RefreshToken = true, "" })
		}, most: 2},
		{reason: "a machine's", begin: func(b *bench) {
			b.acme.IsMachine = true
			b.MachineKey = func(*config.Profile) (string, string, error) { return "ak_1", config.MachineKey, nil }
			b.issuer.mint = func() (clerk.Tokens, error) {
				b.issuer.called("mint")
				return clerk.Tokens{AccessToken: "minted", Kind: "opaque", ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}, nil
			}
		}, most: 2, refreshes: 1},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
			row.begin(b)
			given, reply := 0, protocol.Reply{}
			for ; given < 100; given++ {
				if reply = b.git(protocol.Get, ""); reply.Result != protocol.Found {
					break
				}
				b.now = b.now.Add(row.pace)
				change := row.erase
				if change == nil {
					change = func(*protocol.Request) {}
				}
				b.git(protocol.Erase, reply.Credential.Token, change)
			}
			if given > row.most || reply.Err == nil || len(b.issuer.calls) > row.refreshes {
				t.Errorf("%d tokens, requests %q, in the end %+v; want %d and %d", given, b.issuer.calls, reply, row.most, row.refreshes)
			}
			var rejected *broker.RejectedError
			if reply.Result != protocol.Refused || !errors.As(reply.Err, &rejected) || rejected.Until.Sub(b.now) > time.Minute {
				t.Errorf("got %+v", reply)
			}
		})
	}
}

// TestRejectedPause: what ends the pause, and whom it does not concern.
func TestRejectedPause(t *testing.T) {
	get := func(change func(*protocol.Request)) func(*bench) protocol.Reply {
		return func(b *bench) protocol.Reply { return b.git(protocol.Get, "", change) }
	}
	wait := func(d time.Duration) func(*bench) protocol.Reply {
		return func(b *bench) protocol.Reply { b.now = b.now.Add(d); return b.git(protocol.Get, "") }
	}
	for _, row := range []struct {
		reason string
		then   func(*bench) protocol.Reply
		want   protocol.Result
	}{
		{"the next get", wait(0), protocol.Refused},
		{"in other letters", get(func(r *protocol.Request) { r.Host = "GIT.acme.dev" }), protocol.Refused},
		{"with its port and a dot", get(func(r *protocol.Request) { r.Host = "git.acme.dev.:443" }), protocol.Refused},
		{"just before its end", wait(time.Minute - time.Second), protocol.Refused},
		{"a rejection of another host", func(b *bench) protocol.Reply {
			b.git(protocol.Store, "kept-access", func(r *protocol.Request) { r.Host = "a.pkg.acme.dev" })
			return b.git(protocol.Get, "")
		}, protocol.Refused},
		{"another token is stored", func(b *bench) protocol.Reply {
			b.git(protocol.Store, "another")
			return b.git(protocol.Get, "")
		}, protocol.Refused},

		{"after a minute", wait(time.Minute), protocol.Found},
		{"the clock was set back", wait(-time.Hour), protocol.Found},
		{"a success", func(b *bench) protocol.Reply {
			b.git(protocol.Store, "kept-access")
			return b.git(protocol.Get, "")
		}, protocol.Found},
		{"another host", get(func(r *protocol.Request) { r.Host = "a.pkg.acme.dev" }), protocol.Found},
		{"docker, which tells of no refusal", get(func(r *protocol.Request) { r.Tool = protocol.DockerTool }), protocol.Found},
		{"curl", get(func(r *protocol.Request) { r.Tool = "curl" }), protocol.Found},
		{"a new sign-in", func(b *bench) protocol.Reply {
			if _, err := b.Login(b.t.Context(), b.acme); err != nil {
				b.t.Error(err)
			}
			return b.git(protocol.Get, "")
		}, protocol.Found},
		{"token --fresh", func(b *bench) protocol.Reply {
			if _, err := b.Execute(b.t.Context(), b.PlanFresh(b.t.Context(), b.acme)); err != nil {
				b.t.Error(err)
			}
			return b.git(protocol.Get, "")
		}, protocol.Found},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.have(10 * time.Second)
			for range 2 {
				b.git(protocol.Erase, "kept-access")
			}
			if reply := row.then(b); reply.Result != row.want {
				t.Errorf("got %+v", reply)
			}
		})
	}

	// One rejection is no reason: the account may be refused one repository.
	b := newBench(t)
	b.have(10 * time.Second)
	b.git(protocol.Erase, "kept-access")
	if reply := b.git(protocol.Get, ""); reply.Result != protocol.Found {
		t.Errorf("after one: %+v", reply)
	}
	// Two that are far apart are none in a row.
	b.now = b.now.Add(10 * time.Minute)
	b.have(10 * time.Second)
	b.git(protocol.Erase, "kept-access")
	if reply := b.git(protocol.Get, ""); reply.Result != protocol.Found {
		t.Errorf("after two that are far apart: %+v", reply)
	}
	text, err := b.keychain.Get(t.Context(), broker.KeychainItem(b.acme))
	if err != nil || strings.Count(text, "kept-access") != 1 || !strings.Contains(text, `"rejected_by":[{"host":"git.acme.dev:443","token":"`) {
		t.Errorf("the session: %s, %v", text, err)
	}
}

// TestEraseNamesNothing: an empty password, as a repository can put into an address, is no token of ours.
func TestEraseNamesNothing(t *testing.T) {
	for _, change := range []func(*bench){
		func(b *bench) { b.have(time.Hour) },
		func(b *bench) {
			b.have(time.Hour, func(s *broker.Session) { s.Given, s.RefreshToken = true, "" })
		},
	} {
		b := newBench(t)
		change(b)
		for range 5 {
			if reply := b.git(protocol.Erase, "", func(r *protocol.Request) { r.HasSecret = true }); reply.Result != protocol.Done || reply.Err != nil || reply.Hint != "" {
				t.Errorf("got %+v", reply)
			}
		}
		if s := b.kept(); s.AccessToken != "kept-access" || s.RejectedBy != nil {
			t.Errorf("kept %+v", s)
		}
	}
	// Nor does a person's "git credential reject" without a token take away what only a sign-in brings.
	b := newBench(t)
	b.have(time.Hour, func(s *broker.Session) { s.Given, s.RefreshToken = true, "" })
	b.git(protocol.Erase, "")
	if s := b.kept(); s.AccessToken != "kept-access" {
		t.Errorf("kept %+v", s)
	}
}

// TestRejectedSlowly: an editor fetches every 3 min from a server that refuses the account. The token is replaced about
// every 10 min, in case that it got rights; with two rejections of one token first, too.
func TestRejectedSlowly(t *testing.T) {
	for _, twice := range []bool{false, true} {
		b := newBench(t)
		b.have(time.Hour)
		if twice {
			b.have(time.Second)
			b.git(protocol.Erase, "kept-access")
			b.git(protocol.Erase, "kept-access")
		}
		number := 0
		b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
			number++
			return b.tokens(fmt.Sprint("refreshed", number)), nil
		}
		for range 20 { // an hour
			b.now = b.now.Add(3 * time.Minute)
			if reply := b.git(protocol.Get, ""); reply.Result == protocol.Found {
				b.git(protocol.Erase, reply.Credential.Token)
			}
		}
		if number < 3 || number > 8 {
			t.Errorf("%d refreshes", number)
		}
	}
}

// TestNotSent: nothing is counted, and no token dropped, where git has sent something else.
func TestNotSent(t *testing.T) {
	for cause, change := range map[broker.Cause]func(*protocol.Request){
		broker.ByHeader:     func(r *protocol.Request) { r.OtherHeader = true },
		broker.ByPreference: func(r *protocol.Request) { r.Challenges = []string{"NTLM", "Basic"} },
	} {
		b := newBench(t)
		b.have(time.Hour)
		for range 3 {
			reply := b.git(protocol.Erase, "kept-access", change)
			var rejected *broker.RejectedError
			if !errors.As(reply.Err, &rejected) || rejected.Cause != cause || !strings.HasPrefix(reply.Err.Error(), "git has not sent the token") {
				t.Errorf("got %+v", reply)
			}
		}
		if reply := b.git(protocol.Get, ""); reply.Credential.Token != "kept-access" || len(b.kept().RejectedBy) != 0 {
			t.Errorf("got %+v", reply)
		}
	}
}

// TestRejectedBound: many hosts do not make the session larger and larger.
func TestRejectedBound(t *testing.T) {
	b := newBench(t)
	b.have(time.Second)
	for i := range 120 {
		b.git(protocol.Erase, "kept-access", func(r *protocol.Request) { r.Host = fmt.Sprintf("h%d.pkg.acme.dev", i) })
	}
	if n := len(b.kept().RejectedBy); n != 50 {
		t.Errorf("%d hosts", n)
	}
}

// TestRejectedWords: who is to blame for a fresh token that a server rejects, as far as git's request shows it.
func TestRejectedWords(t *testing.T) {
	for _, row := range []struct {
		reason string
		change func(*protocol.Request)
		cause  broker.Cause
		said   string
	}{
		{"Basic", func(r *protocol.Request) { r.Sent, r.Challenges = protocol.AuthBasic, []string{"Basic"} }, broker.ByAccount, "git.acme.dev refused the token of ada@acme.dev, which is fresh"},
		{"Bearer", func(r *protocol.Request) { r.Sent, r.Challenges = protocol.AuthBearer, []string{"Bearer"} }, broker.ByAccount, "refused the token of ada@acme.dev, which is fresh"},
		{"git 2.41 and Basic", func(r *protocol.Request) { r.Challenges = []string{"Basic"} }, broker.ByAccount, "refused the token"},
		{"git 2.39", func(*protocol.Request) {}, broker.ByOldGit, "refused the token"},
		{"git 2.41 at NTLM and Basic", func(r *protocol.Request) { r.Challenges = []string{"NTLM", "Basic"} }, broker.ByPreference, "git has not sent the token of ada@acme.dev to git.acme.dev"},
		{"git 2.46 at NTLM and Basic", func(r *protocol.Request) {
			r.Sent, r.Challenges = protocol.AuthBasic, []string{"NTLM", "Basic"}
		}, broker.ByAccount, "refused the token"},
	} {
		b := newBench(t)
		b.have(10 * time.Second)
		reply := b.git(protocol.Erase, "kept-access", row.change)
		var rejected *broker.RejectedError
		if reply.Result != protocol.Done || !errors.As(reply.Err, &rejected) || rejected.Cause != row.cause || !strings.Contains(reply.Err.Error(), row.said) {
			t.Errorf("%s: %+v", row.reason, reply)
		}
	}
}

// TestUnaskedBasic: git-lfs 3.8 sends Basic to a server for Bearer, before it knows. Its token and its user hear
// nothing of that.
func TestUnaskedBasic(t *testing.T) {
	for _, age := range []time.Duration{time.Second, time.Hour} {
		b := newBench(t)
		b.have(age)
		reply := b.git(protocol.Erase, "kept-access", func(r *protocol.Request) { r.Sent, r.State = protocol.AuthBasic, true })
		if reply.Result != protocol.Done || reply.Err != nil || reply.Hint != "" {
			t.Errorf("got %+v", reply)
		}
		if reply := b.git(protocol.Get, ""); reply.Credential.Token != "kept-access" {
			t.Errorf("then %+v", reply)
		}
		b.git(protocol.Store, "kept-access", func(r *protocol.Request) { r.Sent = protocol.AuthBearer })
		if s := b.kept(); len(s.RejectedBy) != 0 {
			t.Errorf("after a success: %+v", s.RejectedBy)
		}
		b.wantCalls()
	}
}

// TestServerForBearer: a git that cannot send what the server asks for gets no page, and no token.
func TestServerForBearer(t *testing.T) {
	b := newBench(t)
	b.person.may = func(*config.Profile) error { t.Error("the person was looked for"); return nil }
	reply := b.git(protocol.Get, "", func(r *protocol.Request) { r.Challenges = []string{"Bearer"} })
	var challenge *protocol.ChallengeError
	if reply.Result != protocol.Refused || !errors.As(reply.Err, &challenge) {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls()
}

// TestUnauthorized: the go command's second call brings the head of a 401.
func TestUnauthorized(t *testing.T) {
	const exact, wildcard = "git.acme.dev", "a.pkg.acme.dev"
	for _, row := range []struct {
		reason     string
		host       string
		challenges []string
		age        time.Duration
		change     func(*bench)
		want       string // the token, or words
		calls      []string
	}{
		{"it had the token before", exact, []string{"Bearer"}, time.Hour, nil, "refreshed-access", []string{"refresh kept-refresh"}},
		{"a wildcard's host, and the server has seen a token", wildcard, []string{`Bearer error="invalid_token"`}, time.Hour, nil, "refreshed-access", []string{"refresh kept-refresh"}},
		{"a wildcard's host: it had none", wildcard, []string{"Bearer"}, time.Hour, nil, "kept-access", nil},
		{"a fresh token: the account is refused", exact, []string{"Bearer"}, 59 * time.Second, nil, "kept-access", nil},
		{"no network", exact, nil, time.Hour, func(b *bench) {
			b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, errors.New("no network") }
		}, "could not be used", []string{"refresh kept-refresh"}},
		{"no refresh token", exact, nil, time.Hour, func(b *bench) {
			b.have(time.Hour, func(s *broker.Session) { s.RefreshToken = "" })
		}, "kept-access", nil},
		{"a token of the environment", exact, nil, time.Hour, func(b *bench) {
			b.Injected = func(context.Context, *config.Profile) (string, string, error) {
				return "oat_1", "CLERK_HELPER_TOKEN", nil
			}
		}, "oat_1", nil},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.have(row.age)
			if row.change != nil {
				row.change(b)
			}
			req := protocol.Request{Verb: protocol.Get, Scheme: "https", Host: row.host, Unauthorized: true, Challenges: row.challenges, Tool: "go"}
			reply := b.Answer(t.Context(), req)
			if got := reply.Credential.Token; got != row.want && (reply.Err == nil || !strings.Contains(reply.Err.Error(), row.want)) {
				t.Errorf("got %+v", reply)
			}
			b.wantCalls(row.calls...)
			if row.want == "refreshed-access" { // 20 modules at once: the others find the new token
				for range 20 {
					b.Answer(t.Context(), req)
				}
				b.wantCalls(row.calls...)
			}
		})
	}
}

// TestSecondQuestion: the same process asks again within a minute, because the server has rejected the token.
func TestSecondQuestion(t *testing.T) {
	for _, row := range []struct {
		reason    string
		age       time.Duration
		questions []string // "PID HOST TOOL SECONDS-LATER"
		refreshes int
		fail      error
	}{
		{reason: "kubectl after a 401", age: time.Hour, questions: []string{"7 git.acme.dev kubectl 0", "7 git.acme.dev kubectl 1"}, refreshes: 1},
		{reason: "without a host, as rclone", age: time.Hour, questions: []string{"7 - rclone 0", "7 - rclone 1"}, refreshes: 1},
		{reason: "it asks on and on", age: time.Hour, questions: strings.Split(strings.Repeat("7 - rclone 1,", 200), ","), refreshes: 1},
		{reason: "no network: it gets the token that it had", age: time.Hour, questions: []string{"7 - rclone 0", "7 - rclone 1"}, refreshes: 1, fail: errors.New("no network")},

		{reason: "another process", age: time.Hour, questions: []string{"7 git.acme.dev kubectl 0", "8 git.acme.dev kubectl 1"}},
		{reason: "another host", age: time.Hour, questions: []string{"7 git.acme.dev headers 0", "7 a.pkg.acme.dev headers 1"}},
		{reason: "another tool", age: time.Hour, questions: []string{"7 git.acme.dev headers 0", "7 git.acme.dev kubectl 1"}},
		{reason: "a minute later", age: time.Hour, questions: []string{"7 git.acme.dev kubectl 0", "7 git.acme.dev kubectl 60"}},
		{reason: "a fresh token: the account is refused", age: 10 * time.Second, questions: []string{"7 git.acme.dev kubectl 0", "7 git.acme.dev kubectl 1"}},
		{reason: "an unknown process", age: time.Hour, questions: []string{"0 git.acme.dev kubectl 0", "0 git.acme.dev kubectl 1"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.have(row.age)
			if row.fail != nil {
				b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, row.fail }
			}
			for _, q := range row.questions {
				if q == "" {
					continue
				}
				var host string
				req := protocol.Request{Verb: protocol.Get, Scheme: "https", Repeats: true}
				var later int
				if _, err := fmt.Sscan(q, &b.Caller.PID, &host, &req.Tool, &later); err != nil {
					t.Fatal(err)
				}
				b.now = b.now.Add(time.Duration(later) * time.Second)
				decision := func() *broker.Decision {
					if host == "-" {
						return b.DecideFor(t.Context(), b.acme, req)
					}
					req.Host = host
					return b.Decide(t.Context(), req)
				}()
				if reply := decision.Answer(t.Context()); reply.Result != protocol.Found {
					t.Errorf("%s: %+v", q, reply)
				}
			}
			if len(b.issuer.calls) != row.refreshes {
				t.Errorf("the issuer was asked for %q", b.issuer.calls)
			}
			for _, name := range b.records.Names() {
				if text, err := b.records.Get(t.Context(), name); err != nil || strings.Contains(text, "-access") || !json.Valid([]byte(text)) {
					t.Errorf("%s: %s, %v", name, text, err)
				}
			}
		})
	}
}

// TestRefusedForGood: a server that refuses the account costs the go command and kubectl one refresh an hour, however
// often they are started. A refresh that failed does not count.
func TestRefusedForGood(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	run := func(pid int) {
		b.now = b.now.Add(2 * time.Minute)
		b.Caller.PID = pid
		b.Answer(t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev", Tool: "go", Unauthorized: true})
		for range 2 {
			b.Answer(t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev", Tool: "kubectl", Repeats: true})
		}
	}
	works := b.issuer.refresh
	b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, errors.New("no network") }
	run(1)
	failed := len(b.issuer.calls)
	b.issuer.refresh = works
	b.now = b.now.Add(10 * time.Minute)
	for pid := range 20 {
		run(100 + pid)
	}
	if n := len(b.issuer.calls) - failed; n != 2 { // one for each of the tools
		t.Errorf("%d refreshes", n)
	}
	b.now = b.now.Add(time.Hour)
	run(200)
	if n := len(b.issuer.calls) - failed; n != 3 { // the second tool finds the fresh token of the first
		t.Errorf("an hour later, %d refreshes", n)
	}
}

// TestPlanFresh: what a person asks for with "token --fresh".
func TestPlanFresh(t *testing.T) {
	for _, row := range []struct {
		reason string
		begin  func(*bench)
		want   string // the token, or words
	}{
		{"a live token", func(b *bench) { b.have(time.Second) }, "refreshed-access"},
		{"an expired one", func(b *bench) { b.have(25 * time.Hour) }, "refreshed-access"},
		{"none", func(*bench) {}, "signed-in-access"},
		{"no refresh token", func(b *bench) { b.have(time.Hour, func(s *broker.Session) { s.RefreshToken = "" }) }, "the session has no refresh token"},
		{"no network", func(b *bench) {
			b.have(time.Hour)
			b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, errors.New("no network") }
		}, "refreshing the session"},
		{"the issuer wants no request yet", func(b *bench) {
			b.have(time.Hour)
			b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
				return clerk.Tokens{}, &clerk.ResponseError{Status: 429, RetryAfter: time.Hour}
			}
			b.Execute(b.t.Context(), b.PlanFresh(b.t.Context(), b.acme))
		}, "it accepts no other request before"},
		{"a token of the environment", func(b *bench) {
			b.Injected = func(context.Context, *config.Profile) (string, string, error) {
				return "oat_1", "CLERK_HELPER_TOKEN", nil
			}
		}, "the token in CLERK_HELPER_TOKEN cannot be replaced by another one"},
		{"signed out", func(b *bench) {
			b.have(time.Hour, func(s *broker.Session) {
				*s = broker.Session{Version: 1, Issuer: s.Issuer, ClientID: s.ClientID, Scopes: s.Scopes, SignedOut: true}
			})
		}, "you signed out"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			row.begin(b)
			s, err := b.Execute(t.Context(), b.PlanFresh(t.Context(), b.acme))
			if s.AccessToken != row.want && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %q, %v", s.AccessToken, err)
			}
		})
	}
}

// TestDockerLogoutOnce: docker sends several spellings of a host, and one line is enough.
func TestDockerLogoutOnce(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	b.Caller.PID = 7
	words := 0
	for range 3 {
		reply := b.Answer(t.Context(), protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "registry.acme.dev:5000", Tool: protocol.DockerTool})
		if reply.Hint != "" {
			words++
		}
	}
	if words != 1 {
		t.Errorf("%d times", words)
	}
}
