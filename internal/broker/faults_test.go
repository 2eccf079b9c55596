package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"
)

// ring is a broker with a real client before a stand-in for Clerk. Only the keychain and the clock are not real, and the
// copy of the program that refreshes is a function: like a copy, it leaves only a record and a status.
type ring struct {
	*broker.Broker
	t         *testing.T
	p         *config.Profile
	clerk     *sandbox.Server
	keychain  *platformtest.Memory
	records   *platformtest.Memory
	skew      time.Duration // of this machine's clock
	transport *silence
	client    *clerk.Client
	copies    sync.WaitGroup // of the program, which refresh
	since2000 time.Duration  // when synctest's clock begins
}

// newClerk starts a stand-in for Clerk, and returns its origin.
func newClerk(t *testing.T) (*sandbox.Server, string) {
	t.Helper()
	s := sandbox.New(sandbox.Options{Auto: true})
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	s.SetIssuer(server.URL)
	return s, server.URL
}

func newRing(t *testing.T, s *sandbox.Server, issuer, more string) *ring {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	r := &ring{t: t, clerk: s, keychain: &platformtest.Memory{}, records: &platformtest.Memory{}, transport: &silence{RoundTripper: transport}}
	cfg := parse(t, fmt.Sprintf("[profiles.acme]\nissuer = %q\nclient_id = \"sandbox-client\"\nhosts = [\"git.acme.dev\"]\n%s", issuer, more))
	r.p = cfg.Profiles[0]
	now := func() time.Time { return time.Now().Add(r.skew + r.since2000) }
	r.client = &clerk.Client{
		Transport: r.transport, UserAgent: "clerk-credential-helper/test", Now: now, Documents: r.records,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	r.Broker = &broker.Broker{
		Config:   cfg,
		Keychain: r.keychain,
		Locks:    platform.Locks{Dir: filepath.Join(t.TempDir(), "locks")},
		Records:  r.records,
		Issuer:   func(*config.Profile) (broker.Issuer, error) { return broker.Clerk(r.client), nil },
		Now:      now,
		Person: &person{invite: func(ctx context.Context, _ *config.Profile, i clerk.Invitation) error {
			jar, err := cookiejar.New(nil)
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.StartURL, nil)
			if err != nil {
				return err
			}
			go func() { // like a browser, which is not waited for
				if resp, err := (&http.Client{Jar: jar}).Do(req); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}()
			<-ctx.Done()
			return nil
		}},
	}
	r.SpawnRefresh = func(ctx context.Context, p *config.Profile, seen time.Time) error {
		err := r.RefreshOnce(context.WithoutCancel(ctx), p, seen)
		if fault := platform.FaultOf(err); fault != 0 {
			return fault // by its exit status
		}
		if err != nil {
			return errors.New("exit status 1")
		}
		return nil
	}
	return r
}

func (r *ring) get() protocol.Reply {
	return r.Answer(r.t.Context(), protocol.Request{Verb: protocol.Get, Scheme: "https", Host: "git.acme.dev"})
}

// session is the kept session; ok is false if there is none.
func (r *ring) session() (s broker.Session, ok bool) {
	r.t.Helper()
	s, ok, err := r.ReadSession(r.t.Context(), r.p)
	if err != nil {
		r.t.Fatal(err)
	}
	return s, ok
}

// signIn gives the profile a session that was received that long ago.
func (r *ring) signIn(age time.Duration) broker.Session {
	r.t.Helper()
	s, err := r.Login(r.t.Context(), r.p)
	if err != nil {
		r.t.Fatal(err)
	}
	s.ReceivedAt, s.ExpiresAt = s.ReceivedAt.Add(-age), s.ExpiresAt.Add(-age)
	text, err := json.Marshal(s)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.keychain.Set(r.t.Context(), broker.KeychainItem(r.p), string(text)); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// What is kept, as in docs/reliability.md.
const (
	keptNothing = "nothing"
	keptOld     = "the session as it was"
	keptNew     = "the new session"
	keptRotated = "the session, with the new refresh token"
	keptToken   = "the session, with the new token"
	keptName    = "whose session it was"
)

func (r *ring) kept(before broker.Session) string {
	s, ok := r.session()
	switch {
	case !ok:
		return keptNothing
	case reflect.DeepEqual(s, before):
		return keptOld
	case s.AccessToken == "" && s.RefreshToken == "" && s.Subject == before.Subject:
		return keptName
	case s.AccessToken == before.AccessToken && s.RefreshToken != before.RefreshToken:
		return keptRotated
	case s.AccessToken != before.AccessToken && s.RefreshToken == before.RefreshToken:
		return keptToken
	case s.AccessToken != before.AccessToken:
		return keptNew
	}
	return fmt.Sprintf("%+v", s)
}

// What the next get does when the fault is over, as in docs/reliability.md.
const (
	nextStore   = "answers from the store"
	nextRefresh = "refreshes"
	nextSignIn  = "asks for one sign-in"
	nextPeace   = "hears so for a minute without a page; login asks"
	nextPause   = "hears so until the named pause is over, and refreshes then"
	nextMinute  = "hears so for a minute, and refreshes then; login asks"
	nextVain    = "hears that the grant has ended, and asks for one sign-in"
)

func (r *ring) next() string {
	refreshes, signIns := r.clerk.Count("token:refresh_token"), r.clerk.Count("token:authorization_code")
	if until, _ := r.CoolDown(r.t.Context(), r.p); !until.IsZero() {
		return nextPeace
	}
	reply := r.get()
	paused, minute := false, false
	if reply.Err != nil && strings.Contains(reply.Err.Error(), "it accepts no other request before") && r.clerk.Count("token:refresh_token") == refreshes {
		r.skew = 2 * time.Minute
		reply, paused = r.get(), true
	} else if broker.CannotRefresh(reply.Err) && r.clerk.Count("token:refresh_token") == refreshes {
		r.skew = time.Minute
		reply, minute = r.get(), true
	}
	refreshes, signIns = r.clerk.Count("token:refresh_token")-refreshes, r.clerk.Count("token:authorization_code")-signIns
	what, ok := map[[2]int]string{{0, 0}: nextStore, {1, 0}: nextRefresh, {0, 1}: nextSignIn, {1, 1}: nextVain}[[2]int{refreshes, signIns}]
	if paused && what == nextRefresh {
		what = nextPause
	}
	if minute && what == nextRefresh {
		what = nextMinute
	}
	if reply.Result != protocol.Found || !ok {
		return fmt.Sprintf("%d refreshes, %d sign-ins: %v", refreshes, signIns, reply.Err)
	}
	return what
}

// silence is a network on which the answer to a form is lost. heard reports whether the issuer has done its part; if it is nil,
// the network works. If proxy is not nil, no request gets through.
type silence struct {
	http.RoundTripper
	heard func() bool
	proxy error
}

func noProxy(err error) func(*ring) { return func(r *ring) { r.transport.proxy = err } }

func (s *silence) RoundTrip(req *http.Request) (*http.Response, error) {
	if s.proxy != nil {
		return nil, s.proxy
	}
	if s.heard == nil || req.Method != http.MethodPost {
		return s.RoundTripper.RoundTrip(req)
	}
	ctx, giveUp := context.WithCancel(req.Context())
	defer giveUp()
	var wg sync.WaitGroup
	wg.Go(func() {
		if resp, err := s.RoundTripper.RoundTrip(req.WithContext(ctx)); err == nil {
			resp.Body.Close()
		}
	})
	for !s.heard() && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	giveUp()
	wg.Wait()
	return nil, errors.New("no answer")
}

// silent is an issuer whose answer is a minute away. The client waits for it for 30 s; here it gives up as soon as the
// request has arrived. With status 0 the issuer rotates the token.
func silent(status int) func(*ring) {
	return func(r *ring) {
		asked, issued := r.clerk.Count("token:refresh_token"), len(r.clerk.Issued())
		r.transport.heard = func() bool {
			return r.clerk.Count("token:refresh_token") > asked && (status != 0 || len(r.clerk.Issued()) > issued)
		}
		r.clerk.SetFaults(func(f *sandbox.Faults) { f.TokenStatus, f.Delay = status, time.Minute })
	}
}

// direct is a network without sockets, on which time can be synctest's.
type direct struct{ http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.ServeHTTP(answer, req)
	}()
	select {
	case <-done:
		return answer.Result(), nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// slowly does f on synctest's clock. The copy that refreshes goes on when its caller gives up.
func (r *ring) slowly(f func()) {
	now, person := time.Now(), r.Person
	r.Person = broker.NoPerson{Reason: errors.New("a browser needs sockets")}
	synctest.Test(r.t, func(*testing.T) {
		r.since2000 = time.Until(now)
		r.clerk.Advance(r.since2000)
		r.transport.RoundTripper = direct{r.clerk}
		r.SpawnRefresh = func(ctx context.Context, p *config.Profile, seen time.Time) error {
			done := make(chan error, 1)
			r.copies.Go(func() { done <- r.RefreshOnce(context.WithoutCancel(ctx), p, seen) })
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-done:
				return err
			}
		}
		f()
		r.clerk.Advance(-r.since2000)
	})
	r.since2000, r.Person = 0, person
}

// delays are an issuer that takes its time. Its metadata is not known yet.
func delays(discovery, token time.Duration) func(*ring) {
	return func(r *ring) {
		r.forgetIssuer()
		r.clerk.SetFaults(func(f *sandbox.Faults) { f.DiscoveryDelay, f.Delay = discovery, token })
	}
}

// forgetIssuer forgets the metadata of the issuer that was kept at the sign-in.
func (r *ring) forgetIssuer() {
	for _, name := range r.records.Names() {
		if strings.HasPrefix(name, "issuer-") {
			r.records.Delete(r.t.Context(), name)
		}
	}
}

// ageIssuer makes the metadata that was kept at the sign-in older.
func (r *ring) ageIssuer(age time.Duration) {
	for _, name := range r.records.Names() {
		if !strings.HasPrefix(name, "issuer-") {
			continue
		}
		text, err := r.records.Get(r.t.Context(), name)
		var kept map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal([]byte(text), &kept)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		kept["at"] = fmt.Appendf(nil, "%q", r.Now().Add(-age).UTC().Format(time.RFC3339))
		aged, err := json.Marshal(kept)
		if err != nil {
			r.t.Fatal(err)
		}
		r.records.Set(r.t.Context(), name, string(aged))
	}
}

// TestSilenceIsShared: all who wait for an issuer that says nothing hear so after the same 20 s, and one has asked. After 2 s
// the person is told what they wait for.
func TestSilenceIsShared(t *testing.T) {
	testworld.Long(t, "file locks are looked at again and again")
	s, issuer := newClerk(t)
	for _, session := range []string{expired, none} {
		r := newRing(t, s, issuer, "")
		if session == expired {
			r.signIn(25 * time.Hour)
		}
		delays(time.Minute, 0)(r)
		asked, asking := s.Count("discovery"), r.Person
		var told sync.Map
		r.Tell = func(text string) { told.Store(text, time.Now()) }
		r.client.Tell = r.Tell
		r.slowly(func() {
			r.Person = asking // no page is opened
			began := time.Now()
			var waiting sync.WaitGroup
			for range 8 {
				waiting.Go(func() {
					if reply := r.get(); !errors.Is(reply.Err, broker.ErrUnreachable) {
						t.Errorf("%s: %+v", session, reply)
					}
				})
			}
			waiting.Wait()
			r.copies.Wait()
			if took := time.Since(began); took < 20*time.Second || took > 24*time.Second { // who waits looks once a second in the end
				t.Errorf("%s: it took %v", session, took)
			}
			at, ok := told.Load(clerk.Waiting(strings.TrimPrefix(issuer, "http://")))
			if !ok || at.(time.Time).Sub(began).Round(time.Second) != 2*time.Second {
				t.Errorf("%s: told at %v", session, at)
			}
		})
		if n := s.Count("discovery") - asked; n != 1 {
			t.Errorf("%s: %d requests", session, n)
		}
		s.SetFaults(func(f *sandbox.Faults) { *f = sandbox.Faults{} })
	}
}

// errFull is a full disk.
var errFull = &os.PathError{Op: "open", Path: "signin.lock", Err: syscall.ENOSPC}

// fullLocks are locks in a folder where no file can be created.
type fullLocks struct{}

func (fullLocks) Lock(context.Context, string) (func(), error) { return nil, errFull }
func (fullLocks) TryLock(string) (func(), bool, error)         { return nil, false, errFull }
func answers(f func(*sandbox.Faults)) func(*ring)              { return func(r *ring) { r.clerk.SetFaults(f) } }
func status(n int, body string) func(*ring) {
	return answers(func(f *sandbox.Faults) { f.TokenStatus, f.TokenBody = n, body })
}
func (r *ring) failWrites(from int, item string, failures int) {
	n := 0
	r.keychain.Hook = func(op, name string) error {
		if op != "set" || !strings.HasPrefix(name, item) {
			return nil
		}
		if n++; n >= from && n < from+failures {
			return errors.New("no")
		}
		return nil
	}
}

// faults is the table of docs/reliability.md: what fails, the error that a tool gets (empty for a token), what is kept, and
// what the next get does when the fault is over. The access token has expired, or there is no session yet.
func faults() []fault {
	const refreshing = `refreshing the session of profile "acme": `
	return []fault{
		{"500", expired, status(500, ""), refreshing + "the issuer answered with status 500", keptOld, nextRefresh},
		oauth("invalid_scope", 400, "the issuer refuses a scope of the profile (invalid_scope)", nextMinute),
		oauth("invalid_client", 401, "the issuer does not accept the client id of the profile (invalid_client)", nextMinute),
		oauth("unauthorized_client", 400, "the issuer does not allow this to the client of the profile (unauthorized_client)", nextMinute),
		oauth("unsupported_grant_type", 400, "the issuer does not offer this grant (unsupported_grant_type)", nextMinute),
		oauth("invalid_request", 400, "the issuer calls the request invalid (invalid_request)", nextMinute),
		oauth("invalid_target", 400, "the issuer refuses the resource (invalid_target)", nextMinute),
		oauth("server_error", 500, "the issuer has an error of its own (server_error)", nextRefresh),
		oauth("temporarily_unavailable", 503, "the issuer is not available for now (temporarily_unavailable)", nextRefresh),
		oauth("never_heard_of", 400, "the issuer refuses, with an error that this release does not know (status 400)", nextMinute),
		{"400 with an error in Clerk's own form", expired, status(400, `{"errors":[{"code":"host_invalid","message":"Invalid host"}]}`), refreshing + "Clerk knows no such issuer (host_invalid)", keptOld, nextMinute},
		{"429 with Retry-After", expired, answers(func(f *sandbox.Faults) {
			f.TokenStatus, f.TokenHeader = 429, http.Header{"Retry-After": {"120"}}
		}), refreshing + "the issuer answered with status 429", keptOld, nextPause},
		{"403 without a body", expired, status(403, ""), refreshing + "the issuer answered with status 403", keptOld, nextRefresh},
		{"302 to somewhere", expired, answers(func(f *sandbox.Faults) {
			f.TokenStatus, f.TokenHeader = 302, http.Header{"Location": {"https://evil.example/"}}
		}), refreshing + "the issuer answered with status 302", keptOld, nextRefresh},
		{"200 with HTML", expired, status(200, "<html>sign in to the wireless network</html>"), refreshing + "the issuer's answer could not be used", keptOld, nextRefresh},
		{"10 MiB", expired, status(200, strings.Repeat("x", 10<<20)), refreshing + "the issuer cannot be reached", keptOld, nextRefresh},
		{"half a body", expired, answers(func(f *sandbox.Faults) { f.TokenTruncate = true }), refreshing + "the issuer cannot be reached", keptOld, nextVain},
		{"silence, and the token is not rotated", expired, silent(500), refreshing + "the issuer cannot be reached", keptOld, nextRefresh},
		{"silence, and the token is rotated", expired, silent(0), refreshing + "the issuer cannot be reached", keptOld, nextVain},
		{"the connection is closed, and the token is not rotated", expired, answers(func(f *sandbox.Faults) { f.TokenDrop = true }), refreshing + "the issuer cannot be reached", keptOld, nextRefresh},
		{"the connection is closed, and the token is rotated", expired, answers(func(f *sandbox.Faults) { f.TokenLose = true }), refreshing + "the issuer cannot be reached", keptOld, nextVain},
		{"the proxy wants a password", expired, noProxy(&clerk.ProxyError{Status: 407}), refreshing + "the proxy that HTTPS_PROXY names wants a user and a password (status 407)", keptOld, nextRefresh},
		{"the proxy redirects", expired, noProxy(&clerk.ProxyError{Status: 302}), refreshing + "the proxy that HTTPS_PROXY names refuses (status 302)", keptOld, nextRefresh},
		{"the proxy is not there", expired, noProxy(&clerk.ProxyError{Err: errors.New("connection refused")}), refreshing + "the proxy that HTTPS_PROXY names gives no connection", keptOld, nextRefresh},
		{"HTTPS_PROXY is not an address", expired, noProxy(&clerk.ProxyError{Err: clerk.ErrProxyAddress}), refreshing + "HTTPS_PROXY cannot be used: it is not the address of a proxy", keptOld, nextRefresh},
		{"token_type in other letters", expired, answers(func(f *sandbox.Faults) { f.TokenType = "BeArEr" }), "", keptNew, nextStore},
		{"token_type mac", expired, answers(func(f *sandbox.Faults) { f.TokenType = "mac" }), refreshing + "the issuer's answer could not be used", keptRotated, nextRefresh},
		{"no refresh_token", expired, answers(func(f *sandbox.Faults) { f.OmitRefreshToken = true }), "", keptToken, nextStore},
		{"no expires_in", expired, answers(func(f *sandbox.Faults) { f.OmitExpiresIn = true }), "", keptNew, nextStore},
		{`no id_token with token = "id"`, expiredID, answers(func(f *sandbox.Faults) { f.OmitIDToken = true }), `profile "acme" needs a sign-in (the refresh brought no ID token), which is not allowed here: no terminal`, keptRotated, nextSignIn},
		{"another account in the refreshed token", expired, answers(func(f *sandbox.Faults) { f.OtherSubject = true }), refreshing + "the issuer's answer could not be used", keptRotated, nextRefresh},
		{"the key set is down at a refresh", expired, answers(func(f *sandbox.Faults) { f.JWKSDown = true }), "", keptNew, nextStore},
		{"the key set is down at a sign-in", none, answers(func(f *sandbox.Faults) { f.JWKSDown = true }), `signing in to profile "acme": keys endpoint: status 503`, keptNothing, nextSignIn},
		{"the token endpoint answers 500 at a sign-in", none, status(500, ""), `signing in to profile "acme": token endpoint: status 500`, keptNothing, nextPeace},
		{"discovery answers 503", expired, answers(func(f *sandbox.Faults) { f.DiscoveryStatus = 503 }), "", keptNew, nextStore},
		{"discovery answers 503, and no metadata is kept", expired, func(r *ring) {
			r.forgetIssuer()
			r.clerk.SetFaults(func(f *sandbox.Faults) { f.DiscoveryStatus = 503 })
		}, refreshing + "the issuer answered with status 503", keptOld, nextRefresh},
		{"discovery takes 9 s, and the token endpoint 20 s", slow, delays(9*time.Second, 20*time.Second), "", keptNew, nextStore},
		{"discovery takes 22 s, and no metadata is kept", slow, delays(22*time.Second, 0), refreshing + "the issuer cannot be reached", keptOld, nextRefresh},
		{"discovery takes 22 s, and the metadata of yesterday is kept", slow, func(r *ring) {
			r.ageIssuer(25 * time.Hour)
			r.clerk.SetFaults(func(f *sandbox.Faults) { f.DiscoveryDelay = 22 * time.Second })
		}, "", keptNew, nextStore},
		{"the token endpoint takes 55 s", slow, delays(0, 55*time.Second), refreshing + "the issuer has not answered yet; the refresh goes on in the background", keptNew, nextStore},
		{"discovery takes 9 s, and the token endpoint 55 s", slow, delays(9*time.Second, 55*time.Second), refreshing + "the issuer has not answered yet; the refresh goes on in the background", keptNew, nextStore},
		{"the token endpoint takes 65 s", slow, delays(0, 65*time.Second), refreshing + "the issuer has not answered yet; the refresh goes on in the background", keptOld, nextVain},
		{"the keychain refuses writes", expired, func(r *ring) { r.failWrites(1, "session", 1000) }, refreshing + "the keychain failed", keptOld, nextRefresh},
		{"the disk is full before a refresh", expired, func(r *ring) { r.keychain.Hook, r.records.Hook = full, full }, refreshing + "no space left on device", keptOld, nextRefresh},
		{"the disk fails before a refresh", expired, func(r *ring) { r.keychain.Hook = failing(syscall.EIO) }, refreshing + "the keychain failed: input/output error", keptOld, nextRefresh},
		{"the quota is used up before a sign-in", none, func(r *ring) { r.keychain.Hook = failing(syscall.EDQUOT) },
			`signing in to profile "acme": the keychain failed: it stores nothing: write session.json: disk quota exceeded`, keptNothing, nextSignIn},
		{"the keychain refuses writes after the refresh", expired, func(r *ring) { r.failWrites(2, "session", 1000) }, refreshing + "the keychain failed", keptOld, nextVain},
		{"the keychain fails once after the refresh", expired, func(r *ring) { r.failWrites(2, "session", 1) }, "", keptNew, nextStore},
		{"the keychain refuses writes before a sign-in", none, func(r *ring) { r.failWrites(1, "", 1000) }, `signing in to profile "acme": the keychain failed: it stores nothing: no`, keptNothing, nextSignIn},
		{"the keychain refuses writes after a sign-in", none, func(r *ring) { r.failWrites(1, "session", 1000) }, `signing in to profile "acme": keeping the session of profile "acme": the keychain failed: no`, keptNothing, nextSignIn},
		{"the clock is 10 min fast at a refresh", expired, func(r *ring) { r.skew = 10 * time.Minute }, "", keptNew, nextRefresh},
		{"the clock is 10 min slow at a refresh", expired, func(r *ring) { r.skew = -10 * time.Minute }, "", keptNew, nextStore},
		{"the clock is 4 min fast at a sign-in", none, func(r *ring) { r.skew = 4 * time.Minute }, "", keptNew, nextRefresh},
		{"the clock is 4 min slow at a sign-in", none, func(r *ring) { r.skew = -4 * time.Minute }, "", keptNew, nextStore},
		{"the clock is 10 min fast at a sign-in", none, func(r *ring) { r.skew = 10 * time.Minute }, "", keptNew, nextRefresh},
		{"the clock is 10 min slow at a sign-in", none, func(r *ring) { r.skew = -10 * time.Minute }, `signing in to profile "acme": ID token: its times do not fit this machine's clock, which is 10m0s behind the issuer's: it was issued in the future`, keptNothing, nextSignIn},
		{"no lock can be made at a refresh", expired, func(r *ring) { r.Locks = fullLocks{} }, `waiting for the refresh of profile "acme": open signin.lock: no space left on device`, keptOld, nextRefresh},
		{"no lock can be made at a sign-in", none, func(r *ring) { r.Locks = fullLocks{} }, `signing in to profile "acme": open signin.lock: no space left on device`, keptNothing, nextSignIn},
		{"no record can be written at a refresh", expired, func(r *ring) { r.records.Hook = full }, "", keptNew, nextStore},
		{"no record can be written at a sign-in", none, func(r *ring) { r.records.Hook = full }, `signing in to profile "acme": no record can be written for the processes that wait: open signin.lock: no space left on device`, keptNothing, nextSignIn},
	}
}

// oauth is a refresh that is refused with an error of OAuth.
func oauth(code string, answer int, hears, next string) fault {
	begin := status(answer, fmt.Sprintf(`{"error":%q,"error_description":"foreign words"}`, code))
	return fault{fmt.Sprintf("%d %s", answer, code), expired, begin, `refreshing the session of profile "acme": ` + hears, keptOld, next}
}

func full(op, _ string) error {
	if op == "set" {
		return errFull
	}
	return nil
}

// failing is a disk that answers every write so.
func failing(errno syscall.Errno) func(op, name string) error {
	return func(op, _ string) error {
		if op != "set" {
			return nil
		}
		return &os.PathError{Op: "write", Path: "session.json", Err: errno}
	}
}

type fault struct {
	name, session     string
	begin             func(*ring)
	hears, kept, next string
}

// The sessions that a fault meets.
const (
	none      = "none"
	expired   = "expired"
	expiredID = "expired ID token"
	slow      = "expired, and the clock is synctest's"
)

func (f fault) row() string {
	hears := f.hears
	if hears == "" {
		hears = "the token"
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", f.name, hears, f.kept, f.next)
}

// during begins a fault, and returns how to end it.
func (r *ring) during(f fault) (over func()) {
	locks := r.Locks
	f.begin(r)
	return func() {
		r.keychain.Hook, r.records.Hook, r.Locks, r.skew, r.transport.heard, r.transport.proxy = nil, nil, locks, 0, nil, nil
		r.clerk.SetFaults(func(f *sandbox.Faults) { *f = sandbox.Faults{} })
	}
}

// TestFaults tries one fault at a time.
func TestFaults(t *testing.T) {
	testworld.Long(t, "much of it is waiting")
	t.Parallel()
	s, issuer := newClerk(t)
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			more := ""
			if f.session == expiredID {
				more = `token = "id"`
			}
			r := newRing(t, s, issuer, more)
			var before broker.Session
			switch f.session {
			case expired, slow:
				before = r.signIn(25 * time.Hour)
			case expiredID: // the token itself says so
				r.clerk.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime = time.Second })
				before = r.signIn(0)
				r.clerk.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime = 0 })
				time.Sleep(time.Until(before.ExpiresAt))
			}
			got, grants := f, r.clerk.Grants()
			if before.RefreshToken != "" {
				grants--
			}
			run := func() {
				over, asked := r.during(f), r.Person
				if f.session == expiredID {
					r.Person = broker.NoPerson{Reason: errors.New("no terminal")}
				}
				reply := r.get()
				r.Person = asked
				got.hears = ""
				if reply.Result != protocol.Found {
					got.hears = reply.Err.Error()
				} else if _, err := r.clerk.Verify(reply.Credential.Token); err != nil && f.session != expiredID {
					t.Errorf("the token is not good: %v", err)
				}
				r.copies.Wait()
				over()
				got.kept = r.kept(before)
				s, _ := r.session()
				if left := r.clerk.Grants() - grants; left > 0 && (s.RefreshToken == "" || f.name == "the keychain refuses writes after the refresh") {
					t.Errorf("%d grants are left that no session has", left)
				}
				if f.session != slow || f.next == nextStore {
					got.next = r.next()
				}
			}
			if f.session == slow {
				r.slowly(run)
			} else {
				run()
			}
			if f.session == slow && f.next != nextStore {
				got.next = r.next() // with sockets, for the browser
			}
			if got.row() != f.row() {
				t.Errorf("got\n%s\nwant\n%s", got.row(), f.row())
			}
		})
	}
}

// TestFaultsUnderALiveToken: while the token is live, a tool gets it or the new one, whatever fails.
func TestFaultsUnderALiveToken(t *testing.T) {
	testworld.Long(t, "each row waits for the time that a live token gives")
	t.Parallel()
	s, issuer := newClerk(t)
	for _, f := range faults() {
		if f.session != expired {
			continue
		}
		for when, age := range map[string]time.Duration{"min_ttl": 24*time.Hour - 4*time.Minute, "ahead of need": 13 * time.Hour} {
			t.Run(f.name+", "+when, func(t *testing.T) {
				r := newRing(t, s, issuer, "")
				r.signIn(age)
				over := r.during(f)
				if r.skew > 0 && when == "min_ttl" {
					t.Skip("by a clock that is 10 min fast the token does not live any more")
				}
				reply := r.get()
				over()
				if _, err := r.clerk.Verify(reply.Credential.Token); reply.Result != protocol.Found || err != nil {
					t.Errorf("got %+v, %v", reply, err)
				}
			})
		}
	}
}

// TestFaultsAreDocumented: docs/reliability.md has the rows of the table, and no others.
func TestFaultsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| fault | a tool hears | kept | the next get, the fault being over, |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for _, f := range faults() {
		want = append(want, f.row())
	}
	if got := strings.Split(table, "\n"); !slices.Equal(got, want) {
		t.Errorf("the table is not this one:\n%s", strings.Join(want, "\n"))
	}
}

// TestLiveTokenIsNotHeldUp: a caller with a live token waits 2 s for a new one, and then does not wait for the keychain.
func TestLiveTokenIsNotHeldUp(t *testing.T) {
	testworld.Long(t, "it waits for 6 s")
	t.Parallel()
	for when, age := range map[string]time.Duration{"min_ttl": 24*time.Hour - 4*time.Minute, "ahead of need": 13 * time.Hour} {
		b := newBench(t)
		b.have(age)
		b.SpawnRefresh = func(ctx context.Context, _ *config.Profile, _ time.Time) error {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > 2*time.Second {
				t.Errorf("%s: the caller waits until %v", when, end)
			}
			<-ctx.Done()
			b.keychain.Hook = func(op, _ string) error {
				t.Errorf("%s: %s of the keychain when the time is up", when, op)
				return nil
			}
			return ctx.Err()
		}
		if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" {
			t.Errorf("%s: got %+v", when, reply)
		}

		// It does not wait longer for the lock of another process's refresh either.
		b = newBench(t)
		b.have(age)
		release, err := b.Locks.Lock(t.Context(), strings.Replace(broker.KeychainItem(b.acme), "session", "refresh", 1))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" {
			t.Errorf("%s, locked: got %+v", when, reply)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s, locked: it took %v", when, took)
		}
		release()
		b.wantCalls()
	}
}

// countedLocks counts the calls that begin to wait.
type countedLocks struct {
	broker.Locker
	calls chan struct{}
}

func (l countedLocks) Lock(ctx context.Context, name string) (func(), error) {
	l.calls <- struct{}{}
	return l.Locker.Lock(ctx, name)
}

// TestQueuedRefreshes: interrupted callers leave refreshes that wait for each other. All share the first one's error, or its
// success.
func TestQueuedRefreshes(t *testing.T) {
	for _, failure := range []error{nil, &clerk.ResponseError{Endpoint: "token", Status: 503}} {
		b := newBench(t)
		b.Now = time.Now
		seen := time.Now().UTC().Add(-25 * time.Hour)
		b.have(0, func(s *broker.Session) { s.ReceivedAt, s.ExpiresAt = seen, seen.Add(24*time.Hour) })
		b.issuer.refresh = func(clerk.Tokens) (clerk.Tokens, error) {
			if failure != nil {
				return clerk.Tokens{}, failure
			}
			return b.tokens("refreshed"), nil
		}
		release, err := b.Locks.Lock(t.Context(), broker.KeychainItem(b.acme))
		if err != nil {
			t.Fatal(err)
		}
		calls := make(chan struct{})
		b.Locks = countedLocks{b.Locks, calls}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := b.RefreshOnce(t.Context(), b.acme, seen); (err == nil) != (failure == nil) {
					t.Errorf("got %v", err)
				}
			})
			<-calls
		}
		release()
		wg.Wait()
		b.wantCalls("refresh kept-refresh")
	}
}

// TestNoRecordNoPage: if no record can be written for the processes that wait, no tool's call asks. A login asks.
func TestNoRecordNoPage(t *testing.T) {
	b := newBench(t)
	b.records.Hook = full
	if reply := b.get("git.acme.dev"); reply.Result != protocol.Refused || !errors.Is(reply.Err, syscall.ENOSPC) {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls()
	if _, err := b.Login(t.Context(), b.acme); err != nil {
		t.Error(err)
	}
}

// lateLocks lets a record arrive during the wait for the sign-in lock.
type lateLocks struct {
	broker.Locker
	arrive func()
}

func (l lateLocks) Lock(ctx context.Context, name string) (func(), error) {
	l.arrive()
	return l.Locker.Lock(ctx, name)
}

// TestRefusalArrivesLate: a refusal is written late. A call that begins meanwhile opens no other page.
func TestRefusalArrivesLate(t *testing.T) {
	b := newBench(t)
	b.Locks = lateLocks{b.Locks, func() {
		denied := `{"code":"denied","at":"2026-11-23T11:59:59.999Z","until":"2026-11-23T12:00:59.999Z","refusals":1}`
		if err := b.records.Set(t.Context(), strings.Replace(broker.KeychainItem(b.acme), "session", "signin", 1), denied); err != nil {
			t.Fatal(err)
		}
	}}
	if reply := b.get("git.acme.dev"); reply.Result != protocol.Refused || !errors.Is(reply.Err, clerk.ErrDenied) {
		t.Errorf("got %+v", reply)
	}
	b.wantCalls()
	b.person.atTerminal = true // a person at a terminal means it
	if reply := b.get("git.acme.dev"); reply.Result != protocol.Found {
		t.Errorf("at a terminal: got %+v", reply)
	}
}

// stoppedLocks are locks of which one is held by a stopped process.
type stoppedLocks struct {
	broker.Locker
	stopped string // the beginning of its name
}

func (l stoppedLocks) Lock(ctx context.Context, name string) (func(), error) {
	if strings.HasPrefix(name, l.stopped) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.Locker.Lock(ctx, name)
}

// TestRefreshBehindStopped: a person stops a git that waits for a slow issuer (Ctrl-Z) and calls another one.
func TestRefreshBehindStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.have(25 * time.Hour) // the token has ended
		b.Locks = stoppedLocks{b.Locks, "refresh-" + strings.TrimPrefix(broker.KeychainItem(b.acme), "session-")}
		began := time.Now()
		reply := b.get("git.acme.dev")
		if reply.Result != protocol.Found || reply.Credential.Token != "refreshed-access" {
			t.Errorf("got %+v", reply)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %v", took)
		}
		b.wantCalls("refresh kept-refresh")
	})
}

// failingLocks are locks on such a disk.
type failingLocks struct{ errno syscall.Errno }

func (l failingLocks) Lock(context.Context, string) (func(), error) {
	return nil, &os.PathError{Op: "lock", Path: "session.lock", Err: l.errno}
}

func (l failingLocks) TryLock(name string) (func(), bool, error) {
	_, err := l.Lock(context.Background(), name)
	return nil, false, err
}

// TestDiskFaults: the cause of what the disk or the process does reaches the tool that asks, whichever part it meets, and the
// session is as it was.
func TestDiskFaults(t *testing.T) {
	s, issuer := newClerk(t)
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.ENOLCK, syscall.EMFILE} {
		want := platform.FaultOf(errno)
		if want == 0 {
			continue // Windows has numbers of its own
		}
		for _, row := range []struct {
			part  string
			begin func(r *ring)
		}{
			{"the session is written", func(r *ring) { r.keychain.Hook = failing(errno) }},
			{"neither session nor record is written", func(r *ring) { r.keychain.Hook, r.records.Hook = failing(errno), failing(errno) }},
			{"the session is read", func(r *ring) {
				r.keychain.Hook = func(op, _ string) error { return &os.PathError{Op: op, Path: "session.json", Err: errno} }
			}},
			{"a lock is taken", func(r *ring) { r.Locks = failingLocks{errno} }},
			{"the copy's lock is taken", func(r *ring) {
				locks := r.Locks
				r.SpawnRefresh = func(ctx context.Context, p *config.Profile, seen time.Time) error {
					r.Locks = failingLocks{errno}
					defer func() { r.Locks = locks }()
					return platform.FaultOf(r.RefreshOnce(ctx, p, seen))
				}
			}},
			{"a connection is opened", func(r *ring) {
				refused := &clerk.Client{Transport: refusing{&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}},
					UserAgent: r.client.UserAgent, Now: r.client.Now, Sleep: r.client.Sleep}
				r.Issuer = func(*config.Profile) (broker.Issuer, error) { return broker.Clerk(refused), nil }
			}},
		} {
			t.Run(row.part+": "+errno.Error(), func(t *testing.T) {
				r := newRing(t, s, issuer, "")
				before := r.signIn(25 * time.Hour)
				locks := r.Locks
				row.begin(r)
				reply := r.get()
				if reply.Result == protocol.Found || platform.FaultOf(reply.Err) != want || !strings.Contains(reply.Err.Error(), want.Error()) && !strings.Contains(reply.Err.Error(), errno.Error()) {
					t.Errorf("result %v, %v; want %v", reply.Result, reply.Err, want)
				}
				r.keychain.Hook, r.records.Hook, r.Locks = nil, nil, locks
				if after, ok := r.session(); !ok || after.RefreshToken != before.RefreshToken {
					t.Errorf("there is a session: %v; it is another one", ok)
				}
			})
		}
	}
}

// refusing is a network on which nothing can be sent.
type refusing struct{ err error }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, r.err }

// TestRefreshWithoutIssuer: what is wrong on this machine, such as a ca_file that is gone, is named by the caller. The
// process that refreshes leaves only a record.
func TestRefreshWithoutIssuer(t *testing.T) {
	b := newBench(t)
	b.have(25 * time.Hour)
	gone := errors.New(`reading ca_file "/ca.pem" of profile "acme": no such file`)
	b.Broker.Issuer = func(*config.Profile) (broker.Issuer, error) { return nil, gone }
	b.SpawnRefresh = func(context.Context, *config.Profile, time.Time) error {
		t.Error("a process was started in vain")
		return nil
	}
	if reply := b.get("git.acme.dev"); !errors.Is(reply.Err, gone) {
		t.Errorf("got %+v", reply)
	}
	b.have(24*time.Hour - 4*time.Minute)
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "kept-access" {
		t.Errorf("with a live token: got %+v", reply)
	}
}

// TestAllStopped: where two processes that refresh are stopped, the others say so in words.
func TestAllStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.have(25 * time.Hour)
		b.Locks = stoppedLocks{b.Locks, "refresh-"}
		var said []string
		b.Tell = func(text string) { said = append(said, text) }
		reply := b.get("git.acme.dev")
		if !errors.Is(reply.Err, broker.ErrStillWaiting) || strings.Contains(reply.Err.Error(), "deadline") {
			t.Errorf("got %v", reply.Err)
		}
		synctest.Wait() // for what a timer says
		if len(said) != 1 {
			t.Errorf("said %q", said)
		}
		b.wantCalls()
	})
}

// TestHeldLocks: a tool that waits for 8 s at most, while another process holds what it needs, hears so in words. An
// erase waits for 5 s: then the token is about to be replaced.
func TestHeldLocks(t *testing.T) {
	for _, row := range []struct {
		reason, held string
		machine      bool
		verb         protocol.Verb
	}{
		{"a rejected token", "session-", false, protocol.Erase},
		{"a machine's token", "machine-", true, protocol.Get},
		{"a rejected token of a machine", "machine-", true, protocol.Erase},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.have(time.Hour)
			if row.machine {
				b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
			}
			b.Locks = stoppedLocks{b.Locks, row.held}
			limited, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			began := time.Now()
			reply := b.Answer(limited, protocol.Request{Verb: row.verb, Scheme: "https", Host: "git.acme.dev", Secret: "kept-access"})
			if row.verb == protocol.Erase {
				if took := time.Since(began); reply.Result != protocol.Done || reply.Err != nil || took != 5*time.Second {
					t.Errorf("%s: %+v after %v", row.reason, reply, took)
				}
			} else if reply.Err == nil || !strings.Contains(reply.Err.Error(), "another process has not finished with it in time") {
				t.Errorf("%s: %v", row.reason, reply.Err)
			}
		})
	}
}
