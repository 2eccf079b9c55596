package companionpage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"

	"github.com/go-jose/go-jose/v4"
)

// State is the outcome of a check.
type State string

const (
	Pass    State = "pass"
	Fail    State = "fail"
	NotKept State = "not kept" // an optional promise that this page does not make
	NotTold State = "not told" // not visible from here
)

// Report is the document that "companion check --json" prints.
type Report struct {
	State  string `json:"state"` // console.StateFailed if a line fails, otherwise console.StateOK
	Page   string `json:"page"`  // the origin that was probed
	Checks []Line `json:"checks"`
}

// Report makes the document of the lines so far.
func (p *Probe) Report() Report {
	r := Report{State: console.StateOK, Page: p.origin, Checks: append([]Line{}, p.Lines()...)}
	if slices.ContainsFunc(r.Checks, func(l Line) bool { return l.State == Fail }) {
		r.State = console.StateFailed
	}
	return r
}

// Line is the result of one check.
type Line struct {
	State State  `json:"outcome"`
	Check string `json:"check"`          // the property, such as "metadata: issuer"
	Seen  string `json:"seen,omitempty"` // what was seen instead; foreign text is quoted and short
	Cure  string `json:"cure,omitempty"` // what to change
}

// String returns the line for people, escaped for a terminal.
func (c Line) String() string {
	line := fmt.Sprintf("%-9s %s", c.State, c.Check)
	if c.Seen != "" {
		line += ": " + c.Seen
	}
	if c.Cure != "" {
		line += "; " + c.Cure
	}
	return console.Escape(line)
}

const (
	// probeTime limits one request; a serverless app may have to start first.
	probeTime = 20 * time.Second
	// probesTime limits all requests of Run together.
	probesTime = 5 * time.Minute
	// maxAnswer limits the body of an answer, in bytes.
	maxAnswer = 1 << 20
	// rsaBits is the minimum size of a key (RFC 7518 §3.3).
	rsaBits = 2048
)

// Remedies for a page that does not answer as it should.
const (
	cureProxy  = "proxy.ts must call withCliAuth, and its matcher must cover /cli-auth and /api/cli-auth/approve"
	cureRoutes = "write the files again with companion add --upgrade, and let nothing in front of the app ask for a sign-in at these paths"
	cureCORS   = "exclude the route from the app's CORS rules"
	cureEnv    = "set CLI_AUTH_ORIGIN to the address that you gave here, and Clerk's keys, and deploy again"
)

// Probe checks one companion page: Run first, then SignIn if the page is there. It is for one goroutine.
type Probe struct {
	// Tell, if not nil, is called with each line as soon as it is known.
	Tell func(Line)

	page
	lines     []Line
	described companionDescription
	exchanges bool // Exchange was asked for, and there is the grant
}

// page is a companion page, and how it is asked.
type page struct {
	origin, userAgent string
	client            *http.Client

	// The state and challenge of a valid request, random for each Probe.
	state, challenge string
}

// probePort is the port in requests that get no callback, so that it need not be open.
const probePort = "53682"

// NewProbe returns a Probe of the page at origin, as [config.ParseCompanion] returns it. Redirects are not followed.
func NewProbe(origin, userAgent string, transport http.RoundTripper) *Probe {
	return &Probe{page: page{
		origin: origin, userAgent: userAgent, state: randomWord(), challenge: randomWord(),
		client: &http.Client{
			Transport:     transport,
			Timeout:       probeTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}}
}

// Lines returns all lines so far. After an error of Run, the last ones may be of requests that were cut off.
func (p *Probe) Lines() []Line { return p.lines }

// Run makes the checks that need no sign-in, in at most 5 min. It reports whether the page is there: if not, it makes no
// other check. What the page does wrong is a Line; the error is the cause of ctx's end, or that time ran out.
func (p *Probe) Run(ctx context.Context) (there bool, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, probesTime, fmt.Errorf("the checks were not done within %v", probesTime))
	defer cancel()
	if tell := p.Tell; tell != nil {
		// A request that was cut off, by Ctrl-C for instance, is no failure of the page.
		p.Tell = func(line Line) {
			if limited.Err() == nil {
				tell(line)
			}
		}
		defer func() { p.Tell = tell }()
	}
	if there = p.metadata(limited); there {
		p.keys(limited)
		p.authorizePage(limited)
		p.authorizeRefusals(limited)
		p.tokenEndpoint(limited)
		p.approveEndpoint(limited)
		p.headersRefused(limited, "", madeUpToken(), p.consentForm("sess_of_nobody", ""))
		p.revokeEndpoint(limited)
		p.store()
	}
	if limited.Err() != nil {
		return there, context.Cause(limited)
	}
	return there, nil
}

func (p *Probe) add(line Line) {
	p.lines = append(p.lines, line)
	if p.Tell != nil {
		p.Tell(line)
	}
}

// holds adds a line, Pass if seen is empty and otherwise Fail, and reports whether it was Pass.
func (p *Probe) holds(check, seen, cure string) bool {
	if seen == "" {
		p.add(Line{State: Pass, Check: check})
		return true
	}
	p.add(Line{Fail, check, seen, cure})
	return false
}

// answered is an answer of the page.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// ask makes a request to the page itself; path begins with a slash.
func (p *page) ask(ctx context.Context, method, path string, header http.Header, body string) (answered, error) {
	return p.askAt(ctx, method, p.origin+path, header, body)
}

func (p *page) askAt(ctx context.Context, method, address string, header http.Header, body string) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return answered{}, errors.New("its address is not valid")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", p.userAgent)
	resp, err := p.client.Do(req)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the outer one repeats the address, which has parameters
	}
	if err != nil {
		sent, _ := url.ParseQuery(body)
		for _, name := range []string{"Authorization", "Cookie"} {
			sent[name] = append(sent[name], strings.FieldsFunc(header.Get(name), func(r rune) bool { return strings.ContainsRune(" ;=", r) })...)
		}
		for _, values := range sent {
			// net/http quotes an answer that is not HTTP, and such an answer may repeat a code or a token.
			if slices.ContainsFunc(values, func(v string) bool { return len(v) >= 16 && strings.Contains(err.Error(), v) }) {
				return answered{}, errors.New("the answer is not HTTP")
			}
		}
		return answered{}, fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answered{}, errors.New("the answer was cut off")
	}
	if len(text) > maxAnswer {
		return answered{}, errors.New("the answer is larger than 1 MiB")
	}
	return answered{resp.StatusCode, resp.Header, text}, nil
}

// post sends a form as the helper does.
func (p *page) post(ctx context.Context, path string, form url.Values) (answered, error) {
	return p.ask(ctx, http.MethodPost, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, form.Encode())
}

// seen describes a wrong answer, without its body.
func seen(a answered, err error) string {
	if err != nil {
		return err.Error()
	}
	words := fmt.Sprintf("status %d", a.status)
	if location := a.header.Get("Location"); location != "" {
		at := "elsewhere"
		if u, err := url.Parse(location); err == nil {
			at = fmt.Sprintf("%.100q", cmp.Or(u.Host, u.Path))
		}
		words += ", a redirect to " + at
	}
	if code := a.oauthError(); code != "" {
		words += ", " + code
	}
	return words
}

// oauthError returns the error code in an answer (RFC 6749 §5.2) if it is a known one: others may be any text.
func (a answered) oauthError() string {
	var answer struct {
		Error string `json:"error"`
	}
	known := []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
		"invalid_scope", "invalid_target", "temporarily_unavailable", "server_error"}
	if json.Unmarshal(a.body, &answer) != nil || !slices.Contains(known, answer.Error) {
		return ""
	}
	return answer.Error
}

// companionDescription is the metadata of a companion page (RFC 8414 §2).
type companionDescription struct {
	Issuer      string   `json:"issuer"`
	Authorize   string   `json:"authorization_endpoint"`
	Token       string   `json:"token_endpoint"`
	Revocation  string   `json:"revocation_endpoint"`
	Keys        string   `json:"jwks_uri"`
	Responses   []string `json:"response_types_supported"`
	Modes       []string `json:"response_modes_supported"`
	Grants      []string `json:"grant_types_supported"`
	TokenAuth   []string `json:"token_endpoint_auth_methods_supported"`
	RevokeAuth  []string `json:"revocation_endpoint_auth_methods_supported"`
	Challenges  []string `json:"code_challenge_methods_supported"`
	NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
	Prompts     []string `json:"prompt_values_supported"`
	Companion   struct {
		Version int    `json:"version"`
		Page    string `json:"page_version"`
		Clerk   string `json:"clerk_issuer"`
		Store   *bool  `json:"store"`
	} `json:"clerk_companion"`
}

// metadata checks the page's metadata, and reports whether there is any.
func (p *Probe) metadata(ctx context.Context) bool {
	const path = "/.well-known/oauth-authorization-server"
	a, err := p.ask(ctx, http.MethodGet, path, http.Header{"Accept": {"application/json"}}, "")
	if err != nil || a.status != http.StatusOK {
		cure := "is this the app, and was it deployed with the files of companion add?"
		if err == nil && a.status == http.StatusInternalServerError {
			cure = cureEnv + "; the app's log names the setting"
		}
		return p.holds("metadata: it answers", seen(a, err), cure)
	}
	d := &p.described
	if json.Unmarshal(a.body, d) != nil {
		return p.holds("metadata: it answers", "the answer is not the JSON that was expected", cureRoutes)
	}
	p.holds("metadata: it answers", "", "")
	p.holds("metadata: Cache-Control", unlike(a.header.Get("Cache-Control"), hasWord("no-store")), cureRoutes)
	equal := func(field, got, want, cure string) {
		words := ""
		if got != want {
			words = fmt.Sprintf("it is %.200q, not %q", got, want)
		}
		p.holds("metadata: "+field, words, cure)
	}
	equal("issuer", d.Issuer, p.origin, cureEnv)
	equal("authorization_endpoint", d.Authorize, p.origin+"/cli-auth", cureEnv)
	equal("token_endpoint", d.Token, p.origin+"/api/cli-auth/token", cureEnv)
	equal("revocation_endpoint", d.Revocation, p.origin+"/api/cli-auth/revoke", cureEnv)
	clerkAt, err := url.Parse(d.Companion.Clerk)
	words := ""
	if err != nil || clerkAt.Host == "" || clerkAt.Scheme != "https" && !strings.HasPrefix(p.origin, "http://") || strings.HasSuffix(d.Companion.Clerk, "/") {
		words = fmt.Sprintf("it is %.200q, which is no https address", d.Companion.Clerk)
	}
	p.holds("metadata: clerk_companion.clerk_issuer", words, cureEnv)
	equal("jwks_uri", d.Keys, d.Companion.Clerk+"/.well-known/jwks.json", cureEnv)
	lists := func(field string, got []string, want ...string) {
		equal(field, strings.Join(slices.Sorted(slices.Values(got)), " "), strings.Join(want, " "), cureRoutes)
	}
	lists("response_types_supported", d.Responses, "code")
	lists("response_modes_supported", d.Modes, "query")
	lists("grant_types_supported", slices.DeleteFunc(slices.Clone(d.Grants), func(grant string) bool {
		return grant == grantExchange // where the app has a policy for CI jobs
	}), "authorization_code", "refresh_token")
	lists("token_endpoint_auth_methods_supported", d.TokenAuth, "none")
	lists("revocation_endpoint_auth_methods_supported", d.RevokeAuth, "none")
	lists("code_challenge_methods_supported", d.Challenges, "S256")
	lists("prompt_values_supported", d.Prompts, "consent")
	equal("authorization_response_iss_parameter_supported", fmt.Sprint(d.NamesItself), "true", cureRoutes)
	equal("clerk_companion.version", fmt.Sprint(d.Companion.Version), "1", cureRoutes)
	words = ""
	if d.Companion.Store == nil {
		words = "it is missing"
	}
	p.holds("metadata: clerk_companion.store", words, cureRoutes)
	p.add(pageVersion(d.Companion.Page, closings))
	return true
}

// keys checks that the Clerk instance has keys to verify tokens with.
func (p *Probe) keys(ctx context.Context) {
	_, err := p.fetchKeys(ctx)
	words := ""
	if err != nil {
		words = err.Error()
	}
	p.holds("jwks_uri: RSA keys for RS256", words, "is the publishable key the one of your Clerk instance?")
}

func (p *Probe) fetchKeys(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	if p.described.Keys != p.described.Companion.Clerk+"/.well-known/jwks.json" {
		return nil, errors.New("not asked: it is not where the Clerk instance has its keys")
	}
	a, err := p.askAt(ctx, http.MethodGet, p.described.Keys, http.Header{"Accept": {"application/json"}}, "")
	if err != nil || a.status != http.StatusOK {
		return nil, errors.New(seen(a, err))
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(a.body, &set) != nil {
		return nil, errors.New("the answer is not the JSON that was expected")
	}
	keys := map[string]*rsa.PublicKey{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) != nil || key.Use == "enc" || key.Algorithm != "" && key.Algorithm != string(jose.RS256) {
			continue
		}
		if public, ok := key.Key.(*rsa.PublicKey); ok && public.N.BitLen() >= rsaBits {
			keys[key.KeyID] = public
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys is one", len(set.Keys))
	}
	return keys, nil
}

// request returns a valid authorization request.
func (p *page) request() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {config.CompanionClient}, "redirect_uri": {redirectTo(probePort)},
		"state": {p.state}, "code_challenge": {p.challenge}, "code_challenge_method": {"S256"}, "machine_name": {"companion check"},
	}
}

func redirectTo(port string) string { return "http://127.0.0.1:" + port + "/callback" }

// asBrowser returns the headers of a browser that opens a page (Fetch Metadata).
func asBrowser() http.Header {
	return http.Header{"Accept": {"text/html"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Site": {"none"}}
}

// authorizePage checks the headers of the page that asks for consent.
func (p *Probe) authorizePage(ctx context.Context) {
	path := "/cli-auth?" + p.request().Encode()
	a, err := p.ask(ctx, http.MethodGet, path, asBrowser(), "")
	if err == nil && p.isHandshake(a) {
		// A development instance redirects a new browser to Clerk and back first, but not a client that is no browser.
		p.add(Line{NotTold, "authorize: a browser's first visit", "a development instance sends it to Clerk and back", ""})
		a, err = p.ask(ctx, http.MethodGet, path, http.Header{"Accept": {"*/*"}}, "")
	}
	words := ""
	if err != nil || a.status != http.StatusOK {
		words = seen(a, err)
	}
	if !p.holds("authorize: a good request gets a page", words, cureProxy+"; and nothing else may ask for a sign-in there") {
		return
	}
	for _, h := range []struct {
		name string
		good func(string) bool
	}{
		{"X-Frame-Options", func(v string) bool { return strings.EqualFold(v, "DENY") }},
		{"Cache-Control", hasWord("no-store")},
		{"X-Content-Type-Options", func(v string) bool { return strings.EqualFold(v, "nosniff") }},
		{"Referrer-Policy", func(v string) bool { return v == "same-origin" }},
	} {
		p.holds("authorize: "+h.name, unlike(strings.Join(a.header.Values(h.name), ", "), h.good), cureProxy)
	}
	p.policy("authorize", a.header, "'self' http://127.0.0.1:"+probePort)
}

// isHandshake reports whether an answer is Clerk's own redirect of a browser that is new to a development instance.
func (p *Probe) isHandshake(a answered) bool {
	return (a.status == http.StatusTemporaryRedirect || a.status == http.StatusFound) && p.described.Companion.Clerk != "" &&
		strings.HasPrefix(a.header.Get("Location"), p.described.Companion.Clerk+"/v1/client/handshake?")
}

// policy checks the directives that keep the page out of frames and its form from other origins.
func (p *Probe) policy(page string, header http.Header, formAction string) {
	for _, d := range []struct{ directive, value string }{
		{"frame-ancestors", "'none'"}, {"base-uri", "'none'"}, {"object-src", "'none'"}, {"form-action", formAction},
	} {
		found := directive(header.Values("Content-Security-Policy"), d.directive)
		words := ""
		switch other := slices.IndexFunc(found, func(v string) bool { return v != d.value }); {
		case found == nil:
			words = "it is missing"
		case other >= 0 && d.directive == "form-action", !slices.Contains(found, d.value):
			words = fmt.Sprintf("it is %.100q, not %q", found[other], d.value)
		}
		p.holds(page+": Content-Security-Policy "+d.directive, words, cureProxy)
	}
}

// directive returns the values of a directive in all policies, which apply together. In each policy the first one counts
// (Content Security Policy Level 3, §2.2.1). A second policy can only forbid more; with form-action, also our callback.
func directive(policies []string, name string) (values []string) {
	for policy := range strings.SplitSeq(strings.Join(policies, ","), ",") {
		for part := range strings.SplitSeq(policy, ";") {
			if words := strings.Fields(part); len(words) > 0 && strings.EqualFold(words[0], name) {
				values = append(values, strings.Join(words[1:], " "))
				break
			}
		}
	}
	return values
}

func hasWord(word string) func(string) bool {
	return func(value string) bool {
		return slices.ContainsFunc(strings.Split(value, ","), func(part string) bool { return strings.EqualFold(strings.TrimSpace(part), word) })
	}
}

// unlike describes a header that is missing or not good; "" if it is good.
func unlike(value string, good func(string) bool) string {
	switch {
	case value == "":
		return "it is missing"
	case !good(value):
		return fmt.Sprintf("it is %.100q", value)
	}
	return ""
}

// authorizeRefusals sends requests that must end at the page itself: a redirect would send a code, or a user, elsewhere.
func (p *Probe) authorizeRefusals(ctx context.Context) {
	const evil = "evil.example"
	with := func(name string, values ...string) url.Values {
		q := p.request()
		q[name] = values
		return q
	}
	good := redirectTo(probePort)
	tests := []struct {
		name  string
		query url.Values
	}{
		{"port with another host behind it", with("redirect_uri", "http://127.0.0.1:80@"+evil+"/callback")},
		{"port in hexadecimal", with("redirect_uri", redirectTo("0xD1B2"))},
		{"port with a fragment", with("redirect_uri", redirectTo(probePort+"#"))},
		{"port with a leading zero", with("redirect_uri", redirectTo("0"+probePort))},
		{"negative port", with("redirect_uri", redirectTo("-1"))},
		{"port out of range", with("redirect_uri", redirectTo("65536"))},
		{"privileged port", with("redirect_uri", redirectTo("80"))},
		{"no port", with("redirect_uri", "http://127.0.0.1/callback")},
		{"two redirect addresses", with("redirect_uri", good, "https://"+evil+"/callback")},
		{"redirect to another host", with("redirect_uri", "https://"+evil+"/callback")},
		{"redirect to localhost", with("redirect_uri", "http://localhost:"+probePort+"/callback")},
		{"redirect to another path", with("redirect_uri", good+"/../"+evil)},
		{"redirect with a query", with("redirect_uri", good+"?next="+evil)},
		{"redirect over https", with("redirect_uri", "https://127.0.0.1:"+probePort+"/callback")},
		{"redirect to a script", with("redirect_uri", "javascript://127.0.0.1:"+probePort+"/callback")},
		{"no redirect address", with("redirect_uri")},
		{"no state", with("state")},
		{"short state", with("state", "short")},
		{"two states", with("state", p.state, p.state)},
		{"no challenge", with("code_challenge")},
		{"two challenges", with("code_challenge", p.challenge, p.challenge)},
		{"plain challenge", with("code_challenge_method", "plain")},
		{"no challenge method", with("code_challenge_method")},
		{"another client", with("client_id", evil)},
		{"two clients", with("client_id", config.CompanionClient, evil)},
		{"token in the address", with("response_type", "token")},
		{"machine name that turns the line round", with("machine_name", "\u202e"+evil)},
		{"machine name too long", with("machine_name", strings.Repeat("x", 65))},
		{"request of 9 KiB", with("padding", strings.Repeat("x", 9<<10))},
	}
	framed := false
	for _, tt := range tests {
		a, err := p.ask(ctx, http.MethodGet, "/cli-auth?"+tt.query.Encode(), asBrowser(), "")
		words := ""
		switch {
		case err != nil || a.status != http.StatusBadRequest || a.header.Get("Location") != "":
			words = seen(a, err)
			// A server in front of the app may have a shorter limit of its own.
			if long := tt.query.Has("padding"); long && err == nil && a.header.Get("Location") == "" &&
				(a.status == http.StatusRequestURITooLong || a.status == http.StatusRequestHeaderFieldsTooLarge) {
				words = ""
			}
		case bytes.Contains(a.body, []byte(evil)):
			words = "the page repeats what was sent"
		}
		if !p.holds("authorize refuses: "+tt.name, words, cureProxy) || framed {
			continue
		}
		framed = true
		p.policy("authorize refuses", a.header, "'self'")
	}
}

// tokenEndpoint sends requests without a valid code or token.
func (p *Probe) tokenEndpoint(ctx context.Context) {
	const path = "/api/cli-auth/token"
	code := func(change func(url.Values)) string {
		form := url.Values{"grant_type": {"authorization_code"}, "client_id": {config.CompanionClient}, "code": {"x." + p.state},
			"redirect_uri": {redirectTo(probePort)}, "code_verifier": {p.state}}
		if change != nil {
			change(form)
		}
		return form.Encode()
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "client_id": {config.CompanionClient}, "refresh_token": {"x." + p.state}}.Encode()
	tests := []struct {
		name, method, kind, body string
		status                   int
		code                     string
	}{
		{"GET", http.MethodGet, "", "", 405, ""},
		{"JSON in place of a form", http.MethodPost, "application/json", `{"grant_type":"refresh_token"}`, 415, "invalid_request"},
		{"another client", http.MethodPost, "", code(func(f url.Values) { f.Set("client_id", "another") }), 401, "invalid_client"},
		{"no client", http.MethodPost, "", code(func(f url.Values) { f.Del("client_id") }), 401, "invalid_client"},
		{"made-up code", http.MethodPost, "", code(nil), 400, "invalid_grant"},
		{"made-up refresh token", http.MethodPost, "", refresh, 400, "invalid_grant"},
		{"no verifier", http.MethodPost, "", code(func(f url.Values) { f.Del("code_verifier") }), 400, "invalid_request"},
		{"a password", http.MethodPost, "", code(func(f url.Values) { f.Set("grant_type", "password") }), 400, "unsupported_grant_type"},
		{"two codes", http.MethodPost, "", code(func(f url.Values) { f.Add("code", "y") }), 400, "invalid_request"},
		{"form of 17 KiB", http.MethodPost, "", code(func(f url.Values) { f.Set("padding", strings.Repeat("x", 17<<10)) }), 413, "invalid_request"},
	}
	for _, tt := range tests {
		header := http.Header{"Content-Type": {cmp.Or(tt.kind, "application/x-www-form-urlencoded")}}
		a, err := p.ask(ctx, tt.method, path, header, tt.body)
		words := ""
		if err != nil || a.status != tt.status || a.oauthError() != tt.code && tt.code != "" {
			words = fmt.Sprintf("%s, not status %d %s", seen(a, err), tt.status, tt.code)
		}
		p.holds("token refuses: "+tt.name, strings.TrimSpace(words), cureRoutes)
		if tt.name == "made-up code" && err == nil {
			p.holds("token: Cache-Control", unlike(a.header.Get("Cache-Control"), hasWord("no-store")), cureRoutes)
		}
	}
	// A page of another origin must not read an answer.
	foreign := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {"https://evil.example"}}
	a, err := p.ask(ctx, http.MethodPost, path, foreign, refresh)
	p.holds("token: no CORS", cors(a, err), cureCORS)
	foreign.Set("Access-Control-Request-Method", "POST")
	a, err = p.ask(ctx, http.MethodOptions, path, foreign, "")
	p.holds("token: no CORS before a request", cors(a, err), cureCORS)
}

func cors(a answered, err error) string {
	if err != nil {
		return err.Error()
	}
	if allowed := a.header.Get("Access-Control-Allow-Origin"); allowed != "" {
		return fmt.Sprintf("Access-Control-Allow-Origin is %.100q", allowed)
	}
	return ""
}

// approveEndpoint sends the consent form as a browser would for pages of other origins.
func (p *Probe) approveEndpoint(ctx context.Context) {
	const path = "/api/cli-auth/approve"
	form := p.consentForm("sess_unknown", "")
	send := func(headers ...string) (answered, error) {
		h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}}
		for i := 0; i+1 < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return p.ask(ctx, http.MethodPost, path, h, form.Encode())
	}
	for _, tt := range []struct {
		name    string
		headers []string
	}{
		{"form of another page", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}},
		{"form of a page without an origin", []string{"Origin", "null"}},
		{"form without an origin", nil},
		{"origin that does not fit the rest", []string{"Origin", p.origin, "Sec-Fetch-Site", "same-site"}},
	} {
		a, err := send(tt.headers...)
		words := ""
		if err != nil || a.status != http.StatusForbidden || a.header.Get("Location") != "" {
			words = seen(a, err) + ", not status 403"
		}
		p.holds("approve refuses: "+tt.name, words, cureRoutes)
	}
	// The page's own form without a session: back to the page, never to the listener.
	a, err := p.approveAs(ctx, nil, form)
	words := ""
	if err != nil || a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), p.origin+"/cli-auth?") {
		words = seen(a, err) + ", not 303 to /cli-auth"
	}
	p.holds("approve: a user who is signed out is asked again", words, cureProxy)
}

// revokeEndpoint checks that an unknown token is answered like a known one (RFC 7009 §2.2).
func (p *Probe) revokeEndpoint(ctx context.Context) {
	const path = "/api/cli-auth/revoke"
	a, err := p.post(ctx, path, url.Values{"client_id": {config.CompanionClient}, "token": {"x." + p.state}})
	words := ""
	if err != nil || a.status != http.StatusOK {
		words = seen(a, err) + ", not status 200"
	}
	p.holds("revoke: a made-up token", words, cureRoutes)
	a, err = p.post(ctx, path, url.Values{"client_id": {"another"}, "token": {"x." + p.state}})
	words = ""
	if err != nil || a.status != http.StatusUnauthorized {
		words = seen(a, err) + ", not status 401"
	}
	p.holds("revoke refuses: another client", words, cureRoutes)
}

// cureStore is the remedy for a page without a store.
const cureStore = "set CLI_AUTH_STORE"

func (p *Probe) hasStore() bool {
	return p.described.Companion.Store != nil && *p.described.Companion.Store
}

// store adds a line with what a page without a store does not promise.
func (p *Probe) store() {
	if !p.hasStore() {
		p.add(Line{NotKept, "that codes and refresh tokens work once, and that revoke holds", "no store", cureStore})
	}
}

// randomWord returns 32 random bytes in base64url.
func randomWord() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
