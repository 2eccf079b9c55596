package loopback

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPaste(t *testing.T) {
	const query = good + "&iss=https%3A%2F%2Fclerk.acme.dev"
	for _, row := range []struct{ reason, text string }{
		{"as it is", "http://HOST/callback?" + query},
		{"blanks around it", "  http://HOST/callback?" + query + "\t "},
		{"double quotes", `"http://HOST/callback?` + query + `"`},
		{"single quotes", "'http://HOST/callback?" + query + "'"},
		{"the quotes of a word processor", "\u201chttp://HOST/callback?" + query + "\u201d"},
		{"a message's angle brackets", "<http://HOST/callback?" + query + ">"},
		{"a blank that no one sees", "\u00a0http://HOST/callback?" + query + "\u200b"},
		{"a line end", "http://HOST/callback?" + query + "\r\n"},
		{"a fragment, as some providers add one", "http://HOST/callback?" + query + "#_=_"},
		{"https, as a browser shows it that insists on it", "https://HOST/callback?" + query},
		{"capital letters in the scheme", "HTTPS://HOST/callback?" + query},
		{"no scheme, as address bars show it", "HOST/callback?" + query},
		{"path and query", "/callback?" + query},
		{"the query alone", "?" + query},
		{"the query alone, without its mark", query},
		{"the query alone, in quotes", "'" + query + "'"},
		{"the query alone, and a fragment", "?" + query + "#_=_"},
		{"line ends of a terminal in the query", "http://HOST/callback?" + query[:12] + "\r\n" + query[12:30] + "\n" + query[30:]},
		{"a line end in the host", "http://127.0.0.1\n:PORT/callback?" + query},
		{"line ends with the blanks of a window", "https://HOST/callback?" + query[:12] + "   \r\n   " + query[12:]},
		{"line ends in quotes", "\"http://HOST/callback?" + query[:12] + "\n" + query[12:] + "\"\n"},
		{"other lines behind it", "http://HOST/callback?" + query + "\r\n$ clear\r\n"},
	} {
		l, _ := begin(t)
		if err := l.Paste(l.fill(row.text)); err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		callback, err := l.Wait(t.Context())
		if want := (Callback{Code: testCode, Issuer: "https://clerk.acme.dev"}); err != nil || callback != want {
			t.Errorf("%s: Wait = %+v, %v", row.reason, callback, err)
		}
		// No browser comes for the page at the end.
		began := time.Now()
		l.Finish(t.Context(), Result{Ending: SignedIn})
		if took := time.Since(began); took > finishTime/2 {
			t.Errorf("%s: Finish took %v", row.reason, took)
		}
	}
}

// fill puts the listener's host and port into a text.
func (l *Listener) fill(text string) string {
	port := l.host[strings.LastIndex(l.host, ":")+1:]
	return strings.NewReplacer("HOST", l.host, "PORT", port).Replace(text)
}

// TestPasteRefusal: the genuine refusal ends the sign-in, as it does at the listener.
func TestPasteRefusal(t *testing.T) {
	l, _ := begin(t)
	if err := l.Paste(l.RedirectURI() + "?error=access_denied&state=" + testState); err != nil {
		t.Fatal(err)
	}
	if callback, err := l.Wait(t.Context()); err != nil || callback.Error != "access_denied" {
		t.Errorf("Wait = %+v, %v", callback, err)
	}
}

// TestBadPastes: each is refused in words of our own, and the genuine callback is still taken, from either side.
func TestBadPastes(t *testing.T) {
	const not, other, incomplete, blanks, long = "not the address of the last page", "another sign-in", "not complete", "characters in it", "too long"
	for _, row := range []struct{ reason, text, want string }{
		{"another login's address", "http://HOST/callback?code=x&state=another-state", other},
		{"another login's address, of its own port", "http://127.0.0.1:1/callback?" + good, other},
		{"another login's refusal", "http://HOST/callback?error=access_denied&state=another-state", other},
		{"an error address without the state", "http://HOST/callback?error=access_denied", incomplete},
		{"an error address of a browser", "chrome-error://chromewebdata/", not},
		{"an error and a code", "http://HOST/callback?" + good + "&error=access_denied", incomplete},
		{"the state twice", "http://HOST/callback?" + good + "&state=" + testState, incomplete},
		{"the code twice", "http://HOST/callback?" + good + "&code=y", incomplete},
		{"no code", "http://HOST/callback?state=" + testState, incomplete},
		{"half of it", "http://HOST/callback?code=" + testCode, incomplete},
		{"no query", "http://HOST/callback", not},
		{"the query of another login alone", "code=x&state=another-state", other},
		{"the query of another login alone, with its mark", "?code=x&state=another-state", other},
		{"a query without the state", "?code=" + testCode, incomplete},
		{"a query without a code", "state=" + testState, incomplete},
		{"a mark alone", "?", not},
		{"a query of no sign-in", "a=b", incomplete},
		{"the code alone", testCode, not},
		{"the address to open", testAuthorize, not},
		{"the address of the end", "http://HOST/done", not},
		{"another name of this machine", "http://localhost:PORT/callback?" + good, not},
		{"https of another port", "https://127.0.0.1:1/callback?" + good, other},
		{"https of another path", "https://HOST/start?" + good, not},
		{"https of another state", "https://HOST/callback?code=x&state=another-state", other},
		{"https without a port", "https://127.0.0.1/callback?" + good, not},
		{"another scheme", "ftp://HOST/callback?" + good, not},
		{"another host without a scheme", "evil.example/callback?" + good, not},
		{"another port without a scheme", "127.0.0.1:1/callback?" + good, other},
		{"no scheme, and slashes", "//HOST/callback?" + good, not},
		{"a path that only begins alike", "/callback/x?" + good, not},
		{"half of it, and a line end", "http://HOST/callback?code=" + testCode + "\n", incomplete},
		{"half a state, and other lines", "http://HOST/callback?code=x&state=" + testState[:4] + "\n$ clear", blanks},
		{"line ends in another login's", "http://HOST/callback?code=x&\nstate=another-state", other},
		{"user information", "http://a@HOST/callback?" + good, not},
		{"a host that only begins alike", "http://127.0.0.1:PORT.evil.example/callback?" + good, not},
		{"a longer path", "http://HOST/callback/x?" + good, not},
		{"a broken escape", "http://HOST/callback?" + good + "&x=%zz", incomplete},
		{"a blank inside", "http://HOST/callback?code=x y&state=" + testState, blanks},
		{"an escape sequence", "\x1b[31mhttp://HOST/callback?" + good, blanks},
		{"NUL", "http://HOST/callback?" + good + "\x00x", blanks},
		{"an umlaut", "http://HOST/callback?" + good + "&x=\u00fc", blanks},
		{"bytes that are no text", "\xff\xfe", blanks},
		{"1 MiB", "http://HOST/callback?" + good + "&x=" + strings.Repeat("x", 1<<20), long},
		{"1 MiB of nothing", strings.Repeat(" ", 1<<20), not},
		{"nothing", "", not},
	} {
		l, _ := begin(t)
		err := l.Paste(l.fill(row.text))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.reason, err, row.want)
			continue
		}
		for _, foreign := range []string{testState, testCode, "evil", "chrome", "\x1b"} {
			if strings.Contains(err.Error(), foreign) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: the error holds text of the paste: %q", row.reason, err)
			}
		}
		mustStillWork(t, l)
	}
}

// TestPasteAndListener: the first of both wins, and the other one is not taken.
func TestPasteAndListener(t *testing.T) {
	l, _ := begin(t)
	mustStillWork(t, l)
	if err := l.Paste(l.RedirectURI() + "?" + good); !errors.Is(err, errArrived) {
		t.Errorf("a paste after the callback: %v", err)
	}
	l, _ = begin(t)
	if err := l.Paste(l.RedirectURI() + "?" + good); err != nil {
		t.Fatal(err)
	}
	if resp, _ := get(t, browser(t), l.RedirectURI()+"?"+good); resp.Header.Get("Location") != "/done" {
		t.Errorf("a callback after the paste: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	if _, err := l.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if callback, err := l.Wait(ctx); err == nil {
		t.Errorf("a second callback: %+v", callback)
	}

	early, err := Listen(t.Context(), Page{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if err := early.Paste(early.RedirectURI() + "?code=x&state="); err == nil {
		t.Error("before Begin an empty state was taken")
	}
}
