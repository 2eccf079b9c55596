package clerk

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clerk-credential-helper/internal/config"
)

// TestSlowIssuer: an issuer that takes a connection and says nothing. The user hears of it after 2 s, and what they wait for
// before they are asked is given up after 20. The clock is synctest's.
func TestSlowIssuer(t *testing.T) {
	p := &config.Profile{Name: "acme", Issuer: "https://clerk.acme.dev", ClientID: "client", Token: "access", Scopes: []string{"openid"}}
	for _, row := range []struct {
		reason string
		silent string // the path that is not answered
		call   func(context.Context, *Client) error
		want   time.Duration
		told   bool
	}{
		{"metadata", "/.well-known/openid-configuration", func(ctx context.Context, c *Client) error {
			_, err := c.Begin(ctx, p)
			return err
		}, documentTime, true},
		{"keys", "/jwks", func(ctx context.Context, c *Client) error {
			_, err := c.Begin(ctx, p)
			return err
		}, documentTime, true},
		{"a revocation whose caller waits for 15 s", "/revoke", func(ctx context.Context, c *Client) error {
			limited, cancel := context.WithTimeout(ctx, 15*time.Second)
			defer cancel()
			return c.Revoke(limited, p, "refresh-token")
		}, 15 * time.Second, true},
		{"a refresh", "/token", func(ctx context.Context, c *Client) error {
			_, err := c.Refresh(ctx, p, Tokens{Subject: "user_1", RefreshToken: "refresh-token"})
			return err
		}, tokenTime, true},
		{"a caller that waits for less than 2 s", "/revoke", func(ctx context.Context, c *Client) error {
			limited, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return c.Revoke(limited, p, "refresh-token")
		}, time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			answers := map[string]string{
				"/.well-known/openid-configuration": `{"issuer":"https://clerk.acme.dev","authorization_endpoint":"https://clerk.acme.dev/authorize",
					"token_endpoint":"https://clerk.acme.dev/token","revocation_endpoint":"https://clerk.acme.dev/revoke",
					"jwks_uri":"https://clerk.acme.dev/jwks","code_challenge_methods_supported":["S256"]}`,
			}
			began := time.Now()
			var told []string
			c := &Client{Tell: func(text string) {
				if at := time.Since(began); at != slowAfter {
					t.Errorf("%s: told after %v", row.reason, at)
				}
				told = append(told, text)
			}, Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				if body := answers[req.URL.Path]; body != "" && req.URL.Path != row.silent {
					return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
				}
				<-req.Context().Done()
				return nil, req.Context().Err()
			})}
			err := row.call(t.Context(), c)
			synctest.Wait() // for what a timer says
			if took := time.Since(began); !errors.Is(err, errLate) || took != row.want {
				t.Errorf("%s: %v after %v, want %v", row.reason, err, took, row.want)
			}
			if strings.Contains(err.Error(), "deadline exceeded") {
				t.Errorf("%s: %v", row.reason, err)
			}
			want := []string{"Waiting for clerk.acme.dev to answer ..."}
			if !row.told {
				want = nil
			}
			if !slices.Equal(told, want) {
				t.Errorf("%s: told %q", row.reason, told)
			}
		})
	}
}
