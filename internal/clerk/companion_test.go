package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
)

// newCompanion serves a sandbox and a companion page in front of it, and returns a profile for the page.
func newCompanion(t *testing.T, r *run, store bool) (*sandbox.Server, *sandbox.Companion, *config.Profile) {
	t.Helper()
	issuer, _ := newSandbox(t, r, sandbox.Options{})
	server := httptest.NewUnstartedServer(nil)
	origin := "http://" + server.Listener.Addr().String()
	page := issuer.Companion(origin, store)
	server.Config.Handler = page
	server.Start()
	t.Cleanup(server.Close)
	return issuer, page, &config.Profile{Name: "app", Issuer: origin, ClientID: "clerk-credential-helper", Companion: true, Token: "access"}
}

func TestCompanion(t *testing.T) {
	for _, row := range []struct {
		reason string
		pinned bool
		faults sandbox.Faults
		life   time.Duration
	}{
		{"the page names the Clerk instance", false, sandbox.Faults{}, 10 * time.Minute},
		{"the profile names it too", true, sandbox.Faults{}, 10 * time.Minute},
		{"the token's own word on its life", false, sandbox.Faults{OmitExpiresIn: true}, 10 * time.Minute},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, page, p := newCompanion(t, r, true)
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			if row.pinned {
				p.Instance = clerkOf(issuer)
			}
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			first := r.kept[0]
			if first.Email != "ada@acme.dev" || !strings.HasPrefix(first.Subject, "user_") || first.Kind != "jwt" || first.RefreshToken == "" || first.Unproven {
				t.Errorf("tokens %+v", first)
			}
			if left := time.Until(first.ExpiresAt); left > row.life || left < row.life-time.Minute {
				t.Errorf("life %v, want about %v", left, row.life)
			}
			if !strings.Contains(r.page, "You are signed in") || !strings.Contains(r.page, "ada@acme.dev") {
				t.Errorf("page:\n%s", r.page)
			}

			second, err := r.refresh(t, p, first)
			if err != nil || second.Subject != first.Subject || second.Email != first.Email ||
				second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
				t.Fatalf("refresh: %+v, %v", second, err)
			}
			page.EndSession()
			if _, err := r.refresh(t, p, second); !errors.Is(err, ErrGrantEnded) {
				t.Errorf("after the session in the web app has ended: %v", err)
			}
		})
	}
}

// clerkOf returns the sandbox's issuer.
func clerkOf(issuer *sandbox.Server) string {
	var doc struct {
		Issuer string `json:"issuer"`
	}
	w := httptest.NewRecorder()
	issuer.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		return ""
	}
	return doc.Issuer
}

// TestCompanionRevoke: a page without a store would confirm a revocation and forget it, so it is not asked.
func TestCompanionRevoke(t *testing.T) {
	for _, store := range []bool{true, false} {
		r := newRun(t)
		issuer, _, p := newCompanion(t, r, store)
		if err := r.signIn(t, p); err != nil {
			t.Fatal(err)
		}
		err := r.Revoke(t.Context(), p, r.kept[0].RefreshToken)
		if (err == nil) != store {
			t.Errorf("with a store %v: %v", store, err)
		}
		if asked := issuer.Count("/api/cli-auth/revoke"); asked == 1 != store {
			t.Errorf("with a store %v: asked %d times", store, asked)
		}
		if err != nil && !strings.Contains(err.Error(), "the grant ends with the session in the web app") {
			t.Errorf("error %v", err)
		}
		if _, err := r.refresh(t, p, r.kept[0]); errors.Is(err, ErrGrantEnded) != store {
			t.Errorf("with a store %v, refresh: %v", store, err)
		}
	}
}

func TestCompanionRefused(t *testing.T) {
	member := func(name string, value any) sandbox.Faults {
		return sandbox.Faults{Discovery: map[string]any{name: value}}
	}
	about := func(version int, issuer any) sandbox.Faults {
		return member("clerk_companion", map[string]any{"version": version, "clerk_issuer": issuer, "store": true})
	}
	for _, row := range []struct {
		reason string
		faults sandbox.Faults
		pin    string
		want   string
	}{
		{"another app's metadata", member("issuer", "https://evil.example"), "", `calls itself "https://evil.example"`},
		{"an issuer that is no companion page", member("clerk_companion", nil), "", "not a companion page"},
		{"a version from the future", about(2, "https://clerk.acme.dev"), "", "not a companion page of a version"},
		{"a Clerk issuer over plain http", about(1, "http://clerk.acme.dev"), "", "no https origin"},
		{"a Clerk issuer with a user name", about(1, "https://x@clerk.acme.dev"), "", "no https origin"},
		{"a Clerk issuer that is nothing", about(1, ""), "", "no https origin"},
		{"a Clerk issuer that is not the profile's", sandbox.Faults{}, "https://clerk.acme.dev", "and the profile names"},
		{"keys of another host", member("jwks_uri", "https://evil.example/jwks.json"), "", "jwks_uri"},
		{"no keys", member("jwks_uri", nil), "", "there is no jwks_uri"},
		{"a token endpoint elsewhere", sandbox.Faults{ForeignTokenEndpoint: "https://evil.example/token"}, "", "token_endpoint"},
		{"an authorize page elsewhere", member("authorization_endpoint", "https://evil.example/cli-auth"), "", "authorization_endpoint"},
		{"a revocation endpoint elsewhere", member("revocation_endpoint", "https://evil.example/revoke"), "", "revocation_endpoint"},
		{"no revocation endpoint", member("revocation_endpoint", nil), "", "there is no revocation_endpoint"},
		{"no PKCE", member("code_challenge_methods_supported", []string{"plain"}), "", "PKCE"},
		{"no iss in the callback", sandbox.Faults{OmitResponseIssuer: true}, "", "came back from the issuer"},
		{"no iss, though none was promised", sandbox.Faults{OmitResponseIssuer: true,
			Discovery: map[string]any{"authorization_response_iss_parameter_supported": false}}, "", "came back from the issuer"},
		{"the iss of another", sandbox.Faults{WrongResponseIssuer: true}, "", "came back from the issuer"},
		{"denied", sandbox.Faults{DenyConsent: true}, "", ErrDenied.Error()},
		{"a token of another issuer", sandbox.Faults{WrongIssuer: true}, "", "session token"},
		{"a token for another web app", sandbox.Faults{WrongParty: true}, "", `for the web app "https://elsewhere.example"`},
		{"an access token of OAuth", sandbox.Faults{WrongType: true}, "", "type"},
		{"a bad signature", sandbox.Faults{BadSignature: true}, "", "session token"},
		{"no signature", sandbox.Faults{Unsigned: true}, "", "session token"},
		{"expired", sandbox.Faults{AccessLifetime: -time.Hour, OmitExpiresIn: true}, "", "expired"},
		{"no key set", sandbox.Faults{JWKSDown: true}, "", "keys endpoint"},
		{"no metadata", sandbox.Faults{DiscoveryStatus: 404}, "", "404"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, _, p := newCompanion(t, r, true)
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			p.Instance = row.pin
			err := r.signIn(t, p)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q in it", err, row.want)
			}
			if len(r.kept) != 0 || strings.Contains(r.page, "You are signed in") {
				t.Error("something was kept, or the page says so")
			}
		})
	}
}

// TestCompanionMisfit: a refresh that returns another user's token yields the new refresh token and nothing else.
func TestCompanionMisfit(t *testing.T) {
	for _, row := range []struct {
		reason string
		faults sandbox.Faults
	}{
		{"another person", sandbox.Faults{OtherSubject: true}},
		{"another instance", sandbox.Faults{WrongIssuer: true}},
		{"another web app", sandbox.Faults{WrongParty: true}},
		{"no signature", sandbox.Faults{Unsigned: true}},
	} {
		r := newRun(t)
		issuer, _, p := newCompanion(t, r, true)
		if err := r.signIn(t, p); err != nil {
			t.Fatal(err)
		}
		issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
		tokens, err := r.refresh(t, p, r.kept[0])
		if err == nil || tokens.AccessToken != "" || tokens.RefreshToken == "" {
			t.Errorf("%s: %+v, %v", row.reason, tokens, err)
		}
	}
}

// TestMachineName: what the page would refuse never reaches it.
func TestMachineName(t *testing.T) {
	for _, row := range []struct{ reason, in, want string }{
		{"as it is", "ada's thinkpad (2)", "ada's thinkpad (2)"},
		{"other scripts", "東京-机", "東京-机"},
		{"control characters", "a\r\nb\x1b[2J\x00", "ab[2J"},
		{"characters that turn the line around", "a\u202eb\u2066c", "abc"},
		{"a line separator", "a\u2028b", "ab"},
		{"bytes that are no text", "a\xffb", "a\ufffdb"},
		{"only blanks", " \t ", ""},
		{"65 characters", strings.Repeat("é", 65), strings.Repeat("é", 64)},
	} {
		if got := machineName(row.in); got != row.want {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
	}
}

// newLegacy serves a sandbox and a page of the original kind.
func newLegacy(t *testing.T, r *run) (*sandbox.Server, *config.Profile) {
	issuer, _, p := newCompanion(t, r, true)
	page := p.Issuer + "/original/cli-auth"
	return issuer, &config.Profile{Name: "app", Issuer: clerkOf(issuer), ClientID: page, LegacyPage: page, Token: "access"}
}

func TestLegacyPage(t *testing.T) {
	for _, row := range []struct {
		reason   string
		faults   sandbox.Faults
		unproven bool
		want     string // of the error
	}{
		{"a page that does not know the state", sandbox.Faults{}, true, ""},
		{"a page that sends it back", sandbox.Faults{EchoState: true}, false, ""},
		{"a token of another issuer", sandbox.Faults{EchoState: true, WrongIssuer: true}, false, "the page's token"},
		{"a token for another web app", sandbox.Faults{EchoState: true, WrongParty: true}, false, "for the web app"},
		{"a bad signature", sandbox.Faults{EchoState: true, BadSignature: true}, false, "the page's token"},
		{"no signature", sandbox.Faults{EchoState: true, Unsigned: true}, false, "the page's token"},
		{"an access token of OAuth", sandbox.Faults{EchoState: true, WrongType: true}, false, "type"},
		{"expired", sandbox.Faults{EchoState: true, AccessLifetime: -time.Hour}, false, "expired"},
		{"no key set", sandbox.Faults{JWKSDown: true}, false, "keys endpoint"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newLegacy(t, r)
			asked := issuer.Count("discovery")
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			err := r.signIn(t, p)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || len(r.kept) != 0 {
					t.Errorf("error %v, kept %d", err, len(r.kept))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := r.kept[0]
			if got.Unproven != row.unproven || got.RefreshToken != "" || got.Kind != "jwt" || got.Subject == "" {
				t.Errorf("tokens %+v", got)
			}
			if left := time.Until(got.ExpiresAt); left < 6*24*time.Hour || left > 7*24*time.Hour {
				t.Errorf("life %v", left)
			}
			if issuer.Count("discovery") != asked {
				t.Error("such a page has no metadata to ask for")
			}
			if _, err := r.refresh(t, p, got); err == nil || errors.Is(err, ErrGrantEnded) {
				t.Errorf("refresh: %v", err)
			}
		})
	}
}

// TestLegacyPageJunk: another program that finds the port cannot end the sign-in with a token that is not the page's.
func TestLegacyPageJunk(t *testing.T) {
	for _, row := range []struct {
		reason string
		faults sandbox.Faults
	}{
		{"of another issuer", sandbox.Faults{WrongIssuer: true}},
		{"for another web app", sandbox.Faults{WrongParty: true}},
		{"with a bad signature", sandbox.Faults{BadSignature: true}},
		{"expired", sandbox.Faults{AccessLifetime: -time.Hour}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newLegacy(t, r)
			visits := 0
			err := r.signInWith(t.Context(), p, func(ctx context.Context, i Invitation) error {
				issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
				i.StartURL = i.AuthorizeURL // the start link is good once
				if err := r.browse(ctx, i); err != nil {
					return err
				}
				visits++
				issuer.SetFaults(func(f *sandbox.Faults) { *f = sandbox.Faults{} })
				return r.browse(ctx, i)
			}, func(tokens Tokens) error {
				r.kept = append(r.kept, tokens)
				return nil
			})
			if err != nil || visits != 1 || len(r.kept) != 1 || !r.kept[0].Unproven {
				t.Errorf("%v, kept %+v after %d junk answers", err, r.kept, visits)
			}
		})
	}
}

// TestLegacyPageWrongState: the answer to another sign-in does not end the wait.
func TestLegacyPageWrongState(t *testing.T) {
	r := newRun(t)
	issuer, p := newLegacy(t, r)
	issuer.SetFaults(func(f *sandbox.Faults) { f.WrongState = true })
	r.Timeout = 300 * time.Millisecond
	if err := r.signIn(t, p); !errors.Is(err, ErrTimeout) || strings.Contains(err.Error(), "redirect URI") {
		t.Errorf("error %v", err)
	}
}

// TestLegacyURL: the page gets a port and the state, and nothing else.
func TestLegacyURL(t *testing.T) {
	r := newRun(t)
	_, p := newLegacy(t, r)
	attempt, err := r.Begin(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer attempt.Close()
	u, err := url.Parse(attempt.Invitation().AuthorizeURL)
	if err != nil {
		t.Fatal(err)
	}
	state := u.Query().Get("state")
	want := p.LegacyPage + "?port=" + strings.TrimSuffix(strings.TrimPrefix(attempt.Invitation().RedirectURI, "http://127.0.0.1:"), "/callback") + "&state=" + state
	if u.String() != want || len(state) != 43 {
		t.Errorf("%v, not %s", u, want)
	}
}

// TestCompanionCheck: a token that the user got elsewhere is checked like one from the page.
func TestCompanionCheck(t *testing.T) {
	for _, row := range []struct {
		reason string
		faults sandbox.Faults
		want   error
	}{
		{"made for this web app", sandbox.Faults{}, nil},
		{"made for another web app", sandbox.Faults{WrongParty: true}, ErrRefused},
		{"of another instance", sandbox.Faults{WrongIssuer: true}, ErrRefused},
	} {
		r := newRun(t)
		issuer, _, p := newCompanion(t, r, true)
		issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
		w := httptest.NewRecorder()
		issuer.Companion(p.Issuer, true).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/original/cli-auth?port=1", nil))
		at, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.CheckToken(t.Context(), p, at.Query().Get("token")); !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}
