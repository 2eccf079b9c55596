package sandbox

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hidden returns the CSRF token of a page.
func hidden(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="csrf" value="([A-Z0-9]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the page has no CSRF token:", regexp.MustCompile(`(?s)<main>.*</main>`).FindString(page))
	}
	return m[1]
}

// consentPage goes through the sign-in page.
func (c *client) consentPage(email string) string {
	c.t.Helper()
	resp, page := c.get("/oauth/authorize?" + correctParams().Encode())
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("the sign-in page answers %d", resp.StatusCode)
	}
	resp, page = c.form("/sign-in", url.Values{"csrf": {hidden(c.t, page)}, "email": {email}})
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("the consent page answers %d", resp.StatusCode)
	}
	return page
}

func TestPages(t *testing.T) {
	c := newClient(t, Options{Application: "Acme <tool>"})
	resp, page := c.get("/oauth/authorize?" + correctParams().Encode())
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "form-action 'self' http://127.0.0.1:*", "frame-ancestors 'none'", "style-src 'sha256-"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || resp.Header.Get("Cache-Control") != "no-store" ||
		resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("header is %v", resp.Header)
	}
	consent := c.consentPage("grace@acme.dev")
	for _, page := range []string{page, consent} {
		if !strings.Contains(page, "Acme &lt;tool&gt;") {
			t.Error("the application's name is not there, or not escaped")
		}
		for _, no := range []string{"<script", "src=", "href=", "@import", "url(", "style=\""} {
			if strings.Contains(page, no) {
				t.Errorf("a page has %s", no)
			}
		}
	}
	for _, want := range []string{"grace@acme.dev", "127.0.0.1:49152", "Stay signed in", "See your e-mail address"} {
		if !strings.Contains(consent, want) {
			t.Errorf("the consent page lacks %q", want)
		}
	}
}

func TestAllow(t *testing.T) {
	c := newClient(t, Options{})
	page := c.consentPage("grace@acme.dev")
	resp, _ := c.form("/oauth/consent", url.Values{"csrf": {hidden(t, page)}, "decision": {"allow"}})
	a := c.token(correctExchange(c.location(resp).Get("code")))
	if p, err := c.s.Verify(a.AccessToken); err != nil || p.Email != "grace@acme.dev" || p.ID != userID("grace@acme.dev") {
		t.Errorf("signed in as %+v, %v", p, err)
	}

	// Now the browser has a session: consent comes at once, unless the client wants a new sign-in.
	if _, page = c.get("/oauth/authorize?" + correctParams().Encode()); !strings.Contains(page, "/oauth/consent") {
		t.Error("the second authorization does not begin with consent")
	}
	if _, page := c.get("/oauth/authorize?" + with(correctParams(), url.Values{"prompt": {"login"}}).Encode()); !strings.Contains(page, "/sign-in") {
		t.Error("prompt=login does not begin with the sign-in")
	}
	resp, page = c.form("/oauth/consent", url.Values{"csrf": {hidden(t, page)}, "decision": {"switch"}})
	if resp.StatusCode != 200 || !strings.Contains(page, "/sign-in") {
		t.Errorf("switch answers %d", resp.StatusCode)
	}
	_, page = c.form("/sign-in", url.Values{"csrf": {hidden(t, page)}, "email": {"ada@acme.dev"}})
	if !strings.Contains(page, "Ada Lovelace") {
		t.Error("switching the account does not reach the consent page")
	}
}

func TestDeny(t *testing.T) {
	c := newClient(t, Options{})
	resp, _ := c.form("/oauth/consent", url.Values{"csrf": {hidden(t, c.consentPage("ada@acme.dev"))}, "decision": {"deny"}})
	if q := c.location(resp); q.Get("error") != "access_denied" || q.Get("state") != testState || q.Get("iss") != c.base || q.Has("code") {
		t.Errorf("redirects with %v", q)
	}
	c.s.SetFaults(func(f *Faults) { f.DenyConsent = true })
	_, page := c.get("/oauth/authorize?" + correctParams().Encode())
	resp, _ = c.form("/oauth/consent", url.Values{"csrf": {hidden(t, page)}, "decision": {"allow"}})
	if q := c.location(resp); q.Get("error") != "access_denied" {
		t.Errorf("under DenyConsent: %v", q)
	}
	if len(c.s.Issued()) != 0 {
		t.Error("something was issued")
	}
}

func TestPromptNone(t *testing.T) {
	c := newClient(t, Options{})
	ask := func() string {
		resp, _ := c.get("/oauth/authorize?" + with(correctParams(), url.Values{"prompt": {"none"}}).Encode())
		return c.location(resp).Get("error")
	}
	if got := ask(); got != "login_required" {
		t.Errorf("signed out: %q", got)
	}
	c.consentPage("ada@acme.dev")
	if got := ask(); got != "consent_required" {
		t.Errorf("signed in: %q", got)
	}
}

func TestPageAnswersRefused(t *testing.T) {
	c := newClient(t, Options{})
	consent := func() string { return hidden(t, c.consentPage("ada@acme.dev")) }
	signIn := func() string {
		_, page := c.get("/oauth/authorize?" + with(correctParams(), url.Values{"prompt": {"login"}}).Encode())
		return hidden(t, page)
	}
	used := consent()
	c.form("/oauth/consent", url.Values{"csrf": {used}, "decision": {"deny"}})
	rows := []struct {
		reason string
		path   string
		form   url.Values
	}{
		{"no CSRF token", "/oauth/consent", url.Values{"decision": {"allow"}}},
		{"a guessed CSRF token", "/oauth/consent", url.Values{"csrf": {"AAAA"}, "decision": {"allow"}}},
		{"a used CSRF token", "/oauth/consent", url.Values{"csrf": {used}, "decision": {"allow"}}},
		{"no decision", "/oauth/consent", url.Values{"csrf": {consent()}}},
		{"another decision", "/oauth/consent", url.Values{"csrf": {consent()}, "decision": {"yes"}}},
		{"consent before the sign-in", "/oauth/consent", url.Values{"csrf": {signIn()}, "decision": {"allow"}}},
		{"no CSRF token at the sign-in", "/sign-in", url.Values{"email": {"ada@acme.dev"}}},
		{"no e-mail address", "/sign-in", url.Values{"csrf": {signIn()}}},
		{"half an e-mail address", "/sign-in", url.Values{"csrf": {signIn()}, "email": {"ada@"}}},
		{"a name as well", "/sign-in", url.Values{"csrf": {signIn()}, "email": {"Ada <ada@acme.dev>"}}},
		{"two addresses", "/sign-in", url.Values{"csrf": {signIn()}, "email": {"a@acme.dev,b@acme.dev"}}},
		{"an endless address", "/sign-in", url.Values{"csrf": {signIn()}, "email": {strings.Repeat("a", 255) + "@acme.dev"}}},
	}
	for _, row := range rows {
		resp, page := c.form(row.path, row.form)
		if resp.StatusCode/100 != 4 || resp.Header.Get("Location") != "" || strings.Contains(page, `value="allow"`) {
			t.Errorf("%s: answers %d to %q", row.reason, resp.StatusCode, resp.Header.Get("Location"))
		}
	}

	// What another browser was shown is not this one's to answer: that would be a forged consent.
	mine := consent()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	own := c.http.Jar
	c.http.Jar = jar
	if resp, _ := c.form("/oauth/consent", url.Values{"csrf": {mine}, "decision": {"allow"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without the cookie: %d", resp.StatusCode)
	}
	c.consentPage("mallory@acme.dev")
	if resp, _ := c.form("/oauth/consent", url.Values{"csrf": {mine}, "decision": {"allow"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("with another cookie: %d", resp.StatusCode)
	}
	c.http.Jar = own
	c.s.Advance(pageLifetime + time.Second)
	if resp, _ := c.form("/oauth/consent", url.Values{"csrf": {mine}, "decision": {"allow"}}); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("after its time: %d", resp.StatusCode)
	}
	for _, path := range []string{"/sign-in", "/oauth/consent"} {
		if resp, _ := c.get(path); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s answers %d", path, resp.StatusCode)
		}
	}
	if len(c.s.Issued()) != 0 {
		t.Error("something was issued")
	}
}
