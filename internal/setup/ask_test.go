package setup

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/testworld"
)

// TestSilentIssuer: who takes the connection and says nothing holds setup for one limit, not for two.
func TestSilentIssuer(t *testing.T) {
	testworld.Long(t, "the limit is waited for")
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var words bytes.Buffer
	s := &Setup{
		Console: &console.Console{In: strings.NewReader(""), Out: &words, Err: &words, Getenv: func(string) string { return "" }},
		Probe: func(ctx context.Context, p *config.Profile) error {
			_, err := (&clerk.Client{}).ProbeIssuer(ctx, p)
			return err
		},
	}
	begun := time.Now()
	companion, reached := s.whatIs(t.Context(), `issuer = "http://`+listener.Addr().String()+`"`)
	took := time.Since(begun)
	if companion || reached || took < reachTime || took > 2*reachTime {
		t.Errorf("companion %v, reached %v, after %v", companion, reached, took)
	}
	if got := words.String(); !strings.Contains(got, "now: no answer came within 5s\nhint: clerk-credential-helper doctor") {
		t.Errorf("the words are\n%s", got)
	}
	words.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, reached := s.whatIs(ctx, `issuer = "http://`+listener.Addr().String()+`"`); reached || words.Len() > 0 {
		t.Errorf("cancelled: reached %v, %s", reached, words.String())
	}
}
