package clerk

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"testing"

	"clerk-credential-helper/internal/sandbox"
)

// TestTaken: where the system does not say whose a connection is, a start link that two have opened brings no tokens, also
// if the first has signed in by then.
func TestTaken(t *testing.T) {
	visit := func(t *testing.T, start string, follow bool) {
		t.Helper()
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
			if follow {
				return nil
			}
			return http.ErrUseLastResponse
		}}
		resp, err := client.Get(start)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	for _, late := range []bool{false, true} {
		r := newRun(t)
		_, p := newSandbox(t, r, sandbox.Options{Auto: true})
		r.Peer = func(_, _ netip.AddrPort) (own, certain bool) { return true, false }
		a, err := r.Begin(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		start := a.Invitation().StartURL
		if !late {
			visit(t, start, false)
			visit(t, start, false)
			if err := a.Wait(t.Context()); !errors.Is(err, ErrTaken) {
				t.Errorf("Wait = %v", err)
			}
			continue
		}
		ended := make(chan struct{})
		go func() { // it waits on the last page
			defer close(ended)
			visit(t, start, true)
		}()
		if err := a.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		visit(t, start, false)
		tokens, err := a.Redeem(context.WithoutCancel(t.Context()))
		if !errors.Is(err, ErrTaken) || tokens.RefreshToken == "" || !reflect.DeepEqual(tokens, Tokens{RefreshToken: tokens.RefreshToken}) { // to be revoked
			t.Errorf("Redeem = %+v, %v", tokens, err)
		}
		a.Finish(t.Context(), err)
		<-ended
	}
}
