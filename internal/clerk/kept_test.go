package clerk

import (
	"context"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/platform/platformtest"
)

// TestKeptMetadata: metadata is asked for once a day, and what is kept is used for as long as the issuer returns none.
func TestKeptMetadata(t *testing.T) {
	for _, row := range []struct {
		reason string
		spoil  func(*platformtest.Memory, string) // of what is kept
		age    time.Duration
		faults sandbox.Faults
		asked  int
		ok     bool
	}{
		{"fresh", nil, time.Hour, sandbox.Faults{}, 0, true},
		{"fresh, and discovery is down", nil, time.Hour, sandbox.Faults{DiscoveryStatus: 503}, 0, true},
		{"a day old", nil, 24 * time.Hour, sandbox.Faults{}, 1, true},
		{"a day old, and discovery is down", nil, 24 * time.Hour, sandbox.Faults{DiscoveryStatus: 503}, 1, true},
		{"from the future", nil, -time.Hour, sandbox.Faults{}, 1, true},
		{"a day old, and the issuer has another name now", nil, 24 * time.Hour, sandbox.Faults{Discovery: map[string]any{"issuer": "https://evil.example"}}, 1, false},
		{"a day old, and the token endpoint is elsewhere now", nil, 24 * time.Hour, sandbox.Faults{ForeignTokenEndpoint: "https://evil.example/token"}, 1, false},
		{"gone", replace("", ""), time.Hour, sandbox.Faults{}, 1, true},
		{"no JSON", replace("{", "["), time.Hour, sandbox.Faults{}, 1, true},
		{"another issuer", replace(`"issuer":"http`, `"issuer":"ftp`), time.Hour, sandbox.Faults{}, 1, true},
		{"a token endpoint of another origin", replace(`"token_endpoint":"http://127.0.0.1`, `"token_endpoint":"http://127.0.0.2`), time.Hour, sandbox.Faults{}, 1, true},
		{"a revocation endpoint of another origin", replace(`"revocation_endpoint":"http://127.0.0.1`, `"revocation_endpoint":"http://127.0.0.2`), time.Hour, sandbox.Faults{}, 1, true},
		{"the endpoint has moved", replace(`/oauth/token"`, `/old/token"`), time.Hour, sandbox.Faults{}, 0, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			kept := &platformtest.Memory{}
			r.Documents = kept
			issuer, p := newSandbox(t, r, sandbox.Options{})
			if err := r.signIn(t, p); err != nil {
				t.Fatal(err)
			}
			if row.spoil != nil {
				row.spoil(kept, keptName(p))
			}
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			later := time.Now().Add(row.age)
			r.Client = &Client{Documents: kept, Trace: r.Trace, UserAgent: r.UserAgent, Now: func() time.Time { return later }}
			before := issuer.Count("discovery")
			fresh, err := r.refresh(t, p, r.kept[0])
			if asked := issuer.Count("discovery") - before; (err == nil) != row.ok || asked != row.asked {
				t.Fatalf("got %v after %d requests for metadata", err, asked)
			}
			if !row.ok {
				issuer.SetFaults(func(f *sandbox.Faults) { *f = sandbox.Faults{} })
				if fresh, err = r.refresh(t, p, r.kept[0]); err != nil {
					t.Errorf("the next one: %v", err)
				}
			}
			if err := r.Revoke(t.Context(), p, fresh.RefreshToken); err != nil {
				t.Errorf("revoked: %v", err)
			}
		})
	}
}

// replace changes what is kept; with two empty texts it is removed.
func replace(old, other string) func(*platformtest.Memory, string) {
	return func(kept *platformtest.Memory, name string) {
		ctx := context.Background()
		text, err := kept.Get(ctx, name)
		if err != nil || !strings.Contains(text, old) {
			panic("nothing of the kind is kept")
		}
		if old == "" {
			kept.Delete(ctx, name)
			return
		}
		kept.Set(ctx, name, strings.Replace(text, old, other, 1))
	}
}
