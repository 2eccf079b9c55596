package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
)

// deviceRun is a sign-in by the device grant on a clock that the sandbox and the client share.
type deviceRun struct {
	*run
	shown   Invitation
	waited  []time.Duration // between two polls
	offset  atomic.Int64
	onSleep func() error
}

func newDeviceRun(t *testing.T, options sandbox.Options, faults sandbox.Faults) (*deviceRun, *sandbox.Server, *config.Profile) {
	d := &deviceRun{run: newRun(t)}
	issuer, p := newSandbox(t, d.run, options)
	issuer.SetFaults(func(f *sandbox.Faults) { *f = faults })
	d.flows = []Flow{Device}
	d.Timeout = time.Hour
	d.Now = func() time.Time { return time.Now().Add(time.Duration(d.offset.Load())) }
	d.Sleep = func(ctx context.Context, pause time.Duration) error {
		d.waited = append(d.waited, pause)
		d.offset.Add(int64(pause))
		issuer.Advance(pause)
		if d.onSleep != nil {
			return d.onSleep()
		}
		return ctx.Err()
	}
	return d, issuer, p
}

func (d *deviceRun) signIn(t *testing.T, p *config.Profile) error {
	t.Helper()
	err := d.signInWith(t.Context(), p, func(_ context.Context, i Invitation) error {
		d.shown = i
		return nil
	}, func(tokens Tokens) error {
		d.kept = append(d.kept, tokens)
		return nil
	})
	if err != nil {
		d.say(err.Error())
	}
	return err
}

func TestDevice(t *testing.T) {
	seconds := func(all ...int) (pauses []time.Duration) {
		for _, n := range all {
			pauses = append(pauses, time.Duration(n)*time.Second)
		}
		return pauses
	}
	for _, row := range []struct {
		name    string
		options sandbox.Options
		faults  sandbox.Faults
		want    error
		waited  []time.Duration
	}{
		{"allowed", sandbox.Options{}, sandbox.Faults{}, nil, seconds(5)},
		{"opaque", sandbox.Options{Opaque: true}, sandbox.Faults{}, nil, seconds(5)},
		{"another interval", sandbox.Options{DeviceInterval: 7 * time.Second}, sandbox.Faults{}, nil, seconds(7)},
		{"pending", sandbox.Options{}, sandbox.Faults{DevicePending: 3}, nil, seconds(5, 5, 5, 5)},
		{"slow_down adds 5 s each time, for all that follow", sandbox.Options{}, sandbox.Faults{DeviceSlowDown: 2, DevicePending: 1}, nil, seconds(5, 10, 15, 15)},
		{"denied", sandbox.Options{}, sandbox.Faults{DenyConsent: true}, ErrDenied, seconds(5)},
		{"denied after a while", sandbox.Options{}, sandbox.Faults{DenyConsent: true, DevicePending: 1}, ErrDenied, seconds(5, 5)},
		{"expired", sandbox.Options{}, sandbox.Faults{DeviceExpired: true}, ErrTimeout, seconds(5)},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.options.Device = true
			d, issuer, p := newDeviceRun(t, row.options, row.faults)
			if err := d.signIn(t, p); !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Fatalf("sign-in: %v, want %v", err, row.want)
			}
			if !slices.Equal(d.waited, row.waited) {
				t.Errorf("waited %v, want %v", d.waited, row.waited)
			}
			if issuer.Count("authorize") != 0 || issuer.Count("device") != 1 {
				t.Error("other endpoints were asked than those of the device grant")
			}
			i := d.shown
			if i.Flow != Device || len(i.UserCode) != 9 || i.VerifyURL != p.Issuer+"/device" || i.CompleteURL != i.VerifyURL+"?user_code="+i.UserCode {
				t.Errorf("shown %+v", i)
			}
			if left := i.Until.Sub(d.now()); left > 10*time.Minute {
				t.Errorf("the person was told %v, the code lives 10 min", left)
			}
			if row.want != nil {
				if len(d.kept) != 0 {
					t.Error("something was kept")
				}
				return
			}
			if len(d.kept) != 1 || d.kept[0].Email != "ada@acme.dev" || d.kept[0].RefreshToken == "" {
				t.Errorf("kept %+v", d.kept)
			}
		})
	}
}

// TestDeviceVerifies: tokens are verified as in every other sign-in.
func TestDeviceVerifies(t *testing.T) {
	for name, faults := range map[string]sandbox.Faults{
		"another audience":           {WrongAudience: true},
		"another client":             {WrongClientID: true},
		"a nonce of another sign-in": {WrongNonce: true},
		"another issuer":             {WrongIssuer: true},
		"a bad signature":            {BadSignature: true},
		"no signature":               {Unsigned: true},
		"another type":               {WrongType: true},
		"two accounts":               {OtherAccessSubject: true},
		"no ID token":                {OmitIDToken: true},
		"another type of token":      {TokenType: "mac"},
	} {
		t.Run(name, func(t *testing.T) {
			d, issuer, p := newDeviceRun(t, sandbox.Options{Device: true}, faults)
			if err := d.signIn(t, p); err == nil || errors.Is(err, ErrDenied) || len(d.kept) != 0 {
				t.Errorf("sign-in: %v, kept %d", err, len(d.kept))
			}
			if n := issuer.Grants(); n != 0 {
				t.Errorf("%d grants are left", n)
			}
		})
	}
}

// TestInterruptedExchange: Ctrl-C while the issuer answers leaves no grant behind.
func TestInterruptedExchange(t *testing.T) {
	for _, flow := range []Flow{Browser, Device} {
		d, issuer, p := newDeviceRun(t, sandbox.Options{Device: true}, sandbox.Faults{})
		ctx, interrupt := context.WithCancel(t.Context())
		d.flows = []Flow{flow}
		d.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := http.DefaultTransport.RoundTrip(req)
			if strings.HasSuffix(req.URL.Path, "/oauth/token") {
				interrupt()
			}
			return resp, err
		})
		invite := func(ctx context.Context, i Invitation) error {
			if flow == Browser {
				return d.browse(ctx, i)
			}
			return nil
		}
		err := d.signInWith(ctx, p, invite, func(Tokens) error { return errors.New("kept") })
		if !errors.Is(err, context.Canceled) || issuer.Count("token") != 1 {
			t.Errorf("%s: %v after %d token requests", flow, err, issuer.Count("token"))
		}
		if n := issuer.Grants(); n != 0 {
			t.Errorf("%s: %d grants are left", flow, n)
		}
	}
}

// TestDeviceNotOffered: an endpoint that discovery does not name is never called.
func TestDeviceNotOffered(t *testing.T) {
	d, issuer, p := newDeviceRun(t, sandbox.Options{}, sandbox.Faults{})
	if err := d.signIn(t, p); !errors.Is(err, ErrOtherFlow) {
		t.Errorf("sign-in: %v", err)
	}
	if n := issuer.Count("device"); n != 0 {
		t.Errorf("asked %d times", n)
	}
	for _, e := range issuer.Requests() {
		if !strings.HasPrefix(e.Path, "/.well-known/") {
			t.Errorf("asked for %s", e.Path)
		}
	}
}

// TestFlows: the first flow that works is used; each has an invitation of its own.
func TestFlows(t *testing.T) {
	broken := errors.New("broken")
	for _, row := range []struct {
		reason  string
		device  bool
		flows   []Flow
		invites map[Flow]error // what the person's side can do; nil works
		want    []Flow         // that were tried
		err     error
	}{
		{"the browser is the default", true, nil, nil, []Flow{Browser}, nil},
		{"a browser that works", true, []Flow{Browser, Device, Paste}, nil, []Flow{Browser}, nil},
		{"no browser", true, []Flow{Browser, Device, Paste}, map[Flow]error{Browser: ErrOtherFlow}, []Flow{Browser, Device}, nil},
		{"no browser, no device grant", false, []Flow{Browser, Device, Paste}, map[Flow]error{Browser: ErrOtherFlow}, []Flow{Browser, Paste}, nil},
		{"none at all", false, []Flow{Browser, Device, Paste}, map[Flow]error{Browser: ErrOtherFlow, Paste: ErrOtherFlow}, []Flow{Browser, Paste}, ErrOtherFlow},
		{"another failure ends it", true, []Flow{Browser, Device}, map[Flow]error{Browser: broken}, []Flow{Browser}, broken},
		{"an end that names both", true, []Flow{Browser}, map[Flow]error{Browser: errors.Join(ErrOtherFlow, broken)}, []Flow{Browser}, broken},
	} {
		t.Run(row.reason, func(t *testing.T) {
			d, _, p := newDeviceRun(t, sandbox.Options{Device: row.device}, sandbox.Faults{})
			d.flows = row.flows
			var tried []Flow
			var states []string
			err := d.signInWith(t.Context(), p, func(ctx context.Context, i Invitation) error {
				tried = append(tried, i.Flow)
				if i.Flow != Device {
					u, _ := url.Parse(i.AuthorizeURL)
					states = append(states, u.Query().Get("state"))
				}
				if err := row.invites[i.Flow]; err != nil || i.Flow == Device {
					return err
				}
				return d.browse(ctx, i)
			}, func(tokens Tokens) error { return nil })
			if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
				t.Errorf("sign-in: %v, want %v", err, row.err)
			}
			if !slices.Equal(tried, row.want) {
				t.Errorf("tried %v, want %v", tried, row.want)
			}
			if len(states) == 2 && states[0] == states[1] {
				t.Error("two flows had one state")
			}
		})
	}
}

// TestPaste: an address that the user pastes is verified like the listener's callback.
func TestPaste(t *testing.T) {
	elsewhere := func(t *testing.T, r *run, i Invitation) string {
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := client.Get(i.AuthorizeURL)
		if err != nil {
			t.Error(err)
			return ""
		}
		resp.Body.Close()
		u, _ := url.Parse(i.AuthorizeURL)
		r.hide(u.Query().Get("state"))
		return resp.Header.Get("Location")
	}
	for _, row := range []struct {
		reason string
		faults sandbox.Faults
		want   string
	}{
		{"genuine", sandbox.Faults{}, ""},
		{"denied", sandbox.Faults{DenyConsent: true}, ErrDenied.Error()},
		{"another issuer in it", sandbox.Faults{WrongResponseIssuer: true}, "came back from the issuer"},
		{"no issuer in it", sandbox.Faults{OmitResponseIssuer: true}, "came back from the issuer"},
		{"another nonce", sandbox.Faults{WrongNonce: true}, "nonce"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			r := newRun(t)
			issuer, p := newSandbox(t, r, sandbox.Options{})
			issuer.SetFaults(func(f *sandbox.Faults) { *f = row.faults })
			r.flows = []Flow{Device, Paste}
			err := r.signInWith(t.Context(), p, func(ctx context.Context, i Invitation) error {
				address := elsewhere(t, r, i)
				if err := i.Paste(strings.Replace(address, "state=", "state=x", 1)); err == nil {
					t.Error("another state was taken")
				}
				return i.Paste(" '" + address + "' ")
			}, func(tokens Tokens) error {
				r.kept = append(r.kept, tokens)
				return nil
			})
			if row.want == "" && (err != nil || len(r.kept) != 1) {
				t.Errorf("sign-in: %v, kept %d", err, len(r.kept))
			}
			if row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want) || len(r.kept) != 0) {
				t.Errorf("sign-in: %v, want %q; kept %d", err, row.want, len(r.kept))
			}
		})
	}
}

// TestAccount: --as reaches the issuer, with a request for a new sign-in unless its metadata excludes that.
func TestAccount(t *testing.T) {
	for _, row := range []struct {
		reason, account string
		prompts         any
		prompt          string
	}{
		{"no account", "", nil, ""},
		{"an account", "grace@acme.dev", nil, "login"},
		{"the issuer lists it", "grace@acme.dev", []string{"none", "login"}, "login"},
		{"the issuer lists others", "grace@acme.dev", []string{"none"}, ""},
		{"what would be another parameter", "grace@acme.dev&prompt=none", nil, "login"},
	} {
		r := newRun(t)
		issuer, p := newSandbox(t, r, sandbox.Options{})
		issuer.SetFaults(func(f *sandbox.Faults) { f.Discovery = map[string]any{"prompt_values_supported": row.prompts} })
		r.Account = row.account
		var got url.Values
		err := r.signInWith(t.Context(), p, func(ctx context.Context, i Invitation) error {
			u, _ := url.Parse(i.AuthorizeURL)
			got = u.Query()
			return r.browse(ctx, i)
		}, func(tokens Tokens) error {
			r.kept = append(r.kept, tokens)
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
		}
		if got.Get("login_hint") != row.account || got.Get("prompt") != row.prompt || got.Has("login_hint") != (row.account != "") {
			t.Errorf("%s: asked with %q and %q", row.reason, got.Get("login_hint"), got.Get("prompt"))
		}
		if row.account == "grace@acme.dev" && r.kept[0].Email != row.account {
			t.Errorf("%s: signed in as %q", row.reason, r.kept[0].Email)
		}
	}
}

// TestDeviceHostile: an issuer can show the user only a code and a page.
func TestDeviceHostile(t *testing.T) {
	good := func() map[string]any {
		return map[string]any{"device_code": "device-code-of-the-test", "user_code": "BCDF-GHJK",
			"verification_uri": "https://accounts.acme.dev/device", "expires_in": 600, "interval": 1}
	}
	for _, row := range []struct {
		reason, name string
		value        any
		ok           bool
	}{
		{"a page of another origin, as Clerk has it", "interval", 1, true},
		{"no interval", "interval", nil, true},
		{"an interval of less than nothing", "interval", -5, true},
		{"no device code", "device_code", nil, false},
		{"a device code with a line end", "device_code", "a\nb", false},
		{"no user code", "user_code", nil, false},
		{"an escape sequence as the code", "user_code", "\x1b]0;x\x07", false},
		{"a code too long to type", "user_code", strings.Repeat("A", 65), false},
		{"a right-to-left mark", "user_code", "ABC\u202eDEF", false},
		{"no page", "verification_uri", nil, false},
		{"a page that is not https", "verification_uri", "http://accounts.acme.dev/device", false},
		{"a program", "verification_uri", "javascript:alert(1)", false},
		{"a file", "verification_uri", "file:///etc/passwd", false},
		{"user information", "verification_uri", "https://clerk.acme.dev@evil.example/", false},
		{"blanks", "verification_uri", "https://a.dev/ and https://evil.example/", false},
		{"an escape in the page", "verification_uri", "https://a.dev/\x1b[2J", false},
		{"a page without end", "verification_uri", "https://a.dev/" + strings.Repeat("x", 2<<10), false},
		{"a bad complete page", "verification_uri_complete", "javascript:x", false},
		{"no end", "expires_in", nil, false},
		{"an end before the beginning", "expires_in", -1, false},
		{"the wrong kind of value", "expires_in", "soon", false},
	} {
		r := newRun(t)
		answer := good()
		answer[row.name] = row.value
		var shown bool
		mux := http.NewServeMux()
		server := httptest.NewServer(mux)
		mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, map[string]any{"issuer": server.URL, "authorization_endpoint": server.URL + "/a", "token_endpoint": server.URL + "/t",
				"device_authorization_endpoint": server.URL + "/d"})
		})
		mux.HandleFunc("/d", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer) })
		mux.HandleFunc("/t", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			json.NewEncoder(w).Encode(map[string]string{"error": "access_denied", "error_description": r.FormValue("device_code")})
		})
		r.hide("device-code-of-the-test")
		r.flows = []Flow{Device}
		r.Sleep = func(_ context.Context, d time.Duration) error {
			if d < time.Second {
				t.Errorf("%s: polls every %v", row.reason, d)
			}
			return nil
		}
		p := &config.Profile{Name: "acme", Issuer: server.URL, ClientID: "x"}
		err := r.signInWith(t.Context(), p, func(context.Context, Invitation) error { shown = true; return nil }, nil)
		if errors.Is(err, ErrDenied) != row.ok || shown && !row.ok || err == nil {
			t.Errorf("%s: %v, shown %v", row.reason, err, shown)
		} else {
			r.say(err.Error())
		}
		server.Close()
	}
}

// TestDeviceBadNetwork: a token endpoint that cannot be reached, or is overloaded, is polled with growing pauses until the
// code expires.
func TestDeviceBadNetwork(t *testing.T) {
	for _, faults := range []sandbox.Faults{{TokenDrop: true}, {TokenStatus: 503}, {TokenStatus: 429}} {
		d, issuer, p := newDeviceRun(t, sandbox.Options{Device: true}, faults)
		d.onSleep = func() error {
			if len(d.waited) == 6 {
				issuer.SetFaults(func(f *sandbox.Faults) { *f = sandbox.Faults{} })
			}
			return nil
		}
		if err := d.signIn(t, p); err != nil {
			t.Errorf("%+v: %v", faults, err)
		}
		want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, pollMost, pollMost}
		if !slices.Equal(d.waited, want) {
			t.Errorf("waited %v, want %v", d.waited, want)
		}
	}
	// An OAuth error ends it, whatever the status is (RFC 8628 §3.5).
	for _, status := range []int{400, 429, 500, 503} {
		for _, code := range []string{"server_error", "temporarily_unavailable", "invalid_grant", "invalid_client", "never_heard_of"} {
			d, _, p := newDeviceRun(t, sandbox.Options{Device: true}, sandbox.Faults{TokenStatus: status, TokenBody: `{"error":"` + code + `"}`})
			if err := d.signIn(t, p); err == nil || !strings.Contains(err.Error(), code) || len(d.waited) != 1 {
				t.Errorf("%d with %s: %v after %d polls", status, code, err, len(d.waited))
			}
		}
	}
	// So does anything else that is wrong.
	d, _, p := newDeviceRun(t, sandbox.Options{Device: true}, sandbox.Faults{TokenBody: `{"access_token":`})
	if err := d.signIn(t, p); err == nil || len(d.waited) != 1 {
		t.Errorf("half an answer: %v after %d polls", err, len(d.waited))
	}
}

// TestDeviceEnds: the time limit, Ctrl-C, and an invitation that cannot be shown.
func TestDeviceEnds(t *testing.T) {
	d, _, p := newDeviceRun(t, sandbox.Options{Device: true}, sandbox.Faults{DevicePending: 1 << 30})
	d.Sleep, d.Timeout = nil, 100*time.Millisecond
	if err := d.signIn(t, p); !errors.Is(err, ErrTimeout) || strings.Contains(err.Error(), "redirect") {
		t.Errorf("no one signs in: %v", err)
	}
	d.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	err := d.signInWith(ctx, p, func(context.Context, Invitation) error { cancel(); return nil }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	boom := errors.New("boom")
	if err := d.signInWith(t.Context(), p, func(context.Context, Invitation) error { return boom }, nil); !errors.Is(err, boom) {
		t.Errorf("not shown: %v", err)
	}
}
