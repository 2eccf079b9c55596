package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"
)

// planned is one profile in a state, with a real client before the sandbox. Only the keychain and the person are not real.
type planned struct {
	*broker.Broker
	t        *testing.T
	sys      *system
	p        *config.Profile
	env      map[string]string
	clerk    *sandbox.Server
	keychain platformtest.Memory
	records  platformtest.Memory
	user     *willingUser
	now      time.Time
}

// willingUser signs in and unlocks whenever they are asked, and counts how often.
type willingUser struct {
	localUser
	atTerminal bool
	asked      atomic.Int32
	unlock     func()
}

func (u *willingUser) MayAsk(p *config.Profile) (broker.Permission, error) {
	return broker.Permission{AtTerminal: u.atTerminal}, u.mayAsk(p, u.tool)
}

func (u *willingUser) Invite(ctx context.Context, _ *config.Profile, i clerk.Invitation) error {
	u.asked.Add(1)
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, i.StartURL, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (u *willingUser) Unlock(context.Context, ...string) error {
	u.asked.Add(1)
	u.unlock()
	return nil
}

func newPlanned(t *testing.T, s *sandbox.Server, issuer, profile string) *planned {
	t.Helper()
	if profile == "" {
		profile = "client_id = \"sandbox-client\"\nhosts = [\"git.acme.dev\"]"
	}
	cfg, err := config.Parse("config.toml", fmt.Appendf(nil, "[profiles.acme]\nissuer = %q\n%s\n", issuer, profile))
	if err != nil {
		t.Fatal(err)
	}
	b := &planned{t: t, p: cfg.Profiles[0], clerk: s, now: time.Now()}
	b.env = map[string]string{"CLERK_HELPER_INTERACTIVE": "always", "CLERK_HELPER_STORE": "file", "XDG_STATE_HOME": t.TempDir(), "HOME": t.TempDir()}
	b.sys = &system{stdout: io.Discard, stderr: io.Discard, getenv: func(name string) string { return b.env[name] }}
	b.user = &willingUser{localUser: localUser{system: b.sys}}
	b.Broker = &broker.Broker{
		Config:   cfg,
		Keychain: &b.keychain,
		Locks:    platform.Locks{Dir: filepath.Join(t.TempDir(), "locks")},
		Records:  &b.records,
		Issuer: func(*config.Profile) (broker.Issuer, error) {
			return broker.Clerk(&clerk.Client{UserAgent: "clerk-credential-helper/test", Backend: issuer}), nil
		},
		Now:      func() time.Time { return b.now },
		Injected: b.sys.tokens.of(b.sys.getenv, cfg),
		Person:   b.user,
	}
	return b
}

func (b *planned) set(store *platformtest.Memory, name string, v any) {
	b.t.Helper()
	text, ok := v.(string)
	if !ok {
		all, err := json.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		text = string(all)
	}
	if err := store.Set(b.t.Context(), name, text); err != nil {
		b.t.Fatal(err)
	}
}

// have signs in, and makes of the session one of that life that was received that long ago.
func (b *planned) have(life, age time.Duration, change ...func(*broker.Session)) {
	b.t.Helper()
	s, err := b.Login(b.t.Context(), b.p)
	if err != nil {
		b.t.Fatal(err)
	}
	s.ReceivedAt, s.ExpiresAt = b.now.Add(-age).UTC(), b.now.Add(life-age).UTC()
	for _, c := range change {
		c(&s)
	}
	b.set(&b.keychain, broker.KeychainItem(b.p), s)
}

// record leaves the end of a sign-in or a refresh.
func (b *planned) record(kind, code string, at time.Time, more map[string]any) {
	r := map[string]any{"code": code, "at": at.UTC()}
	for name, value := range more {
		r[name] = value
	}
	b.set(&b.records, kind+strings.TrimPrefix(broker.KeychainItem(b.p), "session"), r)
}

// useKey brings a machine's key.
func (b *planned) useKey(key string) {
	b.MachineKey = func(*config.Profile) (string, string, error) { return key, config.MachineKey, nil }
}

// machineToken mints a token and makes of it one that was received that long ago.
func (b *planned) machineToken(age time.Duration, change ...func(*broker.Session)) {
	b.t.Helper()
	b.useKey(sandbox.MachineKey)
	if _, err := b.Token(b.t.Context(), b.p); err != nil {
		b.t.Fatal(err)
	}
	name := b.keychain.Names()[0]
	text, err := b.keychain.Get(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	var s broker.Session
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		b.t.Fatal(err)
	}
	s.ReceivedAt, s.ExpiresAt = b.now.Add(-age).UTC(), b.now.Add(time.Hour-age).UTC()
	for _, c := range change {
		c(&s)
	}
	b.set(&b.keychain, name, s)
}

// lock locks the keychain until the person unlocks it.
func (b *planned) lock() {
	b.keychain.Hook = func(string, string) error { return platform.ErrLocked }
	b.user.unlock = func() { b.keychain.Hook = nil }
}

// did is what a tool's get does now, in the words of explain, counted at the sandbox.
func (b *planned) did(req protocol.Request) string {
	asked, requests := b.user.asked.Load(), len(b.clerk.Requests())
	refreshes, mints := b.clerk.Count("token:refresh_token"), b.clerk.Count("/v1/m2m_tokens")
	reply := b.Answer(b.t.Context(), req)
	switch {
	case b.user.asked.Load() > asked:
		return "ask"
	case b.clerk.Count("token:refresh_token") > refreshes:
		return "refresh"
	case b.clerk.Count("/v1/m2m_tokens") > mints:
		return "mint"
	case len(b.clerk.Requests()) > requests:
		return "something else"
	}
	return map[protocol.Result]string{protocol.Found: "answer", protocol.Failed: "refuse", protocol.None: "nothing", protocol.Refused: "nothing"}[reply.Result]
}

// TestExplainIsWhatHappens holds in each state that explain says what the next get does. Neither the network nor the person
// is asked by it, and the keychain is only read.
func TestExplainIsWhatHappens(t *testing.T) {
	const (
		day     = 24 * time.Hour
		machine = "machine = true\nhosts = [\"git.acme.dev\"]"
		oidc    = "client_id = \"sandbox-client\"\nhosts = [\"git.acme.dev\"]\n"
	)
	noRefresh := func(s *broker.Session) { s.RefreshToken = "" }
	given := func(s *broker.Session) { s.RefreshToken, s.Given = "", true }
	endless := func(s *broker.Session) { s.ExpiresAt = time.Time{} }
	never := func(b *planned) { b.env["CLERK_HELPER_INTERACTIVE"] = "never" }
	refreshFailed := func(b *planned) {
		b.record("refresh", "network", b.now.Add(-time.Minute), map[string]any{"until": b.now.Add(4 * time.Minute)})
	}
	refused := func(b *planned, until time.Duration) {
		b.record("signin", "denied", b.now.Add(-time.Minute), map[string]any{"until": b.now.Add(until), "refusals": 1})
	}
	jwt := func(b *planned) string {
		s, err := b.Login(t.Context(), b.p)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.keychain.Delete(t.Context(), broker.KeychainItem(b.p)); err != nil {
			t.Fatal(err)
		}
		return s.AccessToken
	}
	rows := []struct {
		state   string
		profile string // the rest of its lines
		begin   func(*planned)
		ask     protocol.Request // of git.acme.dev if it names no host
		want    string
	}{
		{state: "never signed in", want: "ask"},
		{state: "never signed in, and the person may not be asked", begin: never, want: "nothing"},
		{state: "live", begin: func(b *planned) { b.have(day, time.Hour) }, want: "answer"},
		{state: "live, just before half of its life", begin: func(b *planned) { b.have(day, day/2-time.Second) }, want: "answer"},
		{state: "live, half of its life", begin: func(b *planned) { b.have(day, day/2) }, want: "refresh"},
		{state: "live, past half of its life, without a refresh token", begin: func(b *planned) { b.have(day, 13*time.Hour, noRefresh) }, want: "answer"},
		{state: "live, past half of its life, a refresh has just failed", begin: func(b *planned) { b.have(day, 13*time.Hour); refreshFailed(b) }, want: "answer"},
		{state: "live, past half of its life, the pause after a failure is over", begin: func(b *planned) { b.have(day, 13*time.Hour); refreshFailed(b); b.now = b.now.Add(4 * time.Minute) }, want: "refresh"},
		{state: "near its end", begin: func(b *planned) { b.have(10*time.Minute, 8*time.Minute) }, want: "refresh"},
		{state: "near its end, without a refresh token", begin: func(b *planned) { b.have(10*time.Minute, 8*time.Minute, noRefresh) }, want: "answer"},
		{state: "near its end, a refresh has just failed", begin: func(b *planned) { b.have(10*time.Minute, 8*time.Minute); refreshFailed(b) }, want: "answer"},
		{state: "expired", begin: func(b *planned) { b.have(day, 25*time.Hour) }, want: "refresh"},
		{state: "expired this moment", begin: func(b *planned) { b.have(day, day) }, want: "refresh"},
		{state: "expired, a refresh has just failed: there is nothing to lose", begin: func(b *planned) { b.have(day, 25*time.Hour); refreshFailed(b) }, want: "refresh"},
		{state: "expired, and the issuer wants no request yet", begin: func(b *planned) {
			b.have(day, 25*time.Hour)
			b.record("refresh", "refused", b.now.Add(-time.Minute), map[string]any{"status": 429, "until": b.now.Add(9 * time.Minute), "retry": b.now.Add(9 * time.Minute)})
		}, want: "refuse"},
		{state: "expired, without a refresh token", begin: func(b *planned) { b.have(day, 25*time.Hour, noRefresh) }, want: "ask"},
		{state: "expired, without a refresh token, and the person may not be asked", begin: func(b *planned) { b.have(day, 25*time.Hour, noRefresh); never(b) }, want: "nothing"},
		{state: "received in the future", begin: func(b *planned) { b.have(day, -5*time.Minute) }, want: "refresh"},
		{state: "received in the future, without a refresh token", begin: func(b *planned) { b.have(day, -5*time.Minute, noRefresh) }, want: "answer"},
		{state: "received in the future, a refresh has just failed", begin: func(b *planned) { b.have(day, -5*time.Minute); refreshFailed(b) }, want: "answer"},
		{state: "min_ttl above its life, in its first half", begin: func(b *planned) { b.p.MinTTL = 2 * time.Hour; b.have(time.Hour, 29*time.Minute) }, want: "answer"},
		{state: "min_ttl above its life, in its second half", begin: func(b *planned) { b.p.MinTTL = 2 * time.Hour; b.have(time.Hour, 31*time.Minute) }, want: "refresh"},
		{state: "min_ttl 0, to its end", begin: func(b *planned) { b.p.MinTTL = 0; b.have(time.Hour, time.Hour-time.Second, noRefresh) }, want: "answer"},
		{state: "an end that is not known", begin: func(b *planned) { b.have(day, 100*day, noRefresh, endless) }, want: "answer"},
		{state: "refused by a server", begin: func(b *planned) {
			b.have(day, time.Hour, endless, func(s *broker.Session) { s.AccessToken = "" })
		}, want: "refresh"},
		{state: "the grant has ended, and whose it was is remembered", begin: func(b *planned) {
			b.have(day, time.Hour, noRefresh, endless, func(s *broker.Session) { s.AccessToken = "" })
		}, want: "ask"},
		{state: "signed out", begin: func(b *planned) {
			b.have(day, time.Hour)
			if _, err := b.Logout(t.Context(), b.p); err != nil {
				t.Fatal(err)
			}
		}, want: "nothing"},
		{state: "a cool-down", begin: func(b *planned) { refused(b, time.Minute) }, want: "nothing"},
		{state: "a cool-down that is over", begin: func(b *planned) { refused(b, -time.Second) }, want: "ask"},
		{state: "a cool-down at a terminal", begin: func(b *planned) { refused(b, time.Minute); b.user.atTerminal = true }, want: "ask"},
		{state: "a cool-down at a terminal, for the process that was refused", begin: func(b *planned) {
			b.record("signin", "denied", b.now.Add(-time.Minute), map[string]any{"until": b.now.Add(time.Minute), "command": 4711})
			b.user.atTerminal, b.Caller.PID = true, 4711
		}, want: "nothing"},
		{state: "a cool-down beside a live token", begin: func(b *planned) { b.have(day, time.Hour); refused(b, time.Minute) }, want: "answer"},
		{state: "a cool-down beside an expired one", begin: func(b *planned) { b.have(day, 25*time.Hour); refused(b, time.Minute) }, want: "refresh"},
		{state: "a locked keychain", begin: func(b *planned) { b.have(day, time.Hour); b.lock() }, want: "ask"},
		{state: "a locked keychain, and the person may not be asked", begin: func(b *planned) { b.have(day, time.Hour); b.lock(); never(b) }, want: "refuse"},
		{state: "a locked keychain in a cool-down", begin: func(b *planned) { refused(b, time.Minute); b.lock() }, want: "nothing"},
		{state: "no keychain", begin: func(b *planned) {
			b.keychain.Hook = func(string, string) error { return platform.ErrUnavailable }
		}, want: "refuse"},
		{state: "a damaged record", begin: func(b *planned) { b.keychain.Damage(broker.KeychainItem(b.p), "{") }, want: "ask"},
		{state: "a record of 0 bytes", begin: func(b *planned) { b.keychain.Damage(broker.KeychainItem(b.p), "") }, want: "ask"},
		{state: "a damaged record, and the person may not be asked", begin: func(b *planned) { b.keychain.Damage(broker.KeychainItem(b.p), "{"); never(b) }, want: "nothing"},
		{state: "a damaged record in a cool-down", begin: func(b *planned) { b.keychain.Damage(broker.KeychainItem(b.p), "{"); refused(b, time.Minute) }, want: "nothing"},
		{state: "a record of a later release", begin: func(b *planned) { b.set(&b.keychain, broker.KeychainItem(b.p), `{"v":2}`) }, want: "refuse"},
		{state: "a record of another issuer", begin: func(b *planned) {
			b.have(day, time.Hour, func(s *broker.Session) { s.Issuer, s.Subject = "https://clerk.evil.dev", "" })
		}, want: "ask"},
		{state: "an ID token", profile: oidc + `token = "id"`, begin: func(b *planned) { b.have(day, time.Hour) }, want: "answer"},
		{state: "an expired ID token", profile: oidc + `token = "id"`, begin: func(b *planned) { b.have(day, 25*time.Hour) }, want: "refresh"},
		{state: "a token that was given", begin: func(b *planned) { b.have(day, time.Hour, given) }, want: "answer"},
		{state: "a token that was given, near its end", begin: func(b *planned) { b.have(day, day-time.Minute, given) }, want: "answer"},
		{state: "an ID token that was given, near its end", profile: oidc + `token = "id"`, begin: func(b *planned) {
			b.have(day, day-time.Minute, given, func(s *broker.Session) { s.AccessToken = "" })
		}, want: "answer"},
		{state: "a token that was given and has expired", begin: func(b *planned) { b.have(day, 25*time.Hour, given) }, want: "ask"},
		{state: "injected", begin: func(b *planned) { b.env["CLERK_HELPER_TOKEN"] = jwt(b) }, want: "answer"},
		{state: "injected beside an expired session", begin: func(b *planned) { b.have(day, 25*time.Hour); b.env["CLERK_HELPER_TOKEN"] = "oat_1" }, want: "answer"},
		{state: "injected beside a locked keychain", begin: func(b *planned) { b.lock(); b.env["CLERK_HELPER_TOKEN"] = "oat_1" }, want: "answer"},
		{state: "injected, expired", begin: func(b *planned) { b.env["CLERK_HELPER_TOKEN"] = jwt(b); b.now = b.now.Add(25 * time.Hour) }, want: "refuse"},
		{state: "injected, of another issuer", begin: func(b *planned) { b.env["CLERK_HELPER_TOKEN"] = oldToken("https://clerk.evil.dev") }, want: "refuse"},
		{state: "injected twice", begin: func(b *planned) { b.env["CLERK_HELPER_TOKEN"], b.env["CLERK_HELPER_TOKEN_FILE"] = "oat_1", "/x" }, want: "refuse"},
		{state: "a machine", profile: machine, begin: func(b *planned) { b.useKey(sandbox.MachineKey) }, want: "mint"},
		{state: "a machine without its key", profile: machine, want: "refuse"},
		{state: "a machine with a key of the Backend API", profile: machine, begin: func(b *planned) { b.useKey("sk_live_1") }, want: "refuse"},
		{state: "a machine's token", profile: machine, begin: func(b *planned) { b.machineToken(31 * time.Minute) }, want: "answer"},
		{state: "a machine's token near its end", profile: machine, begin: func(b *planned) { b.machineToken(56 * time.Minute) }, want: "mint"},
		{state: "a machine's token that has expired", profile: machine, begin: func(b *planned) { b.machineToken(2 * time.Hour) }, want: "mint"},
		{state: "a machine whose tokens servers refuse", profile: machine, begin: func(b *planned) {
			b.machineToken(30*time.Second, endless, func(s *broker.Session) { s.AccessToken, s.Rejected = "", 1 })
		}, want: "refuse"},
		{state: "a machine whose tokens servers have refused", profile: machine, begin: func(b *planned) {
			b.machineToken(time.Minute, endless, func(s *broker.Session) { s.AccessToken, s.Rejected = "", 1 })
		}, want: "mint"},
		{state: "a machine without a keychain", profile: machine, begin: func(b *planned) {
			b.useKey(sandbox.MachineKey)
			b.keychain.Hook = func(string, string) error { return platform.ErrUnavailable }
		}, want: "mint"},
		{state: "a machine beside an injected token", profile: machine, begin: func(b *planned) { b.env["CLERK_HELPER_TOKEN"] = "oat_1" }, want: "answer"},
		{state: "a page of the original kind", profile: "legacy_page = \"https://app.acme.dev/cli-auth\"\nhosts = [\"git.acme.dev\"]", want: "nothing"},
		{state: "a foreign host", begin: func(b *planned) { b.have(day, time.Hour) }, ask: protocol.Request{Host: "ghcr.io"}, want: "nothing"},
		{state: "http", begin: func(b *planned) { b.have(day, time.Hour) }, ask: protocol.Request{Scheme: "http", Host: "git.acme.dev"}, want: "nothing"},
		{state: "another user", begin: func(b *planned) { b.have(day, time.Hour) }, ask: protocol.Request{Host: "git.acme.dev", Username: "bob"}, want: "nothing"},
		{state: "the account's e-mail, expired", begin: func(b *planned) { b.have(day, 25*time.Hour) }, ask: protocol.Request{Host: "git.acme.dev", Username: "ada@acme.dev"}, want: "refresh"},
	}
	s := sandbox.New(sandbox.Options{Auto: true})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.SetIssuer(server.URL)
	for _, row := range rows {
		t.Run(row.state, func(t *testing.T) {
			b := newPlanned(t, s, server.URL, row.profile)
			if row.begin != nil {
				row.begin(b)
			}
			req := row.ask
			req.Verb = protocol.Get
			if req.Scheme == "" {
				req.Scheme = "https"
			}
			if req.Host == "" {
				req.Host = "git.acme.dev"
			}
			asked, requests, hook := b.user.asked.Load(), len(s.Requests()), b.keychain.Hook
			b.keychain.Hook = func(op, name string) error {
				if op != "get" {
					t.Errorf("explain: %s of the keychain", op)
				}
				if hook != nil {
					return hook(op, name)
				}
				return nil
			}
			said := string(b.explain(req).Next)
			// The go command's first call gets what needs nothing else.
			all := live(t.Context(), b.Broker, b.Config).Tokens
			if _, ok := all["git.acme.dev"]; row.ask.Host+row.ask.Username+row.ask.Scheme == "" && ok != (row.want == "answer") {
				t.Errorf("go's first call: %t", ok)
			}
			if b.user.asked.Load() != asked || len(s.Requests()) != requests {
				t.Error("explain or go's first call has asked the person or the network")
			}
			b.keychain.Hook = hook
			if did := b.did(req); said != row.want || did != row.want {
				t.Errorf("explain says %q, and get did %q; want %q", said, did, row.want)
			}
		})
	}
}

// explain is what "explain --json" says of a tool's request.
func (b *planned) explain(req protocol.Request) doctor.Explanation {
	b.t.Helper()
	x := explainer{sys: b.sys, cfg: b.Config, broker: b.Broker, made: map[wanted]explained{}}
	e, err := x.explain(b.t.Context(), wanted{scheme: req.Scheme, host: req.Host, user: req.Username})
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := json.Marshal(e.Explanation)
	if err != nil {
		b.t.Fatal(err)
	}
	var said doctor.Explanation
	if err := json.Unmarshal(text, &said); err != nil {
		b.t.Fatal(err)
	}
	if said.Next != e.Next {
		b.t.Errorf("%s in JSON: %s", e.Next, text)
	}
	return e.Explanation
}

// TestExplainNext is what a person reads where the next thing alone does not say all.
func TestExplainNext(t *testing.T) {
	s := sandbox.New(sandbox.Options{Auto: true})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.SetIssuer(server.URL)
	failed := func(b *planned) {
		b.record("refresh", "network", b.now.Add(-time.Minute), map[string]any{"until": b.now.Add(4 * time.Minute)})
	}
	for _, row := range []struct {
		state string
		begin func(*planned)
		wants []string
	}{
		{"past half of its life", func(b *planned) { b.have(24*time.Hour, 13*time.Hour) },
			[]string{"next refreshed at the issuer first; no sign-in; if that fails, answered as it is"}},
		{"expired", func(b *planned) { b.have(24*time.Hour, 25*time.Hour) }, []string{"next refreshed at the issuer first; no sign-in\n"}},
		{"a refresh has just failed", func(b *planned) { b.have(24*time.Hour, 13*time.Hour); failed(b) },
			[]string{"next answered as it is; no network and no sign-in", "pause the last refresh failed (the issuer cannot be reached); not before "}},
		{"locked", func(b *planned) { b.lock() }, []string{"next the keychain asks you first: "}},
	} {
		b := newPlanned(t, s, server.URL, "")
		row.begin(b)
		var out strings.Builder
		b.explain(protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev"}).Print(&console.Console{Out: &out, Getenv: func(string) string { return "" }}, false)
		var lines []string
		for line := range strings.SplitSeq(strings.ReplaceAll(out.String(), "\n"+strings.Repeat(" ", console.FactIndent), " "), "\n") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		text := strings.Join(lines, "\n") + "\n"
		for _, want := range row.wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", row.state, want, text)
			}
		}
	}
}

// TestExplainUnasked: a tool that does not wait for a person reads what it would where another has the keychain unlocked.
func TestExplainUnasked(t *testing.T) {
	s := sandbox.New(sandbox.Options{Auto: true})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.SetIssuer(server.URL)
	b := newPlanned(t, s, server.URL, "")
	b.lock()
	x := explainer{sys: b.sys, cfg: b.Config, broker: b.Broker, made: map[wanted]explained{}}
	for _, row := range []struct {
		reason string
		tool   tool
		req    protocol.Request
		want   protocol.Result
	}{
		{"git waits", tool{who: "git"}, protocol.Request{}, protocol.Found},
		{"bazel has a limit", tool{who: "bazel", waits: 10 * time.Second}, protocol.Request{}, protocol.Failed},
		{"a page would open unexplained", tool{who: "go", unwatched: true}, protocol.Request{}, protocol.Failed},
		{"the request forbids it", tool{who: "go"}, protocol.Request{NeverAsk: true}, protocol.Failed},
	} {
		row.req.Scheme, row.req.Host = "https", "git.acme.dev"
		reply, err := x.reply(t.Context(), row.tool, row.req)
		if err != nil || reply.Result != row.want {
			t.Errorf("%s: %+v, %v", row.reason, reply, err)
		}
	}
}
