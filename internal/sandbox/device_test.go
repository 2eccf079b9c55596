package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

// beginDevice makes a correct device authorization request.
func (c *client) beginDevice() deviceAnswer {
	c.t.Helper()
	resp, body := c.form("/oauth/device_authorization", url.Values{"client_id": {"sandbox-client"}, "scope": {allScopes}})
	var a deviceAnswer
	if err := json.Unmarshal([]byte(body), &a); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("answers %d %q, %v", resp.StatusCode, body, err)
	}
	return a
}

// poll waits for the interval on the sandbox's clock and polls.
func (c *client) poll(a deviceAnswer, wait time.Duration) tokenAnswer {
	c.t.Helper()
	c.s.Advance(wait)
	return c.token(url.Values{"grant_type": {deviceGrant}, "device_code": {a.DeviceCode}, "client_id": {"sandbox-client"}})
}

func TestDeviceGrant(t *testing.T) {
	c := newClient(t, Options{Device: true})
	a := c.beginDevice()
	if !regexp.MustCompile(`^[B-Z]{4}-[B-Z]{4}$`).MatchString(a.UserCode) || a.URI != c.base+"/device" ||
		a.Complete != a.URI+"?user_code="+a.UserCode || a.ExpiresIn != 600 || a.Interval != 5 || len(a.DeviceCode) < 40 {
		t.Errorf("answer %+v", a)
	}
	if got := c.poll(a, 0); got.Error != "authorization_pending" || got.status != http.StatusBadRequest {
		t.Errorf("before the person: %+v", got)
	}
	if got := c.poll(a, time.Second); got.Error != "slow_down" {
		t.Errorf("too soon: %+v", got)
	}
	if got := c.poll(a, 6*time.Second); got.Error != "slow_down" {
		t.Errorf("slow_down adds 5 s to the interval: %+v", got)
	}

	// The person types the code in small letters without the dash.
	_, page := c.get("/device?user_code=" + strings.ToLower(strings.ReplaceAll(a.UserCode, "-", "")))
	_, page = c.form("/sign-in", url.Values{"csrf": {hidden(t, page)}, "email": {"grace@acme.dev"}})
	if !strings.Contains(page, a.UserCode) {
		t.Error("the consent page does not show the code")
	}
	resp, page := c.form("/oauth/consent", url.Values{"csrf": {hidden(t, page)}, "decision": {"allow"}})
	if resp.StatusCode != http.StatusOK || !strings.Contains(page, "Go back to your terminal") || resp.Header.Get("Location") != "" {
		t.Errorf("the end: %d %s", resp.StatusCode, page)
	}
	got := c.poll(a, 20*time.Second)
	if got.status != http.StatusOK || got.AccessToken == "" || got.RefreshToken == "" || got.IDToken == "" {
		t.Fatalf("after the person: %+v", got)
	}
	_, id := claims(t, got.IDToken)
	if id["sub"] != userID("grace@acme.dev") || id["nonce"] != nil {
		t.Errorf("ID token of %v with nonce %v", id["sub"], id["nonce"])
	}
	if got := c.poll(a, 20*time.Second); got.Error != "invalid_grant" {
		t.Errorf("a second time: %+v", got)
	}
	if resp, _ := c.get("/device?user_code=" + a.UserCode); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a used code: %d", resp.StatusCode)
	}
	if c.s.Count("device") != 1 || c.s.Count("token:"+deviceGrant) != 5 {
		t.Errorf("counted %d and %d", c.s.Count("device"), c.s.Count("token:"+deviceGrant))
	}
}

func TestDeviceEndings(t *testing.T) {
	const pending, slow, denied, expired = "authorization_pending", "slow_down", "access_denied", "expired_token"
	for _, row := range []struct {
		reason  string
		options Options
		faults  Faults
		want    []string // the errors of polls at the right time
	}{
		{"no person comes", Options{}, Faults{}, []string{pending, pending, pending}},
		{"allowed at once", Options{Auto: true}, Faults{}, []string{""}},
		{"pending on demand", Options{Auto: true}, Faults{DevicePending: 2}, []string{pending, pending, ""}},
		{"slow_down on demand", Options{Auto: true}, Faults{DeviceSlowDown: 2}, []string{slow, slow, ""}},
		{"both", Options{Auto: true}, Faults{DeviceSlowDown: 1, DevicePending: 1}, []string{slow, pending, ""}},
		{"denied on demand", Options{Auto: true}, Faults{DenyConsent: true}, []string{denied, "invalid_grant"}},
		{"expired on demand", Options{Auto: true}, Faults{DeviceExpired: true}, []string{expired, expired}},
	} {
		row.options.Device = true
		c := newClient(t, row.options)
		c.s.SetFaults(func(f *Faults) { *f = row.faults })
		a := c.beginDevice()
		for i, want := range row.want {
			if got := c.poll(a, 30*time.Second); got.Error != want || (want == "") != (got.AccessToken != "") {
				t.Errorf("%s, poll %d: %q, want %q", row.reason, i, got.Error, want)
			}
		}
	}
	c := newClient(t, Options{Device: true, Auto: true})
	a := c.beginDevice()
	if got := c.poll(a, deviceLifetime+time.Second); got.Error != expired {
		t.Errorf("after its life: %+v", got)
	}
}

func TestDeviceDeniedOnThePage(t *testing.T) {
	c := newClient(t, Options{Device: true})
	a := c.beginDevice()
	_, page := c.get("/device?user_code=" + a.UserCode)
	_, page = c.form("/sign-in", url.Values{"csrf": {hidden(t, page)}, "email": {"ada@acme.dev"}})
	if _, page = c.form("/oauth/consent", url.Values{"csrf": {hidden(t, page)}, "decision": {"deny"}}); !strings.Contains(page, "Nothing was allowed") {
		t.Errorf("the page: %s", page)
	}
	if got := c.poll(a, 10*time.Second); got.Error != "access_denied" {
		t.Errorf("poll: %+v", got)
	}
}

func TestDeviceRefuses(t *testing.T) {
	c := newClient(t, Options{Device: true})
	good := func() url.Values { return url.Values{"client_id": {"sandbox-client"}, "scope": {"openid"}} }
	for _, row := range []struct {
		reason string
		form   url.Values
		want   string
	}{
		{"no client", with(good(), url.Values{"client_id": nil}), "invalid_client"},
		{"another client", with(good(), url.Values{"client_id": {"x"}}), "invalid_client"},
		{"a secret", with(good(), url.Values{"client_secret": {"x"}}), "invalid_client"},
		{"an unknown scope", with(good(), url.Values{"scope": {"openid all"}}), "invalid_scope"},
		{"a parameter twice", with(good(), url.Values{"scope": {"openid", "email"}}), "invalid_request"},
	} {
		if _, body := c.form("/oauth/device_authorization", row.form); !strings.Contains(body, `"`+row.want+`"`) {
			t.Errorf("%s: %s", row.reason, body)
		}
	}
	for _, form := range []url.Values{
		{"grant_type": {deviceGrant}, "client_id": {"sandbox-client"}},
		{"grant_type": {deviceGrant}, "client_id": {"sandbox-client"}, "device_code": {"guessed"}},
	} {
		if got := c.token(form); got.Error != "invalid_request" && got.Error != "invalid_grant" {
			t.Errorf("%v: %+v", form, got)
		}
	}
	for _, path := range []string{"/device", "/device?user_code=BBBB-BBBB"} {
		if _, page := c.get(path); !strings.Contains(page, "Enter the code") || strings.Contains(page, "BBBB") {
			t.Errorf("%s: %s", path, page)
		}
	}
	if len(c.s.Issued()) != 0 {
		t.Error("something was issued")
	}

	// Without the option there is none of it.
	c = newClient(t, Options{})
	if _, body := c.get("/.well-known/openid-configuration"); strings.Contains(body, "device") {
		t.Error("discovery names it all the same")
	}
	if resp, _ := c.form("/oauth/device_authorization", good()); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the endpoint answers %d", resp.StatusCode)
	}
	if got := c.token(url.Values{"grant_type": {deviceGrant}, "client_id": {"sandbox-client"}, "device_code": {"x"}}); got.Error != "unsupported_grant_type" {
		t.Errorf("the grant answers %+v", got)
	}
}

// TestLoginHint: the sign-in page suggests whom the client has named, and Auto takes them.
func TestLoginHint(t *testing.T) {
	c := newClient(t, Options{})
	for hint, want := range map[string]string{"grace@acme.dev": "grace@acme.dev", "no address": "ada@acme.dev", "": "ada@acme.dev"} {
		params := with(correctParams(), url.Values{"login_hint": {hint}, "prompt": {"login"}})
		if _, page := c.get("/oauth/authorize?" + params.Encode()); !strings.Contains(page, `value="`+want+`"`) {
			t.Errorf("for %q the page does not suggest %q", hint, want)
		}
	}
	c = newClient(t, Options{Auto: true})
	_, access := claims(t, c.token(correctExchange(c.code(url.Values{"login_hint": {"grace@acme.dev"}}))).AccessToken)
	if access["sub"] != userID("grace@acme.dev") {
		t.Errorf("Auto signed in %v", access["sub"])
	}
}
