package loopback

import (
	"net/http"
	"testing"
)

// TestBeginToken: a page of the original kind may not know of the state, but one that has another is not ours.
func TestBeginToken(t *testing.T) {
	for _, row := range []struct {
		reason, query string
		want          Callback
		taken         bool
	}{
		{"the state comes back", "token=a.b.c&state=" + testState, Callback{Token: "a.b.c"}, true},
		{"a page that knows of no state", "token=a.b.c", Callback{Token: "a.b.c", Unproven: true}, true},
		{"what else the page says does not matter", "token=a.b.c&code=x&iss=y&error=z", Callback{Token: "a.b.c", Unproven: true}, true},
		{"a token that cannot be the page's", "token=bad", Callback{}, false},
		{"one, from the page itself: its fault is told later", "token=bad&state=" + testState, Callback{Token: "bad"}, true},
		{"another state", "token=a.b.c&state=wrong", Callback{}, false},
		{"an empty state", "token=a.b.c&state=", Callback{}, false},
		{"two states", "token=a.b.c&state=" + testState + "&state=" + testState, Callback{}, false},
		{"two tokens", "token=a.b.c&token=d.e.f", Callback{}, false},
		{"no token", "state=" + testState, Callback{}, false},
		{"an empty token", "token=&state=" + testState, Callback{}, false},
		{"a code instead", good, Callback{}, false},
		{"a refusal, which such a page does not know", "error=access_denied&state=" + testState, Callback{}, false},
		{"nothing", "", Callback{}, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			l, err := Listen(t.Context(), Page{Profile: "acme"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			good := func(token string) bool { return token != "bad" }
			if _, err := l.BeginToken(testState, testAuthorize, good); err != nil {
				t.Fatal(err)
			}
			resp, _ := get(t, browser(t), l.RedirectURI()+"?"+row.query)
			if (resp.StatusCode == http.StatusSeeOther) != row.taken {
				t.Fatalf("status %d", resp.StatusCode)
			}
			if !row.taken { // and the wait goes on
				get(t, browser(t), l.RedirectURI()+"?token=a.b.c&state="+testState)
				row.want = Callback{Token: "a.b.c"}
			}
			if callback, err := l.Wait(t.Context()); err != nil || callback != row.want {
				t.Errorf("Wait = %+v, %v; want %+v", callback, err, row.want)
			}
			// The same once more: a page whose script runs twice sends two tokens, and shows how it ends. What was refused
			// before is refused still.
			resp, _ = get(t, browser(t), l.RedirectURI()+"?"+row.query)
			if (resp.Header.Get("Location") == "/done") != row.taken || len(l.callback) != 0 {
				t.Errorf("once more: status %d, %d callbacks", resp.StatusCode, len(l.callback))
			}
		})
	}
	// A token without the state is nothing to a sign-in that asked for a code.
	l, _ := begin(t)
	if resp, _ := get(t, browser(t), l.RedirectURI()+"?token=a.b.c"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", resp.StatusCode)
	}
	mustStillWork(t, l)
}
