package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// vouch sets the issuer's answer to the check of a token.
func (b *bench) vouch(v clerk.Verdict, err error) {
	b.issuer.check = func() (clerk.Verdict, error) { return v, err }
}

// TestLoginWithToken: which of the tokens that are handed to us are kept, and for which account.
func TestLoginWithToken(t *testing.T) {
	const issuer = `"iss":"https://clerk.acme.dev"`
	offline := errors.New("no network")
	live := jwt(fmt.Sprintf(`{%s,"sub":"user_ada","exp":%d}`, issuer, start.Add(time.Hour).Unix()))
	for _, row := range []struct {
		reason, token string
		verdict       clerk.Verdict
		check         error
		account       string
		expires       time.Time
	}{
		{"a JWT that the issuer knows", live, clerk.Verdict{Subject: "user_ada", Email: "ada@acme.dev"}, nil, "ada@acme.dev", start.Add(time.Hour)},
		{"a JWT without a network", live, clerk.Verdict{}, offline, "user_ada", start.Add(time.Hour)},
		{"an opaque one that the issuer knows", "oat_1", clerk.Verdict{Subject: "user_ada", Email: "ada@acme.dev"}, nil, "ada@acme.dev", time.Time{}},
		{"an opaque one without a network", "oat_1", clerk.Verdict{}, offline, "", time.Time{}},
		{"an API key, of which the issuer tells nothing", "ak_1", clerk.Verdict{}, clerk.ErrNotTold, "", time.Time{}},
		{"a JWT without an end", jwt("{" + issuer + `,"sub":"user_ada"}`), clerk.Verdict{}, offline, "user_ada", time.Time{}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.vouch(row.verdict, row.check)
			if row.check == nil { // an unverified token ends no session
				b.have(time.Hour)
			}
			got, err := b.LoginWithToken(t.Context(), b.acme, row.token)
			if err != nil {
				t.Fatal(err)
			}
			s := b.kept()
			if got.Account() != row.account || s.Account() != row.account || !s.ExpiresAt.Equal(row.expires) || s.AccessToken != row.token ||
				s.RefreshToken != "" || !s.Given || s.SignedOut || !errors.Is(got.Unchecked, row.check) {
				t.Errorf("got %+v, kept %+v", got, s)
			}
			if row.check == nil {
				b.wantCalls("revoke kept-refresh")
			}
			for _, later := range []time.Duration{0, 59 * time.Minute, 1000 * time.Hour} {
				b.now = start.Add(later)
				reply := b.get("git.acme.dev")
				lives := row.expires.IsZero() || later < time.Hour
				if lives && (reply.Credential.Token != row.token || !reply.Credential.Expires.Equal(row.expires)) {
					t.Errorf("after %v: got %+v", later, reply)
				}
				if !lives && reply.Credential.Token != "signed-in-access" {
					t.Errorf("after its end: got %+v", reply)
				}
			}
		})
	}
}

func TestLoginWithTokenRefuses(t *testing.T) {
	const issuer = `"iss":"https://clerk.acme.dev"`
	live := jwt(fmt.Sprintf(`{%s,"sub":"user_ada","exp":%d}`, issuer, start.Add(time.Hour).Unix()))
	for _, row := range []struct {
		reason, token string
		verdict       clerk.Verdict
		check         error
		want          string
	}{
		{"nothing", "", clerk.Verdict{}, nil, "the token is empty"},
		{"a secret key", "sk_live_1", clerk.Verdict{}, nil, "secret key"},
		{"a publishable key", "pk_live_1", clerk.Verdict{}, nil, "publishable key"},
		{"two words", "Bearer x", clerk.Verdict{}, nil, "more of the header Authorization than the token"},
		{"too long", strings.Repeat("x", 16<<10+1), clerk.Verdict{}, nil, "longer than"},
		{"a JWT of another issuer", jwt(`{"iss":"https://clerk.evil.dev"}`), clerk.Verdict{}, nil, "was issued by"},
		{"a JWT that has expired", jwt(fmt.Sprintf(`{%s,"exp":%d}`, issuer, start.Unix())), clerk.Verdict{}, nil, "expired at 2026-11-23T12:00:00Z"},
		{"one that the issuer refuses", "oat_1", clerk.Verdict{}, fmt.Errorf("%w: status 401", clerk.ErrRefused), "the issuer does not accept it: status 401"},
		{"the session's own", "kept-access", clerk.Verdict{}, clerk.ErrNotTold, "the token is the one of this session"},
		{"an unverified API key in place of a session that can be refreshed", "ak_1", clerk.Verdict{}, clerk.ErrNotTold, "the token is unverified"},
		{"the same without a network", live, clerk.Verdict{}, errors.New("no network"), "the token is unverified"},
		{"one of another account than it says", jwt("{" + issuer + `,"sub":"user_ada"}`), clerk.Verdict{Subject: "user_eve"}, nil, "another account"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBench(t)
			b.vouch(row.verdict, row.check)
			b.have(time.Hour)
			_, err := b.LoginWithToken(t.Context(), b.acme, row.token)
			if err == nil || !strings.Contains(err.Error(), row.want) || len(row.token) > 1 && strings.Contains(err.Error(), row.token) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if s := b.kept(); s.AccessToken != "kept-access" {
				t.Error("the session was touched")
			}
			b.wantCalls()
		})
	}
	b := newBench(t)
	b.acme.IsMachine = true
	if _, err := b.LoginWithToken(t.Context(), b.acme, "oat_1"); err == nil || !strings.Contains(err.Error(), "machine's") {
		t.Errorf("a machine: got %v", err)
	}
	b = newBench(t)
	b.keychain.Hook = full
	if _, err := b.LoginWithToken(t.Context(), b.acme, "oat_1"); err == nil {
		t.Error("it was not kept, and there was no error")
	}
}

// TestGivenTokenIsRefused: a token whose end is not known is dropped when a server refuses it; then a person is asked.
func TestGivenTokenIsRefused(t *testing.T) {
	b := newBench(t)
	if _, err := b.LoginWithToken(t.Context(), b.acme, "oat_1"); err != nil {
		t.Fatal(err)
	}
	refuse := func(words string) {
		t.Helper()
		reply := b.Answer(t.Context(), protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "git.acme.dev", Secret: "oat_1"})
		if reply.Result != protocol.Done || reply.Err == nil || reply.Err.Error() != "git.acme.dev refused the token that was given for profile acme, "+words {
			t.Errorf("got %+v, want words with %q", reply, words)
		}
	}
	refuse("which is fresh")
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "oat_1" {
		t.Errorf("after a refusal at once: got %+v", reply)
	}
	b.now = start.Add(48 * time.Hour)
	refuse("and it is dropped")
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "signed-in-access" {
		t.Errorf("got %+v", reply)
	}
}

// TestLoginWithTokenEndsPauses: it ends a cool-down, and what a logout has left.
func TestLoginWithTokenEndsPauses(t *testing.T) {
	b := newBench(t)
	b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, clerk.ErrDenied }
	b.get("git.acme.dev")
	if until, _ := b.CoolDown(t.Context(), b.acme); until.IsZero() {
		t.Fatal("there is no cool-down to be ended")
	}
	if _, err := b.Logout(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LoginWithToken(t.Context(), b.acme, "oat_1"); err != nil {
		t.Fatal(err)
	}
	if until, why := b.CoolDown(t.Context(), b.acme); why != nil {
		t.Errorf("nothing is asked before %v: %v", until, why)
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "oat_1" {
		t.Errorf("got %+v", reply)
	}
}

// TestLoginWithTokenUnlocks: the person unlocks a locked keychain, if they may be asked.
func TestLoginWithTokenUnlocks(t *testing.T) {
	for _, may := range []bool{true, false} {
		b := newBench(t)
		locked := true
		b.keychain.Hook = func(string, string) error {
			if locked {
				return platform.ErrLocked
			}
			return nil
		}
		b.person.unlock = func() error { locked = false; return nil }
		if !may {
			b.person.may = func(*config.Profile) error { return errors.New("CI is set") }
		}
		_, err := b.LoginWithToken(t.Context(), b.acme, "oat_1")
		if may && err != nil || !may && !errors.Is(err, platform.ErrLocked) {
			t.Errorf("may be asked %v: got %v", may, err)
		}
	}
}

// TestSignInRetryAfter: an issuer that names a pause is left alone until its end, whether a page was opened or not.
func TestSignInRetryAfter(t *testing.T) {
	for _, opened := range []bool{true, false} {
		b := newBench(t)
		busy := &clerk.ResponseError{Endpoint: "keys", Status: 429, RetryAfter: 3 * time.Minute}
		calls := []string{"sign in", "sign in"}
		if opened {
			b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, busy }
		} else {
			b.issuer.flows = map[clerk.Flow]error{clerk.Browser: busy}
		}
		want := "it accepts no other request before " + start.Add(3*time.Minute).Local().Format(time.TimeOnly)
		for _, at := range []time.Duration{0, time.Second, 3*time.Minute - time.Second} {
			b.now = start.Add(at)
			if reply := b.get("git.acme.dev"); reply.Err == nil || !strings.Contains(reply.Err.Error(), want) {
				t.Errorf("opened: %v: after %v: %v", opened, at, reply.Err)
			}
		}
		b.wantCalls("sign in")
		b.now = start.Add(3 * time.Minute)
		b.get("git.acme.dev")
		b.wantCalls(calls...)
	}
}

// TestRefusedSignIn: what the issuer refuses is told in words, to every process, without foreign text.
func TestRefusedSignIn(t *testing.T) {
	for _, row := range []struct {
		answer clerk.ResponseError
		want   string
	}{
		{clerk.ResponseError{Endpoint: "authorize", Code: "invalid_scope", OAuth: true}, "the issuer refuses a scope of the profile (invalid_scope)"},
		{clerk.ResponseError{Endpoint: "authorize", Code: "foreign words", OAuth: true}, "the issuer refuses, with an error that this release does not know"},
		{clerk.ResponseError{Endpoint: "authorize"}, "the issuer refused the sign-in"},
		{clerk.ResponseError{Endpoint: "token", Status: 400, Code: "unauthorized_client", OAuth: true}, "the issuer does not allow this to the client of the profile (unauthorized_client)"},
		{clerk.ResponseError{Endpoint: "token", Status: 422, Code: "form_param_invalid"}, "the issuer answered with status 422"},
	} {
		b := newBench(t)
		b.issuer.signIn = func() (clerk.Tokens, error) { return clerk.Tokens{}, &row.answer }
		b.get("git.acme.dev")
		reply := b.get("git.acme.dev")
		_, why := b.CoolDown(t.Context(), b.acme)
		if want := `signing in to profile "acme": ` + row.want; why == nil || why.Error() != row.want || reply.Err == nil || reply.Err.Error() != want {
			t.Errorf("%+v: got %v, and for a tool %v", row.answer, why, reply.Err)
		}
		b.wantCalls("sign in")
	}
	// Before a page is opened, only what lasts begins a cool-down.
	for answer, calls := range map[clerk.ResponseError]int{
		{Endpoint: "discovery", Status: 503}:                       2,
		{Endpoint: "discovery", Status: 400, Code: "host_invalid"}: 1,
	} {
		b := newBench(t)
		b.issuer.flows = map[clerk.Flow]error{clerk.Browser: &answer}
		b.get("git.acme.dev")
		b.get("git.acme.dev")
		b.wantCalls(slices.Repeat([]string{"sign in"}, calls)...)
	}
}

// TestRetryAfter: a pause that the issuer names is respected, for an hour at most, and a sign-in ends it.
func TestRetryAfter(t *testing.T) {
	for _, row := range []struct {
		named, held time.Duration
	}{{2 * time.Minute, 2 * time.Minute}, {5 * time.Hour, time.Hour}} {
		b := newBench(t)
		b.have(25 * time.Hour)
		busy := &clerk.ResponseError{Endpoint: "token", Status: 429, RetryAfter: row.named}
		b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) { return clerk.Tokens{}, busy }
		b.get("git.acme.dev")
		b.wantCalls("refresh kept-refresh")
		b.now = start.Add(row.held - time.Second)
		reply := b.get("git.acme.dev")
		b.wantCalls("refresh kept-refresh")
		if want := "it accepts no other request before " + start.Add(row.held).Local().Format(time.TimeOnly); reply.Err == nil || !strings.Contains(reply.Err.Error(), want) {
			t.Errorf("%v: got %v", row.named, reply.Err)
		}
		b.now = start.Add(row.held)
		b.get("git.acme.dev")
		b.wantCalls("refresh kept-refresh", "refresh kept-refresh")
	}

	b := newBench(t)
	b.have(25 * time.Hour)
	b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
		return clerk.Tokens{}, &clerk.ResponseError{Endpoint: "token", Status: 503, RetryAfter: time.Hour}
	}
	b.get("git.acme.dev")
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Fatal(err)
	}
	b.have(25 * time.Hour)
	b.get("git.acme.dev")
	b.wantCalls("refresh kept-refresh", "sign in", "revoke kept-refresh", "refresh kept-refresh")
}

func TestBelowMinTTL(t *testing.T) {
	for _, row := range []struct {
		reason       string
		life, minTTL time.Duration
		want         bool
	}{
		{"a wish above the life", time.Hour, 2 * time.Hour, true},
		{"a wish that is the life", time.Hour, time.Hour, false},
		{"a wish that half of the life does not meet: it is refreshed early", time.Hour, 45 * time.Minute, false},
		{"the default, and a token of a minute: the user has not asked for it", time.Minute, 5 * time.Minute, false},
		{"an end that is not known", 0, 2 * time.Hour, false},
	} {
		s := broker.Session{AccessToken: "x", ReceivedAt: start}
		if row.life > 0 {
			s.ExpiresAt = start.Add(row.life)
		}
		if got := s.BelowMinTTL(&config.Profile{MinTTL: row.minTTL}); got != row.want {
			t.Errorf("%s: %v", row.reason, got)
		}
	}
	if (broker.Session{ReceivedAt: start, ExpiresAt: start.Add(time.Minute)}).BelowMinTTL(&config.Profile{MinTTL: time.Hour}) {
		t.Error("there is no token")
	}
}

func TestRecordExpired(t *testing.T) {
	for text, want := range map[string]bool{
		`{"code":"ok","at":"2026-11-23T11:00:00Z"}`:                                    false,
		`{"code":"denied","at":"2026-11-22T12:00:01Z","until":"2026-11-22T12:01:01Z"}`: false,
		`{"code":"denied","at":"2026-11-22T11:59:59Z"}`:                                true,
		`{"code":"ok","at":"2026-11-23T12:00:01Z"}`:                                    true,
		`{"code":`: true,
		``:         true,
		`[]`:       true,
		`null`:     true,
	} {
		if got := broker.RecordExpired(text, start); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestLoginWithTokenOfAnyIssuer: for a companion page whose profile names no instance, a JWT could be of any issuer, and is
// not kept.
func TestLoginWithTokenOfAnyIssuer(t *testing.T) {
	ofEve := jwt(fmt.Sprintf(`{"iss":"https://clerk.evil.example","sub":"user_eve","exp":%d}`, start.Add(time.Hour).Unix()))
	for _, row := range []struct {
		token string
		check error
		kept  bool
	}{
		{ofEve, errors.New("no network"), false},
		{ofEve, nil, false}, // even if the issuer that it names has verified it
		{"ak_1", clerk.ErrNotTold, true},
	} {
		b := newBench(t)
		b.acme.Companion = true
		b.vouch(clerk.Verdict{Subject: "user_eve"}, row.check)
		if _, err := b.LoginWithToken(t.Context(), b.acme, row.token); (err == nil) != row.kept {
			t.Errorf("%.10s, %v: %v", row.token, row.check, err)
		}
	}
}

// TestGivenMeanwhile: a token that a person hands to us while a tool's page is open is kept. While a login's page is open, the
// sign-in is kept.
func TestGivenMeanwhile(t *testing.T) {
	token := jwt(fmt.Sprintf(`{"iss":"https://clerk.acme.dev","sub":"user_ada","exp":%d}`, start.Add(time.Hour).Unix()))
	for _, onDemand := range []bool{true, false} {
		b := newBench(t)
		b.vouch(clerk.Verdict{Subject: "user_ada"}, nil)
		b.person.invite = func(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
			if _, err := b.LoginWithToken(ctx, p, token); err != nil {
				t.Error(err)
			}
			return nil
		}
		var s broker.Session
		var err error
		if onDemand {
			s, err = b.Token(t.Context(), b.acme)
		} else {
			s, err = b.Login(t.Context(), b.acme)
		}
		if err != nil || s.Given != onDemand || b.kept().Given != onDemand {
			t.Errorf("on demand %v: %+v, %v; kept %+v", onDemand, s, err, b.kept())
		}
	}
}
