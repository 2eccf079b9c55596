package loopback

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clerk-credential-helper/internal/testworld"
)

const (
	testState     = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmE"
	testCode      = "code-1234567890"
	testAuthorize = "https://clerk.acme.dev/oauth/authorize?state=" + testState
)

// good is the query of the genuine callback.
const good = "code=" + testCode + "&state=" + testState

// begin returns a listener that waits for the genuine callback, and its start URL.
func begin(t *testing.T) (*Listener, string) {
	t.Helper()
	l, err := Listen(t.Context(), Page{Profile: "acme", Hostname: "<thinkpad>"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	start, err := l.Begin(testState, testAuthorize)
	if err != nil {
		t.Fatal(err)
	}
	return l, start
}

// browser is a client that follows no redirect and keeps no connection from one test to the next.
func browser(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get makes a GET request and returns the response with its body read.
func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// mustStillWork sends the genuine callback and checks that it is the one that ends the wait.
func mustStillWork(t *testing.T, l *Listener) {
	t.Helper()
	select {
	case callback := <-l.callback:
		t.Fatalf("a bad hit ended the wait: %+v", callback)
	default:
	}
	resp, _ := get(t, browser(t), l.RedirectURI()+"?"+good)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/done" {
		t.Fatalf("the genuine callback got %d to %q, want 303 to /done", resp.StatusCode, resp.Header.Get("Location"))
	}
	callback, err := l.Wait(t.Context())
	if err != nil || callback.Code != testCode {
		t.Fatalf("Wait = %+v, %v", callback, err)
	}
}

func TestSignIn(t *testing.T) {
	l, start := begin(t)
	client := browser(t)

	resp, _ := get(t, client, start)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != testAuthorize {
		t.Fatalf("start got %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	resp, _ = get(t, client, l.RedirectURI()+"?"+good+"&iss=https%3A%2F%2Fclerk.acme.dev")
	if resp.Header.Get("Location") != "/done" {
		t.Fatalf("callback leads to %q", resp.Header.Get("Location"))
	}
	callback, err := l.Wait(t.Context())
	want := Callback{Code: testCode, Issuer: "https://clerk.acme.dev"}
	if err != nil || callback != want {
		t.Fatalf("Wait = %+v, %v; want %+v", callback, err, want)
	}

	pages := make(chan string, 1)
	go func() {
		resp, err := client.Get("http://" + l.host + "/done")
		if err != nil {
			pages <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		pages <- string(body)
	}()
	// The page must not come before Finish: the request that waits is seen in waiters.
	for len(l.waiters) == 0 {
		select {
		case page := <-pages:
			t.Fatalf("/done answered before Finish:\n%s", page)
		case <-time.After(time.Millisecond):
		}
	}
	l.Finish(t.Context(), Result{Ending: SignedIn, Account: "ada@acme.dev"})
	select {
	case <-l.served:
	default:
		t.Error("Finish returned before the page had been fetched")
	}
	l.Close() // as the process does, at once
	page := <-pages
	for _, want := range []string{"You are signed in", "ada@acme.dev", "acme", "&lt;thinkpad&gt;", "</html>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestErrorCallback(t *testing.T) {
	l, _ := begin(t)
	client := browser(t)
	resp, _ := get(t, client, l.RedirectURI()+"?error=access_denied&error_description=%3Cscript%3E&state="+testState)
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", resp.StatusCode)
	}
	callback, err := l.Wait(t.Context())
	if err != nil || callback.Error != "access_denied" || callback.ErrorDescription != "<script>" {
		t.Fatalf("Wait = %+v, %v", callback, err)
	}
	go l.Finish(t.Context(), Result{Ending: Denied})
	_, page := get(t, client, "http://"+l.host+"/done")
	if !strings.Contains(page, "Sign-in declined") {
		t.Errorf("page:\n%s", page)
	}
	if strings.Contains(page, "script") || strings.Contains(page, "access_denied") {
		t.Errorf("the page shows text of the callback:\n%s", page)
	}
}

// TestBadHits sends one wrong request each: it must be refused, and the genuine callback must still be taken.
func TestBadHits(t *testing.T) {
	tests := []struct {
		method, target, host string
		status               int
		reason               string
	}{
		{"GET", "/callback", "", 400, "no parameters at all"},
		{"GET", "/callback?code=x", "", 400, "no state"},
		{"GET", "/callback?code=x&state=", "", 400, "an empty state"},
		{"GET", "/callback?code=x&state=wrong", "", 400, "another state"},
		{"GET", "/callback?code=x&state=" + testState[1:], "", 400, "a part of the state"},
		{"GET", "/callback?code=x&state=" + testState + "x", "", 400, "more than the state"},
		{"GET", "/callback?code=x&STATE=" + testState, "", 400, "names of parameters have a case"},
		{"GET", "/callback?" + good + "&state=" + testState, "", 400, "the state twice"},
		{"GET", "/callback?" + good + "&state=wrong", "", 400, "two states, the second wrong"},
		{"GET", "/callback?" + good + "&code=other", "", 400, "two codes"},
		{"GET", "/callback?" + good + "&iss=a&iss=b", "", 400, "two issuers"},
		{"GET", "/callback?" + good + "&x=1&x=2", "", 400, "any parameter twice"},
		{"GET", "/callback?" + good + "&error=access_denied", "", 400, "code and error at once"},
		{"GET", "/callback?state=" + testState, "", 400, "neither code nor error"},
		{"GET", "/callback?code=&state=" + testState, "", 400, "an empty code"},
		{"GET", "/callback?error=access_denied", "", 400, "an error without the state must not end the wait"},
		{"GET", "/callback?error=access_denied&state=wrong", "", 400, "an error with another state"},
		{"GET", "/callback?" + good + ";x=1", "", 400, "a query that cannot be parsed"},
		{"GET", "/callback?" + good + "&x=%zz", "", 400, "a broken escape"},
		{"GET", "/callback?" + good + "&x=" + strings.Repeat("x", maxQueryBytes), "", 400, "a query without end"},
		{"GET", "/callback?" + good, "localhost:PORT", 400, "localhost is another name"},
		{"GET", "/callback?" + good, "evil.example:PORT", 400, "DNS rebinding"},
		{"GET", "/callback?" + good, "127.0.0.1", 400, "no port"},
		{"GET", "/callback?" + good, "127.0.0.1:1", 400, "another port"},
		{"GET", "/callback?" + good, "127.0.0.1.:PORT", 400, "a trailing dot"},
		{"GET", "/callback?" + good, "user@127.0.0.1:PORT", 400, "user information in Host"},
		{"GET", "/callback/?" + good, "", 404, "a longer path"},
		{"GET", "//callback?" + good, "", 404, "an unclean path"},
		{"GET", "/Callback?" + good, "", 404, "paths have a case"},
		{"GET", "/?" + good, "", 404, "the root"},
		{"GET", "/favicon.ico", "", 404, "browsers ask for it first"},
		{"GET", "/done", "", 404, "nothing is done yet"},
		{"GET", "/start/", "", 404, "no start token"},
		{"GET", "/start/wrong", "", 404, "a wrong start token"},
		{"POST", "/callback?" + good, "", 405, "POST"},
		{"HEAD", "/callback?" + good, "", 405, "HEAD"},
		{"PUT", "/callback?" + good, "", 405, "PUT"},
		{"OPTIONS", "/callback?" + good, "", 405, "a preflight"},
		{"TRACE", "/callback?" + good, "", 405, "TRACE"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			l, _ := begin(t)
			port := l.host[strings.LastIndex(l.host, ":")+1:]
			req, err := http.NewRequest(test.method, "http://"+l.host+test.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = strings.ReplaceAll(test.host, "PORT", port)
			if strings.Contains(test.host, "@") {
				// The client would drop the user; write it by hand.
				if status := raw(t, l, "GET "+test.target+" HTTP/1.1\r\nHost: "+req.Host+"\r\n\r\n"); status != test.status {
					t.Errorf("status %d, want %d", status, test.status)
				}
				mustStillWork(t, l)
				return
			}
			resp, err := browser(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != test.status {
				t.Errorf("status %d, want %d", resp.StatusCode, test.status)
			}
			checkHeaders(t, resp.Header)
			for _, word := range []string{testState, testCode, "evil", "wrong"} {
				if strings.Contains(string(body), word) {
					t.Errorf("the answer reflects %q", word)
				}
			}
			mustStillWork(t, l)
		})
	}
}

// raw writes bytes to the listener and returns the status of the answer, 0 if there is none.
func raw(t *testing.T, l *Listener, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp4", l.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, request) // the server may have closed already; the answer tells
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestRawHits(t *testing.T) {
	tests := []struct{ request, reason string }{
		{"", "a connection that is closed without a request"},
		{"GET /callback?" + good + " HTTP/1.0\r\n\r\n", "HTTP/1.0 without Host"},
		{"GET http://evil.example/callback?" + good + " HTTP/1.1\r\nHost: HOST\r\n\r\n", "an absolute target of another host"},
		{"GET /callback?" + good + " HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n", "two Hosts"},
		{"GET /callback?" + good + " HTTP/1.1\r\nHost: HOST\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n", "a header over the limit"},
		{"OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n", "the asterisk form"},
		{"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: HOST\r\n\r\n", "CONNECT"},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "TLS on a plain port"},
		{"POST /callback?" + good + " HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100000\r\n\r\nx", "a body that never comes"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			l, _ := begin(t)
			if test.request == "" {
				conn, err := net.Dial("tcp4", l.host)
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			} else if status := raw(t, l, strings.ReplaceAll(test.request, "HOST", l.host)); status/100 == 2 || status/100 == 3 {
				t.Errorf("status %d", status)
			}
			mustStillWork(t, l)
		})
	}
}

// TestSecondSuccessIsNotTaken: pages send twice, and scanners of addresses are there before the browser. The person sees
// how the sign-in ends all the same, and the first answer is the one that counts.
func TestSecondSuccessIsNotTaken(t *testing.T) {
	l, _ := begin(t)
	mustStillWork(t, l)
	for _, query := range []string{good, "code=other&state=" + testState} {
		resp, _ := get(t, browser(t), l.RedirectURI()+"?"+query)
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/done" {
			t.Errorf("%s got %d to %q", query, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	for _, query := range []string{"state=" + testState, good + "&code=other", "code=other&state=wrong", "code=other", "token=a.b.c"} {
		resp, body := get(t, browser(t), l.RedirectURI()+"?"+query)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s got %d, want 400", query, resp.StatusCode)
		}
		for _, want := range []string{`<html lang="en">`, "<title>Bad Request</title>"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s got a page without %s", query, want)
			}
		}
	}
	select {
	case callback := <-l.callback:
		t.Errorf("a second callback was taken: %+v", callback)
	default:
	}
}

func TestStartIsGoodForOneBrowser(t *testing.T) {
	l, start := begin(t)
	client := browser(t)
	// A HEAD, as link checkers send it, does not spend it.
	if resp, err := client.Head(start); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Fatalf("HEAD: %v, %v", resp, err)
	}
	first, _ := get(t, client, start)
	if first.StatusCode != http.StatusSeeOther {
		t.Fatalf("first GET: %d", first.StatusCode)
	}
	resp, page := get(t, client, start)
	if resp.StatusCode != http.StatusGone || resp.Header.Get("Location") != "" || !strings.Contains(page, "already used") {
		t.Errorf("another browser: %d, %q", resp.StatusCode, page)
	}
	if resp := visitStart(t, start, first.Cookies()...); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != testAuthorize {
		t.Errorf("the same browser: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	mustStillWork(t, l)
	if err := l.Err(); err != nil {
		t.Error(err)
	}
}

// visitStart is a GET of the start link with cookies.
func visitStart(t *testing.T, start string, cookies ...*http.Cookie) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, start, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cookies {
		if c.Path != "" && c.Path != req.URL.Path || !c.HttpOnly && c.Path != "" {
			t.Errorf("the cookie %v is for other pages, or for scripts", c)
		}
		req.AddCookie(c)
	}
	resp, err := browser(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

// TestPrefetch: a browser that loads the page before the person wants it neither sees where it leads nor uses it up.
func TestPrefetch(t *testing.T) {
	for _, header := range [][2]string{
		{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"Sec-Purpose", "prefetch;anonymous-client-ip"},
		{"Purpose", "prefetch"}, {"X-Purpose", "preview"}, {"X-Moz", "prefetch"},
	} {
		l, start := begin(t)
		for range 2 {
			req, err := http.NewRequest(http.MethodGet, start, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(header[0], header[1])
			resp, err := browser(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Location") != "" || len(resp.Cookies()) > 0 {
				t.Errorf("%q: %s to %q", header, resp.Status, resp.Header.Get("Location"))
			}
		}
		if resp, _ := get(t, browser(t), start); resp.StatusCode != http.StatusSeeOther {
			t.Errorf("%q: then the person got %s", header, resp.Status)
		}
		mustStillWork(t, l)
	}
}

// TestPrefetchedCallback: a browser that loads the callback, or the page behind it, before the person wants it would have the
// answer, and the person an error.
func TestPrefetchedCallback(t *testing.T) {
	l, _ := begin(t)
	prefetch := func(target string) int {
		req, err := http.NewRequest(http.MethodGet, "http://"+l.host+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Purpose", "prefetch;prerender")
		resp, err := browser(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := prefetch("/callback?" + good); status != http.StatusServiceUnavailable {
		t.Errorf("the callback: %d", status)
	}
	mustStillWork(t, l)
	go l.Finish(t.Context(), Result{Ending: SignedIn})
	<-l.decided
	if status := prefetch("/done"); status != http.StatusServiceUnavailable {
		t.Errorf("the last page: %d", status)
	}
	select {
	case <-l.served:
		t.Error("the last page counts as seen")
	default:
	}
	if _, page := get(t, browser(t), "http://"+l.host+"/done"); !strings.Contains(page, "You are signed in") {
		t.Errorf("then the person sees %s", page)
	}
}

// TestOverTLS: a browser that uses nothing but https is noticed, and changes nothing.
func TestOverTLS(t *testing.T) {
	own := func(own bool) func(_, _ netip.AddrPort) (bool, bool) {
		return func(_, _ netip.AddrPort) (bool, bool) { return own, true }
	}
	for _, row := range []struct {
		reason string
		peer   func(_, _ netip.AddrPort) (own, certain bool)
		hit    func(t *testing.T, l *Listener)
		want   bool
	}{
		{"a browser that insists on https", nil, overTLS, true},
		{"the same, certainly of this user", own(true), overTLS, true},
		{"the same, twice", nil, func(t *testing.T, l *Listener) { overTLS(t, l); overTLS(t, l) }, true},
		{"another user's", own(false), overTLS, false},
		{"http", nil, func(t *testing.T, l *Listener) { raw(t, l, "GET / HTTP/1.1\r\nHost: "+l.host+"\r\n\r\n") }, false},
		{"the byte, but not first", nil, func(t *testing.T, l *Listener) { raw(t, l, "G\x16 / HTTP/1.1\r\n\r\n") }, false},
		{"a connection without a byte", nil, func(t *testing.T, l *Listener) {
			conn, err := net.Dial("tcp4", l.host)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}, false},
	} {
		t.Run(row.reason, func(t *testing.T) {
			l, err := Listen(t.Context(), Page{Profile: "acme"}, row.peer)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if _, err := l.Begin(testState, testAuthorize); err != nil {
				t.Fatal(err)
			}
			row.hit(t, l)
			got := false
			select {
			case <-l.OverTLS():
				got = true
			default:
			}
			if got != row.want {
				t.Errorf("OverTLS is %v, want %v", got, row.want)
			}
			mustStillWork(t, l)
		})
	}
}

// overTLS speaks TLS to the listener, which does not.
func overTLS(t *testing.T, l *Listener) {
	t.Helper()
	if conn, err := tls.Dial("tcp4", l.host, &tls.Config{InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("the listener speaks TLS")
	}
}

// TestVisited: only the user's browser counts, and only for the start link.
func TestVisited(t *testing.T) {
	l, start := begin(t)
	visited := func() bool {
		select {
		case <-l.Visited():
			return true
		default:
			return false
		}
	}
	client := browser(t)
	if _, err := client.Head(start); err != nil {
		t.Fatal(err)
	}
	get(t, client, "http://"+l.host+"/start/x")
	get(t, client, "http://"+l.host+"/callback?code=x&state=wrong")
	if visited() {
		t.Error("visited before the link was used")
	}
	get(t, client, start)
	if !visited() {
		t.Error("not visited by a GET")
	}
	get(t, client, start) // another one closes nothing twice
	mustStillWork(t, l)
}

// TestSecondVisitor: where the system does not say whose a connection is, two visitors are one too many.
func TestSecondVisitor(t *testing.T) {
	for _, row := range []struct {
		reason  string
		arrived bool // whether the first has signed in already
		cookies func(first []*http.Cookie) []*http.Cookie
		taken   bool
	}{
		{"a browser that reloads", false, func(first []*http.Cookie) []*http.Cookie { return first }, false},
		{"a browser that reloads at the end", true, func(first []*http.Cookie) []*http.Cookie { return first }, false},
		{"another browser", false, func([]*http.Cookie) []*http.Cookie { return nil }, true},
		{"another browser, too late", true, func([]*http.Cookie) []*http.Cookie { return nil }, true},
		{"a cookie that is made up", false, func([]*http.Cookie) []*http.Cookie {
			return []*http.Cookie{{Name: startCookie, Value: "AAAAAAAAAAAAAAAAAAAAAAAAAA"}}
		}, true},
		{"an empty cookie", false, func([]*http.Cookie) []*http.Cookie { return []*http.Cookie{{Name: startCookie}} }, true},
		{"another cookie with the value", false, func(first []*http.Cookie) []*http.Cookie {
			return []*http.Cookie{{Name: "another", Value: first[0].Value}}
		}, true},
	} {
		t.Run(row.reason, func(t *testing.T) {
			l, err := Listen(t.Context(), Page{Profile: "acme"}, func(_, _ netip.AddrPort) (own, certain bool) { return true, false })
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			start, err := l.Begin(testState, testAuthorize)
			if err != nil {
				t.Fatal(err)
			}
			first := visitStart(t, start)
			if first.StatusCode != http.StatusSeeOther || len(first.Cookies()) != 1 {
				t.Fatalf("the first: %s, %v", first.Status, first.Cookies())
			}
			if row.arrived {
				mustStillWork(t, l)
			}
			second := visitStart(t, start, row.cookies(first.Cookies())...)
			if !row.taken {
				if second.StatusCode != http.StatusSeeOther || l.Err() != nil {
					t.Errorf("%s, %v", second.Status, l.Err())
				}
				if !row.arrived {
					mustStillWork(t, l)
				}
				return
			}
			if second.StatusCode != http.StatusGone || second.Header.Get("Location") != "" {
				t.Errorf("the second: %s to %q", second.Status, second.Header.Get("Location"))
			}
			if _, err := l.Wait(t.Context()); !errors.Is(err, ErrTaken) || !errors.Is(l.Err(), ErrTaken) {
				t.Errorf("Wait = %v, Err = %v", err, l.Err())
			}
			resp, page := get(t, browser(t), l.RedirectURI()+"?"+good)
			if resp.StatusCode != http.StatusGone || resp.Header.Get("Location") != "" || !strings.Contains(page, "opened twice") {
				t.Errorf("the callback of the first: %s", resp.Status)
			}
			if err := l.Paste(l.RedirectURI() + "?" + good); !errors.Is(err, ErrTaken) {
				t.Errorf("Paste = %v", err)
			}
			if third := visitStart(t, start, first.Cookies()...); third.StatusCode != http.StatusGone {
				t.Errorf("the first again: %s", third.Status)
			}
		})
	}
}

func TestBegin(t *testing.T) {
	l, err := Listen(t.Context(), Page{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// Before Begin there is no state, and an empty one must not equal it.
	for _, target := range []string{"/callback?code=x&state=", "/callback?code=x", "/start/"} {
		if resp, _ := get(t, browser(t), "http://"+l.host+target); resp.StatusCode/100 != 4 {
			t.Errorf("%s before Begin: %d", target, resp.StatusCode)
		}
	}
	if _, err := l.Begin("", testAuthorize); err == nil {
		t.Error("an empty state was accepted")
	}
	if _, err := l.Begin("one", testAuthorize); err != nil {
		t.Error(err)
	}
	if _, err := l.Begin("two", testAuthorize); err == nil {
		t.Error("a second Begin was accepted")
	}
}

func TestWaitEnds(t *testing.T) {
	l, _ := begin(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := l.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("Wait = %v, want the cause of the context's end", err)
	}
	began := time.Now()
	l.Finish(t.Context(), Result{})
	if took := time.Since(began); took > finishTime/2 {
		t.Errorf("Finish waited %v for a browser that never came", took)
	}
	l.Close()
	if _, err := l.Wait(t.Context()); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Wait on a closed listener = %v", err)
	}
}

func TestFinishDoesNotWaitLong(t *testing.T) {
	testworld.Long(t, "it waits for the whole of finishTime")
	l, _ := begin(t)
	mustStillWork(t, l)
	began := time.Now()
	l.Finish(t.Context(), Result{Ending: SignedIn}) // /done is not fetched
	if took := time.Since(began); took < finishTime || took > 10*finishTime {
		t.Errorf("Finish took %v, want %v", took, finishTime)
	}
	// Only the first result counts.
	ended, end := context.WithCancel(t.Context())
	end()
	l.Finish(ended, Result{Ending: Failed})
	if _, page := get(t, browser(t), "http://"+l.host+"/done"); !strings.Contains(page, "You are signed in") {
		t.Errorf("page:\n%s", page)
	}
}

// TestDoneWaiters fills /done with strangers: no more than maxDoneWaiters may wait.
func TestDoneWaiters(t *testing.T) {
	l, _ := begin(t)
	mustStillWork(t, l)
	var group sync.WaitGroup
	statuses := make(chan int, 4*maxDoneWaiters)
	for range cap(statuses) {
		group.Go(func() { statuses <- raw(t, l, "GET /done HTTP/1.1\r\nHost: "+l.host+"\r\n\r\n") })
	}
	for range cap(statuses) - maxDoneWaiters {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", status)
		}
	}
	l.Finish(t.Context(), Result{Ending: SignedIn})
	group.Wait()
	for range maxDoneWaiters {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("status %d, want 200", status)
		}
	}
}

// TestJunk sends 10,000 bad requests in parallel, while 200 connections send nothing and 200 a header without end. The
// genuine callback must be taken in the middle of it.
func TestJunk(t *testing.T) {
	l, start := begin(t)
	stop := make(chan struct{})
	var slow sync.WaitGroup
	for i := range 400 {
		conn, err := net.Dial("tcp4", l.host)
		if err != nil {
			t.Fatal(err)
		}
		slow.Go(func() {
			defer conn.Close()
			if i%2 == 0 {
				<-stop
				return
			}
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+l.host+"\r\n")
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				if _, err := io.WriteString(conn, "X-Junk: x\r\n"); err != nil {
					return // thrown out, as it should be
				}
			}
		})
	}

	const clients = 100
	var junk sync.WaitGroup
	var late atomic.Int64
	queue := make(chan int)
	for range clients {
		junk.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
			for n := range queue {
				began := time.Now()
				resp, err := client.Get(fmt.Sprintf("%s?error=access_denied&state=%d", l.RedirectURI(), n))
				if err != nil {
					// Where the machine stood still between the connection and the request, it was thrown out like the slow.
					if took := time.Since(began); took < requestTime || late.Add(1) > clients {
						t.Errorf("junk %d, after %v: %v", n, took, err)
					}
					continue
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusBadRequest {
					t.Errorf("junk %d got %d", n, resp.StatusCode)
				}
			}
		})
	}
	for n := range 10_000 {
		if n == 5000 {
			began := time.Now()
			if resp, _ := get(t, browser(t), start); resp.StatusCode != http.StatusSeeOther {
				t.Errorf("start got %d", resp.StatusCode)
			}
			mustStillWork(t, l)
			t.Logf("start and callback took %v", time.Since(began))
		}
		queue <- n
	}
	close(queue)
	junk.Wait()
	close(stop)
	slow.Wait()
}

// TestSlowConnectionsEnd holds every place with connections that bring no request: they must be thrown out.
func TestSlowConnectionsEnd(t *testing.T) {
	testworld.Long(t, "slow connections are waited for")
	l, _ := begin(t)
	for range maxConns {
		conn, err := net.Dial("tcp4", l.host)
		if err != nil {
			t.Skipf("not enough files for %d connections: %v", maxConns, err)
		}
		defer conn.Close()
	}
	began := time.Now()
	mustStillWork(t, l)
	t.Logf("the genuine callback waited %v", time.Since(began))
}

func checkHeaders(t *testing.T, h http.Header) {
	t.Helper()
	want := map[string]string{
		"Cache-Control":          "no-store",
		"Referrer-Policy":        "no-referrer",
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
	}
	for name, value := range want {
		if got := h.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	policy := h.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy is %q", policy)
	}
}

func TestPages(t *testing.T) {
	p, err := newPages(Page{Profile: "acme", Hostname: `<img src=x>"`})
	if err != nil {
		t.Fatal(err)
	}
	titles := map[string]bool{}
	for _, kind := range []pageKind{signedInPage, deniedPage, failedPage, usedPage, takenPage, slowPage} {
		w := httptest.NewRecorder()
		p.setHeaders(w.Header())
		p.write(w, http.StatusOK, kind, "")
		page := w.Body.String()
		checkHeaders(t, w.Header())
		for _, bad := range []string{"<img", "<script", "http:", "https:", "url(", "@import", "style=", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", kind, bad)
			}
		}
		if !strings.Contains(page, "<style>"+pageCSS+"</style>") {
			t.Errorf("%s: the style is not the one whose hash the policy has", kind)
		}
		_, rest, _ := strings.Cut(page, "<title>")
		title, _, _ := strings.Cut(rest, "</title>")
		if titles[title] || !strings.HasSuffix(title, " · acme") {
			t.Errorf("%s: title %q", kind, title)
		}
		titles[title] = true
		if got, want := strings.Contains(page, "You are signed in"), kind == signedInPage; got != want {
			t.Errorf("%s: claims that the user is signed in: %v", kind, got)
		}
	}
}

// FuzzCallback holds that a query is taken only if it has exactly one state, ours, and exactly one of code and error.
func FuzzCallback(f *testing.F) {
	for _, query := range []string{good, good + "&code=x", "error=x&state=" + testState, "state=" + testState, "code=x", good + "&iss=%00", "&&=&" + good} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, rawQuery string) {
		l := &Listener{state: testState}
		callback, err := l.accept(rawQuery)
		if (err == nil) != l.arrived {
			t.Fatalf("accepted with %v but arrived %v", err, l.arrived)
		}
		if err != nil {
			if callback != (Callback{}) {
				t.Fatalf("refused, but it gave %+v", callback)
			}
			return
		}
		if (callback.Code == "") == (callback.Error == "") {
			t.Fatalf("accepted %q as %+v", rawQuery, callback)
		}
		if again, err := l.accept(rawQuery); err == nil {
			t.Fatalf("accepted twice: %+v", again)
		}
		// Written out in canonical form it means the same.
		canonical := url.Values{"state": {testState}}
		for name, value := range map[string]string{"code": callback.Code, "iss": callback.Issuer, "error": callback.Error, "error_description": callback.ErrorDescription} {
			if value != "" {
				canonical.Set(name, value)
			}
		}
		l = &Listener{state: testState}
		if second, err := l.accept(canonical.Encode()); (len(canonical.Encode()) <= maxQueryBytes && err != nil) || (err == nil && second != callback) {
			t.Fatalf("%q became %+v, %+v", rawQuery, callback, second)
		}
	})
}

// TestStartOfAnotherUser: the start link stands in an argument list, which every user of the machine can read. Another
// user's request for it leads nowhere, and does not use it up.
func TestStartOfAnotherUser(t *testing.T) {
	var client netip.AddrPort
	mine := false
	l, err := Listen(t.Context(), Page{Profile: "acme"}, func(_, c netip.AddrPort) (own, certain bool) { client = c; return mine, true })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start, err := l.Begin("state", "https://clerk.acme.dev/oauth/authorize?state=state")
	if err != nil {
		t.Fatal(err)
	}
	get := func() *http.Response {
		t.Helper()
		res, err := http.DefaultTransport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, start, nil))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	if res := get(); res.StatusCode != http.StatusNotFound || res.Header.Get("Location") != "" {
		t.Errorf("another user: %s to %q", res.Status, res.Header.Get("Location"))
	}
	if !client.Addr().IsLoopback() || client.Port() == 0 {
		t.Errorf("the check was asked about %v", client)
	}
	mine = true
	if res := get(); res.Header.Get("Location") == "" {
		t.Errorf("the person: %s", res.Status)
	}
}
