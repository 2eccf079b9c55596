package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/platform"
)

const (
	// patience bounds every wait. It is far longer than any should take.
	patience = 5 * time.Minute

	host      = "git.acme.dev"
	otherHost = "git.other.dev"
)

// renewName is the name under which the program refreshes a session in the background.
const renewName = "clerk-renew-session"

// programs are the built program under its names, and two browsers: one that follows a sign-in, one that only opens.
// Both leave a line in the file that STORM_BROWSERS names.
type programs struct {
	dir, helper, git, renew, browser, idle string
}

// build builds the program as it ships, without cgo and without the race detector.
func build(ctx context.Context) (*programs, error) {
	dir, err := os.MkdirTemp("", "storm")
	if err != nil {
		return nil, err
	}
	p := &programs{
		dir:     dir,
		helper:  filepath.Join(dir, "clerk-credential-helper"),
		git:     filepath.Join(dir, "git-credential-clerk"),
		renew:   filepath.Join(dir, renewName),
		browser: filepath.Join(dir, "browser"),
		idle:    filepath.Join(dir, "idle-browser"),
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", p.helper, "clerk-credential-helper/cmd/clerk-credential-helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.remove()
		return nil, fmt.Errorf("building the program: %w: %s", err, bytes.TrimSpace(out))
	}
	follow := filepath.Join(dir, "clerk-demo-browser") // the program follows redirects under this name
	err = errors.Join(
		os.Symlink(p.helper, p.git),
		os.Symlink(p.helper, p.renew),
		os.Symlink(p.helper, follow),
		os.WriteFile(p.browser, []byte("#!/bin/sh\necho opened >> \"$STORM_BROWSERS\"\nexec "+follow+" \"$1\"\n"), 0o700),
		os.WriteFile(p.idle, []byte("#!/bin/sh\necho opened >> \"$STORM_BROWSERS\"\n"), 0o700),
	)
	if err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

func (p *programs) remove() { os.RemoveAll(p.dir) }

// world is a home, a store and a stand-in for Clerk of its own.
type world struct {
	*programs
	dir      string
	clerk    *sandbox.Server
	acme     *config.Profile
	keychain *platform.Keychain
	env      []string
	bus      string // the address of the Secret Service's; empty if the store is another one
	ends     []func()
	phase    int // how many files of STORM_BROWSERS there are
	gets     int // started processes that ask for the token of a profile's host
}

func newWorld(p *programs) (*world, error) { return furnish(p, "file", nil) }

func furnish(p *programs, store string, env []string) (w *world, err error) {
	dir, err := os.MkdirTemp(p.dir, "world")
	if err != nil {
		return nil, err
	}
	w = &world{programs: p, dir: dir, clerk: sandbox.New(sandbox.Options{Auto: true})}
	server := httptest.NewUnstartedServer(w.clerk)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	w.ends = append(w.ends, server.Close)
	w.clerk.SetIssuer(server.URL)
	// The other profile differs in its scopes, and has a session of its own therefore.
	text := fmt.Sprintf(`[profiles.acme]
issuer = %[1]q
client_id = "sandbox-client"
hosts = [%[2]q]

[profiles.other]
issuer = %[1]q
client_id = "sandbox-client"
hosts = [%[3]q]
scopes = ["openid", "offline_access"]
`, server.URL, host, otherHost)
	home := filepath.Join(dir, "home")
	file := filepath.Join(home, ".config", "clerk-credential-helper", "config.toml")
	if err := platform.WriteFile(file, []byte(text)); err != nil {
		return nil, err
	}
	cfg, err := config.Parse(file, []byte(text))
	if err != nil {
		return nil, err
	}
	w.acme = cfg.Profile("acme")
	w.env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"BROWSER=" + p.browser,
		"CLERK_HELPER_STORE=" + store,
		"CLERK_HELPER_INTERACTIVE=always", // there is no terminal
	}, env...)
	state := filepath.Join(home, ".local", "state", "clerk-credential-helper")
	w.keychain, err = platform.OpenKeychain(store, state)
	return w, err
}

func (w *world) close() {
	for _, end := range w.ends {
		end()
	}
	os.RemoveAll(w.dir)
}

// task is a command to run in a world. If env sets a variable twice, the last value holds.
type task struct {
	program string
	args    []string
	stdin   string
	env     []string
}

func (w *world) get(env ...string) task { return w.ask("get", "", env...) }

func (w *world) ask(verb, more string, env ...string) task {
	return task{w.git, []string{verb}, "protocol=https\nhost=" + host + "\n" + more, env}
}

// reply is how a process ended.
type reply struct {
	out, errs string
	status    int // -1: by a signal
	took      time.Duration
}

// token is the one that a git got, empty if it got none.
func (r reply) token() string {
	for line := range strings.Lines(r.out) {
		if token, ok := strings.CutPrefix(strings.TrimSpace(line), "password="); ok {
			return token
		}
	}
	return ""
}

// words is the message that a person sees at the end, without the progress before it.
func (r reply) words() string {
	_, words, _ := strings.Cut(r.errs, "clerk-credential-helper: ")
	return strings.TrimSpace(words)
}

// process is a started process.
type process struct {
	cmd       *exec.Cmd
	stdin     io.WriteCloser
	request   string
	out, errs bytes.Buffer
	ended     chan struct{}
	reply     reply // once it has ended
	err       error
}

// start starts a task, which waits for its standard input. It has a session of its own, and so no terminal.
func (w *world) start(ctx context.Context, t task) (*process, error) {
	p := &process{request: t.stdin, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, t.program, t.args...)
	p.cmd.Env = slices.Concat(w.env, []string{"STORM_BROWSERS=" + w.browsersFile()}, t.env)
	p.cmd.Dir = w.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	p.cmd.WaitDelay = time.Second // what outlives a killed process holds its streams
	platform.OwnSession(p.cmd)
	if t.program == w.git && t.args[0] == "get" && strings.Contains(t.stdin, "host="+host+"\n") {
		w.gets++
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return p, p.cmd.Start()
}

// release gives a process its standard input, and waits for its end in the background.
func (p *process) release() {
	began := time.Now()
	io.WriteString(p.stdin, p.request) // an error means that the process was killed
	p.stdin.Close()
	go func() {
		defer close(p.ended)
		err := p.cmd.Wait()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
			p.err = err
			return
		}
		p.reply = reply{p.out.String(), p.errs.String(), p.cmd.ProcessState.ExitCode(), time.Since(began)}
	}()
}

func (p *process) wait() (reply, error) {
	<-p.ended
	return p.reply, p.err
}

func (p *process) lives() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// interrupt sends SIGINT to the process group, as Ctrl-C does.
func (p *process) interrupt() error {
	return exec.Command("kill", "-INT", "--", fmt.Sprint(-p.cmd.Process.Pid)).Run()
}

// run runs one task.
func (w *world) run(ctx context.Context, t task) (reply, error) {
	all, err := w.storm(ctx, 1, t)
	if err != nil {
		return reply{}, err
	}
	return all[0], nil
}

// storm runs a task in n processes.
func (w *world) storm(ctx context.Context, n int, t task) ([]reply, error) {
	return w.together(ctx, slices.Repeat([]task{t}, n))
}

// together starts a process for each task, and gives them their requests when all have started.
func (w *world) together(ctx context.Context, tasks []task) ([]reply, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all []*process
	var failed []error
	for _, t := range tasks {
		p, err := w.start(ctx, t)
		if err != nil {
			failed = append(failed, err)
			break
		}
		// None of them is killed: a reader that comes late to what one has said, beside so many, still reads it.
		p.cmd.WaitDelay = 20 * time.Second
		all = append(all, p)
	}
	for _, p := range all {
		p.release()
	}
	replies := make([]reply, len(all))
	errs := make([]error, len(all))
	for i, p := range all {
		replies[i], errs[i] = p.wait()
	}
	return replies, errors.Join(append(failed, errs...)...)
}

// history checks that there is a whole line for each get, and nothing else. It counts the lines by outcome.
func history(w *world) (outcomes map[string]int, err error) {
	folder := filepath.Join(w.dir, "home", ".local", "state", "clerk-credential-helper", "history")
	text, err := os.ReadFile(filepath.Join(folder, "history.jsonl"))
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(folder, "history.jsonl"))
	if err == nil && info.Mode().Perm() != 0o600 {
		err = fmt.Errorf("the history has the mode %v", info.Mode())
	}
	outcomes = map[string]int{}
	lines := strings.SplitAfter(string(text), "\n")
	if n := len(lines) - 1; n != w.gets || lines[n] != "" {
		err = errors.Join(err, fmt.Errorf("the history has %d lines and ends with %q; there were %d gets", n, lines[n], w.gets))
	}
	for _, line := range lines[:len(lines)-1] {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var e broker.Entry
		if failed := d.Decode(&e); failed != nil || e.Tool != "git" || e.Profile != "acme" || e.Host != host || (e.Token == "") != (e.Outcome == broker.GaveNone) {
			err = errors.Join(err, fmt.Errorf("the history has the line %q: %v", line, failed))
		}
		outcomes[e.Outcome]++
	}
	return outcomes, err
}

// session is the session of the profile acme; ok is false if there is none.
func (w *world) session(ctx context.Context) (s broker.Session, ok bool, err error) {
	text, err := w.keychain.Get(ctx, broker.KeychainItem(w.acme))
	if errors.Is(err, platform.ErrNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || d.More() || s.Version != 1 {
		return s, false, fmt.Errorf("the session is torn: version %d, %v", s.Version, err)
	}
	return s, true, nil
}

// age sets the age of the session. Past half of its life a get may answer with it while another one refreshes it. No other
// process may use the session meanwhile.
func (w *world) age(ctx context.Context, d time.Duration) error {
	return w.changeSession(ctx, func(s *broker.Session) {
		life := s.Life()
		s.ReceivedAt = time.Now().UTC().Add(-d)
		s.ExpiresAt = s.ReceivedAt.Add(life)
	})
}

// changeSession changes the session in the store.
func (w *world) changeSession(ctx context.Context, change func(*broker.Session)) error {
	s, ok, err := w.session(ctx)
	if err != nil || !ok {
		return fmt.Errorf("there is no session to change: %w", err)
	}
	change(&s)
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return w.keychain.Set(ctx, broker.KeychainItem(w.acme), string(text))
}

// refusedBefore records that many refusals, whose cool-down is over. The next one is an hour then, not a minute, because the
// last of a thousand processes may begin late.
func (w *world) refusedBefore(ctx context.Context, times int) error {
	locks, err := w.keychain.LockDir()
	if err != nil {
		return err
	}
	records, err := openRecords(locks)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	text := fmt.Sprintf(`{"code":"denied","at":%q,"until":%q,"refusals":%d}`,
		now.Add(-2*time.Hour).Format(time.RFC3339), now.Add(-time.Hour).Format(time.RFC3339), times)
	return records.Set(ctx, "signin-"+w.identity(), text)
}

// openRecords opens the helper's store of how sign-ins and refreshes ended.
func openRecords(locks string) (*platform.Keychain, error) {
	return platform.OpenRecords(filepath.Join(locks, "outcomes")), nil
}

// identity is the end of the names of the profile's items, locks and records.
func (w *world) identity() string { return strings.TrimPrefix(broker.KeychainItem(w.acme), "session-") }

// signIn gives the profile a new session.
func (w *world) signIn(ctx context.Context) error {
	r, err := w.run(ctx, task{program: w.helper, args: []string{"login", "acme"}})
	if err == nil && r.status != 0 {
		err = fmt.Errorf("login: %s", r.errs)
	}
	return err
}

// counts is what has happened in a world so far.
type counts struct{ browsers, signIns, refreshes, reuses int }

func (w *world) browsersFile() string {
	return filepath.Join(w.dir, fmt.Sprintf("browsers%d", w.phase))
}

// newPhase counts browsers from zero again: one that a killed process still opens is not counted.
func (w *world) newPhase() { w.phase++ }

func (w *world) counts() counts {
	opened, err := os.ReadFile(w.browsersFile())
	if err != nil {
		opened = nil // none was opened
	}
	return counts{
		browsers:  bytes.Count(opened, []byte("\n")),
		signIns:   w.clerk.Count("token:authorization_code"),
		refreshes: w.clerk.Count("token:refresh_token"),
		reuses:    w.clerk.Reuses(),
	}
}

func (c counts) minus(d counts) counts {
	return counts{c.browsers - d.browsers, c.signIns - d.signIns, c.refreshes - d.refreshes, c.reuses - d.reuses}
}

// right counts the replies that have the one token, and checks that Clerk has issued it and that it is valid.
func (w *world) right(replies []reply) (n int, slowest time.Duration, err error) {
	var token string
	for _, r := range replies {
		slowest = max(slowest, r.took)
		switch got := r.token(); {
		case got == "":
			err = fmt.Errorf("no token: status %d: %s", r.status, r.errs)
		case token == "":
			token = got
			n++
		case got != token:
			err = errors.New("two processes got different tokens")
		default:
			n++
		}
	}
	if token != "" {
		if _, bad := w.clerk.Verify(token); bad != nil {
			return 0, slowest, bad
		}
	}
	return n, slowest, err
}

// until waits for something that another process does.
func until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}
