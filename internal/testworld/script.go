package testworld

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"

	"github.com/rogpeppe/go-internal/testscript"
)

type (
	worldKey struct{}
	testKey  struct{}
)

// Setup creates a World for a script, which Commands and Condition use, and sets the script's environment. It returns what
// New does.
func Setup(env *testscript.Env, browser string) (*World, map[string]string, error) {
	w, vars, err := New(env.WorkDir, browser, env.Defer)
	if err != nil {
		return nil, nil, err
	}
	env.Values[worldKey{}], env.Values[testKey{}] = w, env.T()
	maps.Copy(vars, Toolchains())
	for name, value := range vars {
		env.Setenv(name, value)
	}
	return w, vars, nil
}

func worldOf(ts *testscript.TestScript) *World { return ts.Value(worldKey{}).(*World) }

// Commands returns the commands for scripts that Setup has prepared. The comment at each function is its reference.
func Commands(lock Lock) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"need":      needPrograms,
		"asked":     func(ts *testscript.TestScript, neg bool, args []string) { checkRequests(ts, neg, args, lock) },
		"age":       ageSession,
		"fault":     setFaults,
		"issuer":    secondIssuer,
		"gitserver": gitServer,
		"secrets":   checkSecrets,
		"within":    runWithin,
		"expand":    expandFiles,
		"companion": startWebApp,
		"picture":   checkPicture,
		"ci":        startCI,
		"web":       signOutOfWebApp,
	}
}

// Condition returns the conditions of scripts: [alone] reports whether the command "alone", which the test binary must
// have, gets a namespace from the machine, [root] whether the tests run as root, and [has:PROGRAM] whether the program runs with an environment like a script's.
// It is an error if it does not run and is Required. In a quick run only the quick programs count as running.
func Condition(t *testing.T) func(string) (bool, error) {
	home := t.TempDir()
	installed := programs{env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home}}
	for name, value := range Toolchains() {
		installed.env = append(installed.env, name+"="+value)
	}
	return func(cond string) (bool, error) {
		if cond == "root" {
			return os.Getuid() == 0, nil
		}
		if cond == "alone" {
			err := exec.Command("alone", "true").Run()
			if err != nil && os.Getenv("CI") == "true" {
				return false, fmt.Errorf("no namespace: %w", err)
			}
			return err == nil, nil
		}
		program, ok := strings.CutPrefix(cond, "has:")
		if !ok {
			return false, fmt.Errorf("unknown condition %q", cond)
		}
		if testing.Short() && !quick(program) {
			return false, nil
		}
		err := installed.check(t.Context(), program)
		if err != nil && Required(program) {
			return false, err
		}
		if err != nil {
			t.Logf("SKIP, lines of a script: %v", err)
		}
		return err == nil, nil
	}
}

// need PROGRAM[@VERSION]...: the script is skipped, with the program's own message, if one does not run with the script's
// environment or is older than VERSION. If it is Required, the script fails.
func needPrograms(ts *testscript.TestScript, neg bool, args []string) {
	skip := ts.Value(testKey{}).(testscript.T).Skip
	for _, program := range args {
		if testing.Short() && !quick(program) {
			skip("-short: " + program + " is not run")
		}
		command := versionCommand(program)
		err := ts.Exec(command[0], command[1:]...)
		if err != nil {
			err = failure(command[0], err, ts.ReadFile("stderr"))
		} else {
			err = recent(program, ts.ReadFile("stdout"))
		}
		if err != nil {
			if Required(program) {
				ts.Fatalf("%v", err)
			}
			skip(err)
		}
	}
}

// Exchanged is the kind of a request for a token in exchange for a CI job's.
const Exchanged = "token:urn:ietf:params:oauth:grant-type:token-exchange"

// asked nothing | KIND N ...: since the last "asked", Clerk got exactly these requests, and none of other kinds.
func checkRequests(ts *testscript.TestScript, neg bool, args []string, lock Lock) {
	if neg {
		ts.Fatalf("asked has no negative form: say what was asked")
	}
	w := worldOf(ts)
	want := map[string]int{}
	if len(args) == 1 && args[0] == "nothing" {
		args = nil
	}
	for i := 0; i+1 < len(args); i += 2 {
		n, err := strconv.Atoi(args[i+1])
		ts.Check(err)
		want[args[i]] = n
	}
	if n := want["token:refresh_token"]; n > 0 {
		refreshed(ts, n, lock)
	}
	// A sign-in or a refresh may fetch discovery and keys as often as it needs to; an answer from the keychain must not.
	free := want["authorize"] > 0 || want["/cli-auth"] > 0 || want["/original/cli-auth"] > 0 || want["/api/cli-auth/revoke"] > 0 || want["token:refresh_token"] > 0 || want["revoke"] > 0 || want[Exchanged] > 0
	for _, kind := range []string{"authorize", "/cli-auth", "/original/cli-auth", "token:authorization_code", "token:refresh_token", "revoke", "/api/cli-auth/revoke", "userinfo", "discovery", "jwks", "/v1/m2m_tokens", Exchanged} {
		n := w.Clerk.Count(kind)
		got := n - w.told[kind]
		w.told[kind] = n
		if free && (kind == "discovery" || kind == "jwks" || kind == "userinfo") {
			continue
		}
		if got != want[kind] {
			ts.Fatalf("Clerk was asked for %s %d times, not %d", kind, got, want[kind])
		}
	}
}

// stateFolder is where the file store and the locks are, below the home.
const stateFolder = ".local/state/clerk-credential-helper"

// refreshed waits until Clerk has got n requests for a refresh since the last "asked", and no process is refreshing any more:
// a caller with a valid token waits for two seconds only.
func refreshed(ts *testscript.TestScript, n int, lock Lock) {
	const kind = "token:refresh_token"
	w := worldOf(ts)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for w.Clerk.Count(kind)-w.told[kind] < n && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	ts.Check(Settle(ctx, ts.Getenv("HOME"), lock))
}

// Lock takes the lock of that name in a folder, as platform.Locks does, which this package cannot import: platform's own tests use
// it.
type Lock func(ctx context.Context, dir, name string) (release func(), err error)

// Settle waits until no process of the home refreshes a session any more.
func Settle(ctx context.Context, home string, lock Lock) error {
	files, err := filepath.Glob(filepath.Join(home, stateFolder, "locks", "session-*.lock"))
	if err != nil {
		return err
	}
	for _, file := range files {
		release, err := lock(ctx, filepath.Dir(file), strings.TrimSuffix(filepath.Base(file), ".lock"))
		if err != nil {
			return err
		}
		release()
	}
	return nil
}

// age DURATION makes the session in the store older by that much. Clerk's clock is not changed, so that the helper can
// still verify new tokens.
func ageSession(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Check(Age(ts.Getenv("HOME"), d))
}

// Age makes the session in the file store of the home, which must have one, older by d.
func Age(home string, d time.Duration) error {
	files, err := sessions(home)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return fmt.Errorf("%d sessions in the store, not one", len(files))
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		return err
	}
	for _, name := range []string{"received_at", "expires_at"} {
		text, ok := record[name].(string)
		if !ok {
			continue // a token that was refused has no end
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return err
		}
		record[name] = at.Add(-d).Format(time.RFC3339Nano)
	}
	if text, err = json.Marshal(record); err != nil {
		return err
	}
	return os.WriteFile(files[0], text, 0o600)
}

// sessions returns the files of sessions in the file store of the home.
func sessions(home string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(home, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".json") && (strings.HasPrefix(e.Name(), "session-") || strings.HasPrefix(e.Name(), "machine-")) {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// fault NAME... makes Clerk misbehave from now on; without a name it behaves again.
func setFaults(ts *testscript.TestScript, neg bool, args []string) {
	worldOf(ts).Clerk.SetFaults(func(f *sandbox.Faults) {
		*f = sandbox.Faults{}
		for _, name := range args {
			switch name {
			case "denied":
				f.DenyConsent = true
			case "token-500":
				f.TokenStatus = http.StatusInternalServerError
			case "revoke-500":
				f.RevokeStatus = http.StatusInternalServerError
			case "echo-state":
				f.EchoState = true
			case "other-web-app":
				f.WrongParty = true
			case "other-person":
				f.OtherSubject = true
			case "no-id-token":
				f.OmitIDToken = true
			case "short-life":
				f.AccessLifetime = 2 * time.Second
			case "userinfo-401":
				f.UserinfoStatus = http.StatusUnauthorized
			case "down":
				f.DiscoveryStatus = http.StatusServiceUnavailable
			case "busy":
				f.TokenStatus, f.TokenHeader = http.StatusTooManyRequests, http.Header{"Retry-After": {"120"}}
			case "no-refresh-token":
				f.OmitRefreshToken = true
			case "foreign-token-endpoint":
				f.ForeignTokenEndpoint = "https://evil.example/oauth/token"
			case "invalid-scope": // a scope was deleted in Clerk's dashboard
				f.TokenStatus, f.TokenBody = http.StatusBadRequest, `{"error":"invalid_scope"}`
			default:
				ts.Fatalf("unknown fault %q", name)
			}
		}
	})
}

// issuer NAME starts a second stand-in and sets $NAME to its issuer.
func secondIssuer(ts *testscript.TestScript, neg bool, args []string) {
	s := sandbox.New(sandbox.Options{Auto: true, Person: sandbox.Person{Email: "eve@other.dev"}})
	server := httptest.NewServer(s)
	ts.Defer(server.Close)
	s.SetIssuer(server.URL)
	ts.Setenv(args[0], server.URL)
}

// gitserver NAME SCHEME... starts a git server that offers these schemes, in this order, and takes a token in no other
// one, and sets $NAME to its host. The profile of the script's home does not have it.
func gitServer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: gitserver NAME SCHEME...")
	}
	schemes := args[1:]
	var challenges []string
	for _, scheme := range schemes {
		challenges = append(challenges, scheme+` realm="git"`)
	}
	w := worldOf(ts)
	git := w.Clerk.Git(w.repositories, challenges...)
	ts.Setenv(args[0], w.Serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); !slices.Contains(schemes, scheme) {
			r.Header.Del("Authorization")
		}
		git.ServeHTTP(rw, r)
	}), ts.Defer))
}

// companion NAME [nostore] starts a web app with a companion page and sets $NAME to its origin.
func startWebApp(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], worldOf(ts).WebApp(len(args) == 1, ts.Defer))
}

// ci REPOSITORY makes the script a job of that repository in a CI whose tokens the web app exchanges if it is acme/app.
func startCI(ts *testscript.TestScript, neg bool, args []string) {
	for name, value := range worldOf(ts).CI(args[0], ts.Defer) {
		ts.Setenv(name, value)
	}
}

// web signed-out: the person signs out of the web app. web machines-signed-out: on its page of machines, of all of them.
func signOutOfWebApp(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 1 && args[0] == "machines-signed-out" {
		worldOf(ts).page.SignOutMachines()
		return
	}
	if len(args) != 1 || args[0] != "signed-out" {
		ts.Fatalf("usage: web signed-out | web machines-signed-out")
	}
	worldOf(ts).page.EndSession()
}

// secrets FILE...: no secret that Clerk has issued or was sent is in these files, or in any URL that Clerk got.
func checkSecrets(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	issued := w.Clerk.Issued()
	if len(issued) < 6 {
		ts.Fatalf("only %d secrets were issued: the scenario proves nothing", len(issued))
	}
	texts := map[string]string{}
	for _, name := range args {
		text, err := os.ReadFile(ts.MkAbs(name))
		ts.Check(err)
		if len(text) == 0 {
			ts.Fatalf("%s is empty: it proves nothing", name)
		}
		texts[name] = string(text)
	}
	for _, r := range w.Clerk.Requests() {
		texts["the URLs that Clerk got"] += r.URL + "\n"
	}
	for name, text := range texts {
		for i, secret := range issued {
			if strings.Contains(text, secret) {
				ts.Fatalf("%s holds secret %d of %d (%d bytes)", name, i, len(issued), len(secret))
			}
		}
	}
}

// within DURATION COMMAND...: the command ends in time, with status 0, or with another one if negated.
func runWithin(ts *testscript.TestScript, neg bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	start := time.Now()
	err = ts.Exec(args[1], args[2:]...)
	if took := time.Since(start); took > limit {
		ts.Fatalf("it took %v, the limit is %v", took, limit)
	}
	if (err != nil) != neg {
		ts.Fatalf("unexpected outcome: %v", err)
	}
}

// expand FILE...: $NAME and ${NAME} in these files become the script's variables, as a person would write them.
func expandFiles(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		file := ts.MkAbs(name)
		text, err := os.ReadFile(file)
		ts.Check(err)
		ts.Check(os.WriteFile(file, []byte(os.Expand(string(text), ts.Getenv)), 0o600))
	}
}
