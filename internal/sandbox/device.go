package sandbox

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	deviceGrant    = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 §3.4
	deviceLifetime = 10 * time.Minute                               // Clerk's expires_in
	// userCodeLetters make no words and are not taken for one another (RFC 8628 §6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// device is one device authorization.
type device struct {
	userCode string // "BCDF-GHJK"
	scopes   []string
	until    time.Time
	interval time.Duration
	polled   time.Time // when it was last asked for
	polls    int
	decided  bool
	person   Person // who allowed it; empty if it was denied
	used     bool
}

// serveDeviceAuthorization is the device authorization endpoint, RFC 8628 §3.1 and §3.2.
func (s *Server) serveDeviceAuthorization(w http.ResponseWriter, r *http.Request) {
	form, err := s.clientForm(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	known := scopes(s.currentFaults())
	asked := strings.Fields(form.Get("scope"))
	if len(asked) == 0 {
		asked = []string{"profile", "email"}
	}
	for _, scope := range asked {
		if !slices.Contains(known, scope) {
			writeError(w, refuse(http.StatusBadRequest, "invalid_scope", "a scope is not known"))
			return
		}
	}
	writeJSON(w, http.StatusOK, s.newDevice(asked))
}

// newDevice begins a device authorization and returns its answer, RFC 8628 §3.2.
func (s *Server) newDevice(scopes []string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for code, d := range s.devices {
		if now.After(d.until) {
			delete(s.devices, code)
		}
	}
	d := &device{userCode: userCode(), scopes: scopes, until: now.Add(deviceLifetime), interval: s.options.DeviceInterval}
	if s.options.Auto {
		d.decided = true
		if !s.faults.DenyConsent {
			d.person = s.options.Person
		}
	}
	code := s.note(rand.Text() + rand.Text())
	s.devices[code] = d
	page := s.issuer + "/device"
	return map[string]any{
		"device_code":               code,
		"user_code":                 d.userCode,
		"verification_uri":          page,
		"verification_uri_complete": page + "?user_code=" + d.userCode,
		"expires_in":                int64(deviceLifetime / time.Second),
		"interval":                  int64(d.interval / time.Second),
	}
}

func userCode() string {
	random := make([]byte, 8)
	rand.Read(random)
	for i, b := range random {
		random[i] = userCodeLetters[int(b)%len(userCodeLetters)] // 256 is no multiple of 20; guessing gains nothing here
	}
	return string(random[:4]) + "-" + string(random[4:])
}

// poll trades a device code, RFC 8628 §3.4 and §3.5. s.mu is held.
func (s *Server) poll(form url.Values) (map[string]any, error) {
	bad := func(code string) error { return refuse(http.StatusBadRequest, code, "see RFC 8628, section 3.5") }
	value := form.Get("device_code")
	if value == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "device_code is missing")
	}
	d, ok := s.devices[value]
	if !ok || d.used {
		return nil, bad("invalid_grant")
	}
	now := s.now()
	tooSoon := !d.polled.IsZero() && now.Sub(d.polled) < d.interval
	d.polled = now
	d.polls++
	switch {
	case s.faults.DeviceExpired || now.After(d.until):
		return nil, bad("expired_token")
	case tooSoon, d.polls <= s.faults.DeviceSlowDown:
		d.interval += 5 * time.Second
		return nil, bad("slow_down")
	case !d.decided, d.polls <= s.faults.DeviceSlowDown+s.faults.DevicePending:
		return nil, bad("authorization_pending")
	}
	d.used = true
	if d.person.ID == "" {
		return nil, bad("access_denied")
	}
	return s.answer(&grant{person: d.person, scopes: d.scopes}, d.scopes, "")
}

// serveDevicePage is the verification page, RFC 8628 §3.3: it asks for the code, then for sign-in and consent as always.
func (s *Server) serveDevicePage(w http.ResponseWriter, r *http.Request) {
	typed := r.URL.Query().Get("user_code")
	if typed == "" {
		s.show(w, http.StatusOK, "device", "")
		return
	}
	d := s.deviceByUserCode(typed)
	if d == nil {
		s.show(w, http.StatusUnprocessableEntity, "device", "That code is not known, or too old.")
		return
	}
	cookie, person := s.browser(w, r)
	page := waiting{authorization: authorization{scopes: d.scopes, device: d}, cookie: cookie, person: person}
	if person.ID == "" {
		s.showSignIn(w, page, "")
		return
	}
	s.showConsent(w, page)
}

// deviceByUserCode finds what still waits for a decision. Case and the dash do not matter (RFC 8628 §6.1).
func (s *Server) deviceByUserCode(typed string) *device {
	plain := func(code string) string { return strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(code)) }
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, d := range s.devices {
		if plain(d.userCode) == plain(typed) && !d.decided && !now.After(d.until) {
			return d
		}
	}
	return nil
}

// finishDevice notes the decision; an empty person refuses.
func (s *Server) finishDevice(w http.ResponseWriter, d *device, p Person) {
	words := "You are signed in"
	s.mu.Lock()
	if s.faults.DenyConsent {
		p = Person{}
	}
	if !d.decided {
		d.decided, d.person = true, p
	}
	if d.person.ID == "" {
		words = "Nothing was allowed"
	}
	s.mu.Unlock()
	s.show(w, http.StatusOK, "device-done", words)
}
