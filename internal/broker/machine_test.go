package broker_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"
)

// machineKey gives one key for every profile.
func machineKey(key string) func(*config.Profile) (string, string, error) {
	return func(*config.Profile) (string, string, error) { return key, config.MachineKey, nil }
}

// TestMachinePlan: a plan says whether a call returns the kept token, a new one or neither, and mints none.
func TestMachinePlan(t *testing.T) {
	b := newBench(t)
	b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
	minted := 0
	b.issuer.mint = func() (clerk.Tokens, error) {
		minted++
		return clerk.Tokens{AccessToken: "minted", Kind: "opaque", ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}, nil
	}
	look := func(token string, mint bool, why string) {
		t.Helper()
		before := minted
		plan := b.Plan(t.Context(), b.acme)
		s, fresh, err := plan.Session, plan.Next == broker.NextMint, plan.Why
		if s.AccessToken != token || err == nil && fresh != mint || (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("got %q, %v, %v; want %q, %v, %q", s.AccessToken, fresh, err, token, mint, why)
		}
		if minted != before {
			t.Error("a plan has minted")
		}
		if err == nil && fresh { // and so it is
			if b.get("git.acme.dev"); minted != before+1 {
				t.Errorf("%d were minted by the call, not one", minted-before)
			}
		} else if b.get("git.acme.dev"); minted != before {
			t.Error("the call has minted")
		}
	}
	look("", true, "")
	look("minted", false, "")
	b.now = start.Add(56 * time.Minute)
	look("minted", true, "")
	erase := protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "git.acme.dev"}
	b.Answer(t.Context(), erase) // names no token: a person's
	erase.Secret, erase.HasSecret = "", true
	b.Answer(t.Context(), erase) // an empty one, as of an address with an empty password
	look("minted", false, "")
	erase.Secret = "minted"
	b.Answer(t.Context(), erase) // a fresh one: another would be refused as well
	look("minted", false, "")
	b.now = b.now.Add(time.Minute)
	b.Answer(t.Context(), erase)
	look("", true, "")
	b.now = b.now.Add(90 * time.Second)
	b.Answer(t.Context(), erase)
	look("", false, "servers have refused the machine's last tokens")
	b.now = b.now.Add(30 * time.Second)
	look("", true, "")
	b.MachineKey = machineKey("sk_live_1")
	look("", false, "secret key of Clerk's Backend API")
	b.MachineKey = machineKey("")
	look("", false, "no machine secret key")
}

// TestMachineFailureIsShared: all who wait for a token that cannot be minted hear so after one request. The clock is
// synctest's.
func TestMachineFailureIsShared(t *testing.T) {
	for _, failure := range []error{
		&url.Error{Op: "Post", URL: "https://api.clerk.com/v1/m2m_tokens", Err: errors.New("no answer in time")},
		&clerk.ProxyError{Status: 407}, &clerk.ResponseError{Endpoint: "machine token", Status: 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.Now = time.Now
			b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
			asked := 0
			b.issuer.mint = func() (clerk.Tokens, error) {
				asked++
				time.Sleep(10 * time.Second)
				return clerk.Tokens{}, failure
			}
			began := time.Now()
			var waiting sync.WaitGroup
			for range 5 {
				waiting.Go(func() {
					if reply := b.get("git.acme.dev"); reply.Err == nil || strings.Contains(reply.Err.Error(), "deadline") {
						t.Errorf("got %+v", reply)
					}
				})
			}
			waiting.Wait()
			if took := time.Since(began); asked != 1 || took > 11*time.Second {
				t.Errorf("%v: %d requests, %v", failure, asked, took)
			}
			b.get("git.acme.dev") // a later one asks again
			if asked != 2 {
				t.Errorf("%v: then %d requests", failure, asked)
			}
		})
	}
}

// TestJobsAreApart: two jobs of one profile and one store keep their tokens beside each other, and neither gets the
// other's token or hears of its failure.
func TestJobsAreApart(t *testing.T) {
	b := newBench(t)
	in := b.inJobs()
	in("one", "token-1", 1)
	in("one", "token-1", 1)
	in("two", "token-2", 2)
	in("one", "token-1", 2)
	in("two", "token-2", 2)
	b.issuer.failure = &clerk.ResponseError{Endpoint: "exchange", Status: 400, Code: "invalid_grant", OAuth: true}
	in("three", "", 3)
	in("one", "token-1", 3)
	b.Config.Policy = &config.Policy{At: "p:1", Sources: []string{config.SourceMachine}}
	if reply := b.get("git.acme.dev"); reply.Err == nil || !strings.Contains(reply.Err.Error(), "a token from the exchange: the policy of this machine does not allow it") {
		t.Errorf("a policy without the source: %+v", reply)
	}
}

// TestJobNeverGetsAnothersToken: not even where the other's token stands in the place of its own, under its own name or
// that of earlier builds, in which all jobs shared one item.
func TestJobNeverGetsAnothersToken(t *testing.T) {
	b := newBench(t)
	in := b.inJobs()
	in("one", "token-1", 1)
	before := b.keychain.Names()
	in("two", "token-2", 2)
	shared := sha256.Sum256([]byte("exchange\x00" + b.acme.Issuer))
	foreign := ""
	for _, name := range b.keychain.Names() {
		if text, err := b.keychain.Get(t.Context(), name); err == nil && strings.Contains(text, "token-1") {
			foreign = text
		}
	}
	if foreign == "" {
		t.Fatalf("no item has the first job's token: %q", before)
	}
	for _, name := range append(b.keychain.Names(), "machine-"+hex.EncodeToString(shared[:16])) {
		b.keychain.Damage(name, foreign)
	}
	in("two", "token-3", 3)
	in("four", "token-4", 4)
}

// TestJobsLeaveNothing: a runner has thousands of jobs, so tokens that have ended are deleted when another is
// exchanged, and only so many are kept.
func TestJobsLeaveNothing(t *testing.T) {
	b := newBench(t)
	in := b.inJobs()
	for i := range 40 {
		in(fmt.Sprintf("job-%d", i), fmt.Sprint("token-", i+1), i+1)
		b.now = b.now.Add(time.Second)
	}
	if names := b.keychain.Names(); len(names) != 17 { // and the list of them
		t.Errorf("%d items are kept: %q", len(names), names)
	}
	if names := b.records.Names(); len(names) != 0 {
		t.Errorf("records of jobs that failed nowhere: %q", names)
	}
	in("job-39", "token-40", 40)
	in("job-24", "token-25", 40)
	in("job-23", "token-41", 41) // the one that ended first made room
	b.issuer.failure = &clerk.ResponseError{Endpoint: "exchange", Status: 400, Code: "invalid_grant", OAuth: true}
	in("refused", "", 42)
	if names := b.records.Names(); len(names) != 1 {
		t.Errorf("the failure is in %q", names)
	}
	b.now, b.issuer.failure = b.now.Add(2*time.Hour), nil
	in("last", "token-43", 43)
	if names := append(b.keychain.Names(), b.records.Names()...); len(names) != 2 {
		t.Errorf("hours later there are %q", names)
	}
}

// TestJobClaims: who the job is stands beside its token, and beside its failure, also for the processes that share it.
func TestJobClaims(t *testing.T) {
	b := newBench(t)
	in := b.inJobs()
	var history []broker.Entry
	b.History = func(e broker.Entry) { history = append(history, e) }
	in("one", "token-1", 1)
	in("one", "token-1", 1)
	b.issuer.failure = &clerk.ResponseError{Endpoint: "exchange", Status: 400, Code: "invalid_grant", OAuth: true}
	in("two", "", 2)
	for i, want := range []struct{ outcome, sub string }{
		{broker.GaveMinted, "repo:1"}, {broker.GaveKeychain, "repo:1"}, {broker.GaveNone, "repo:2"},
	} {
		e := history[i]
		if e.Outcome != want.outcome || e.CI != "GitHub Actions" || e.Claims["sub"] != want.sub || (e.Token == "") != (want.outcome == broker.GaveNone) {
			t.Errorf("entry %d: %s", i, e.Line())
		}
		var back broker.Entry
		if err := json.Unmarshal(e.Line(), &back); err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("entry %d is read back as %+v, %v", i, back, err)
		}
	}
	b.MachineKey = machineKey("one")
	if s, _ := b.ReadMachineToken(t.Context(), b.acme); s.Claims["sub"] != "repo:1" {
		t.Errorf("kept: %v", s.Claims)
	}
	b.MachineKey = machineKey("two")
	if s, err := b.ReadMachineToken(t.Context(), b.acme); err != nil || s.AccessToken != "" || s.Claims["sub"] != "repo:2" {
		t.Errorf("refused: %+v, %v", s, err)
	}
	b.MachineKey = machineKey("three")
	if s, _ := b.ReadMachineToken(t.Context(), b.acme); s.Claims != nil {
		t.Errorf("of a job that sent none: %v", s.Claims)
	}
	b.acme.InJob, b.issuer.failure, b.MachineKey = "", nil, machineKey("ak_1")
	if b.get("git.acme.dev"); history[3].CI != "" || history[3].Claims != nil {
		t.Errorf("a machine's: %s", history[3].Line())
	}
}

// inJobs makes acme a profile in a CI job. The function that it returns has a job ask for a token, which must be the
// wanted one after so many exchanges in all.
func (b *bench) inJobs() func(job, want string, times int) {
	b.acme.IsMachine, b.acme.InJob, b.acme.Companion = true, "GitHub Actions", true
	minted := 0
	b.issuer.mint = func() (clerk.Tokens, error) {
		minted++
		claims := clerk.Claims{"sub": fmt.Sprintf("repo:%d", minted)}
		if b.issuer.failure != nil {
			return clerk.Tokens{Claims: claims}, b.issuer.failure
		}
		token := fmt.Sprintf("token-%d", minted)
		return clerk.Tokens{AccessToken: token, Kind: "opaque", ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour), Claims: claims}, nil
	}
	return func(job, want string, times int) {
		b.t.Helper()
		b.MachineKey = machineKey(job)
		reply := b.get("git.acme.dev")
		if reply.Credential.Token != want || minted != times {
			b.t.Errorf("job %s got %q, %v after %d exchanges; want %q after %d", job, reply.Credential.Token, reply.Err, minted, want, times)
		}
		if plan := b.Plan(b.t.Context(), b.acme); plan.Source != broker.SourceExchange {
			b.t.Errorf("source %q", plan.Source)
		}
	}
}

// TestJobAndSession: a profile in a CI job may have a person's session from before. It is used where the page has no policy, and a
// logout ends it.
func TestJobAndSession(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	old := b.kept().AccessToken
	b.acme.IsMachine, b.acme.InJob, b.MachineKey = true, "CircleCI", machineKey("job")
	failure := error(clerk.ErrNoExchange)
	b.issuer.mint = func() (clerk.Tokens, error) {
		return clerk.Tokens{AccessToken: "exchanged", Kind: "opaque", ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}, failure
	}
	if reply := b.get("git.acme.dev"); reply.Credential.Token != old {
		t.Errorf("without a policy: %+v", reply)
	}
	failure = &clerk.ResponseError{Endpoint: "exchange", Status: 400, Code: "invalid_grant", OAuth: true}
	if reply := b.get("git.acme.dev"); reply.Err == nil {
		t.Errorf("a job that is refused has the person's token: %+v", reply)
	}
	failure = nil
	if reply := b.get("git.acme.dev"); reply.Credential.Token != "exchanged" {
		t.Errorf("with a policy: %+v", reply)
	}
	if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Session.AccessToken != old {
		t.Errorf("logout: %+v, %v", out, err)
	}
	if s, err := b.ReadMachineToken(t.Context(), b.acme); err != nil || s.AccessToken != "" {
		t.Errorf("the job's token is there still: %+v, %v", s, err)
	}
	failure = clerk.ErrNoExchange
	if reply := b.get("git.acme.dev"); !errors.Is(reply.Err, clerk.ErrNoExchange) {
		t.Errorf("without a session: %+v", reply)
	}
}

// TestMachineLogout: the kept token is removed. The key mints another.
func TestMachineLogout(t *testing.T) {
	b := newBench(t)
	b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
	b.issuer.mint = func() (clerk.Tokens, error) {
		return clerk.Tokens{AccessToken: "minted", Kind: "opaque", ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}, nil
	}
	b.get("git.acme.dev")
	for _, want := range []string{"minted", ""} {
		out, err := b.Logout(t.Context(), b.acme)
		if err != nil || out.Session.AccessToken != want || out.Revoked {
			t.Errorf("got %+v, %v; want %q", out, err, want)
		}
	}
	if s, err := b.ReadMachineToken(t.Context(), b.acme); err != nil || s.AccessToken != "" {
		t.Errorf("it is there still: %+v, %v", s, err)
	}
	b.wantCalls()

	b.get("git.acme.dev")
	b.keychain.Hook = func(op, _ string) error {
		if op == "delete" {
			return errors.New("no")
		}
		return nil
	}
	if _, err := b.Logout(t.Context(), b.acme); err == nil {
		t.Error("it could not be removed, and there was no error")
	}
	// Behind a locked keychain the other one's token is deleted, and the logout is none.
	other := &platformtest.Memory{}
	b.Broker.Beside, b.Broker.Keychain = other, other
	b.get("git.acme.dev")
	b.Broker.Keychain = b.keychain
	b.keychain.Hook = func(string, string) error { return platform.ErrLocked }
	if _, err := b.Logout(t.Context(), b.acme); !errors.Is(err, platform.ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	b.Broker.Keychain = other
	if s, err := b.ReadMachineToken(t.Context(), b.acme); err != nil || s.AccessToken != "" {
		t.Errorf("the other keychain has it still: %+v, %v", s, err)
	}

	b.MachineKey = machineKey("")
	if out, err := b.Logout(t.Context(), b.acme); err != nil || out.Session.Token(b.acme) != "" {
		t.Errorf("without a key: %+v, %v", out, err)
	}
}

// TestMachineTokenOfAnother: a token that an earlier release has kept for a profile of another issuer is not handed out.
func TestMachineTokenOfAnother(t *testing.T) {
	b := newBench(t)
	b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
	for _, row := range []struct {
		reason, token string
		want          broker.Next
	}{
		{"of the profile's issuer", jwt(`{"iss":"https://clerk.acme.dev"}`), broker.NextAnswer},
		{"of another issuer", jwt(`{"iss":"https://clerk.rival.dev"}`), broker.NextMint},
		{"of nobody", jwt(`{}`), broker.NextMint},
		{"opaque", "mt_1", broker.NextAnswer},
	} {
		b.issuer.mint = func() (clerk.Tokens, error) {
			return clerk.Tokens{AccessToken: row.token, ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}, nil
		}
		if b.get("git.acme.dev").Result != protocol.Found { // kept, as a client that checks nothing would have it
			t.Fatal(row.reason)
		}
		if got := b.Plan(t.Context(), b.acme).Next; got != row.want {
			t.Errorf("%s: %s, not %s", row.reason, got, row.want)
		}
		if _, err := b.Logout(t.Context(), b.acme); err != nil {
			t.Error(err)
		}
	}
	// A key that could be for several profiles is used for none.
	could := errors.New("could be for any")
	b.MachineKey = func(*config.Profile) (string, string, error) { return "", "", could }
	if plan := b.Plan(t.Context(), b.acme); plan.Next != broker.NextRefuse || !errors.Is(plan.Why, could) {
		t.Errorf("got %+v", plan)
	}
}

// TestMachineKeyForm: what cannot be a machine's key is not sent, and the message says what it is and in which variable.
func TestMachineKeyForm(t *testing.T) {
	for _, row := range []struct{ reason, key, want string }{
		{"a fork's pull request", "", "CLERK_MACHINE_SECRET_KEY is empty or not set (a fork's pull request gets no secrets)"},
		{"in quotes", `"ak_secret"`, "the one in CLERK_MACHINE_SECRET_KEY is in quotes"},
		{"a variable that was not replaced", "$(CLERK_KEY)", "a variable's name that has not been replaced"},
		{"a log's mask", "***", "a log's mask"},
		{"a line end too many", "ak_secret\n", "more than one line end"},
		{"a word for nothing", "null", "a missing or a hidden value"},
		{"a Secret of Kubernetes that was not decoded", "YWtfc2VjcmV0", "in base64"},
		{"the key of the Backend API", "sk_live_secret", "secret key of Clerk's Backend API"},
		{"a publishable key", "pk_live_secret", "CLERK_MACHINE_SECRET_KEY has a publishable key"},
		{"a token of a machine", "mt_secret", "CLERK_MACHINE_SECRET_KEY has a token, which belongs into CLERK_HELPER_TOKEN"},
		{"an access token", "oat_secret", "has a token"},
		{"a JWT", jwt(`{"iss":"https://clerk.acme.dev"}`), "has a token"},
	} {
		b := newBench(t)
		b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey(row.key)
		b.issuer.mint = func() (clerk.Tokens, error) {
			t.Errorf("%s: the key was sent", row.reason)
			return clerk.Tokens{}, errors.New("no")
		}
		_, err := b.Token(t.Context(), b.acme)
		if !errors.Is(err, broker.ErrNoMachineKey) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.reason, err, row.want)
		} else if row.key != "" && strings.Contains(err.Error(), row.key) || strings.Contains(err.Error(), "_secret\"") {
			t.Errorf("%s: the error holds the key: %v", row.reason, err)
		}
	}
}

// TestMintError: a refusal of the key is told from what passes.
func TestMintError(t *testing.T) {
	b := newBench(t)
	b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
	for _, row := range []struct {
		reason  string
		err     error
		refused bool
	}{
		{"the key is wrong", &clerk.ResponseError{Endpoint: "machine token", Status: 401}, true},
		{"the key may not", &clerk.ResponseError{Endpoint: "machine token", Status: 403}, true},
		{"Clerk is down", &clerk.ResponseError{Endpoint: "machine token", Status: 503}, false},
		{"no network", errors.New("dial tcp: no route to host"), false},
	} {
		b.issuer.mint = func() (clerk.Tokens, error) { return clerk.Tokens{}, row.err }
		_, err := b.Token(t.Context(), b.acme)
		mint, ok := errors.AsType[*broker.MintError](err)
		if !ok || mint.Refused() != row.refused || strings.Contains(err.Error(), "Clerk refuses the key in CLERK_MACHINE_SECRET_KEY") != row.refused {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}

// TestUnusedMachineKey: a machine's key beside a profile for people is not used, which a trace says.
func TestUnusedMachineKey(t *testing.T) {
	b := newBench(t)
	b.have(time.Hour)
	b.MachineKey = func(*config.Profile) (string, string, error) { return "", config.MachineKey, nil }
	var traced []string
	b.Trace = func(format string, args ...any) { traced = append(traced, fmt.Sprintf(format, args...)) }
	b.get("git.acme.dev")
	const want = "CLERK_MACHINE_SECRET_KEY is set, and not used: profile \"acme\" is not a machine's"
	if !strings.Contains(strings.Join(traced, "\n"), want) || !strings.Contains(b.Plan(t.Context(), b.acme).UnusedKey, want) {
		t.Errorf("traced %q", traced)
	}
	b.MachineKey = func(*config.Profile) (string, string, error) { return "", "", nil }
	if got := b.Plan(t.Context(), b.acme).UnusedKey; got != "" {
		t.Errorf("no key is set: %q", got)
	}
}

// TestMachineDamaged: a damaged item costs one token, an erase of its token is no failure, and a logout removes it.
func TestMachineDamaged(t *testing.T) {
	for reason, text := range map[string]string{"0 bytes": "", "zeros": strings.Repeat("\x00", 900), "cut": `{"v":1,"iss`, "no version": "{}"} {
		b := newBench(t)
		b.acme.IsMachine, b.acme.MachineToken, b.MachineKey = true, "jwt", machineKey("ak_1")
		mints := 0
		b.issuer.mint = func() (clerk.Tokens, error) {
			mints++
			return clerk.Tokens{AccessToken: "minted", Kind: "opaque", ReceivedAt: b.now, ExpiresAt: b.now.Add(time.Hour)}, nil
		}
		b.get("git.acme.dev")
		damage := func() {
			for _, name := range b.keychain.Names() {
				b.keychain.Damage(name, text)
			}
		}
		damage()
		erase := protocol.Request{Verb: protocol.Erase, Scheme: "https", Host: "git.acme.dev"}
		if reply := b.Answer(t.Context(), erase); reply.Result != protocol.Done || reply.Err != nil {
			t.Errorf("%s: erase: %+v", reason, reply)
		}
		if out, err := b.Logout(t.Context(), b.acme); err != nil || !out.Damaged || len(b.keychain.Names()) != 0 {
			t.Errorf("%s: logout: %+v, %v, and %q is left", reason, out, err, b.keychain.Names())
		}
		b.get("git.acme.dev")
		damage()
		b.get("git.acme.dev")
		if reply := b.get("git.acme.dev"); reply.Credential.Token != "minted" || mints != 3 {
			t.Errorf("%s: %+v after %d mints", reason, reply, mints)
		}
	}
}
