package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/platform"
)

// trial is one process that is ended, in a world of its own.
type trial struct {
	transaction string        // of a victim, or of the built program
	step        int           // of a victim
	deed        string        // "kill" (SIGKILL), "interrupt" (SIGINT for the group), interruptTwice or "terminate" (SIGTERM)
	after       time.Duration // for the built program: when it is killed
	inFlight    bool          // for the built program: it is ended while the token endpoint works
	delay       time.Duration // of the token endpoint
}

// name is the row that the trial is counted in.
func (t trial) name() string {
	if t.inFlight {
		return t.transaction + ", " + t.deed + " in flight"
	}
	return t.transaction + ", " + t.deed
}

func (t trial) String() string {
	switch {
	case t.inFlight:
		return t.name()
	case t.step == 0:
		return fmt.Sprintf("%s after %v", t.name(), t.after)
	}
	return fmt.Sprintf("%s at step %d", t.name(), t.step)
}

// What is ended. A victim refreshes in its own process, except for throughACopy, so the refresh itself is ended.
const (
	signInAlone  = "sign-in"
	signInOther  = "sign-in by another account" // on demand: it is not kept
	refreshAlone = "refresh"
	eraseAlone   = "erase"
	loginAlone   = "login"
	logoutAlone  = "logout"
	throughACopy = "caller of a refresh"
	builtSignIn  = "built program, sign-in"
	builtGet     = "built program, get"
	builtRefresh = "built program, refresh in the background"
)

// getsAfterwards is how many gets follow each trial.
const getsAfterwards = 10

// tally counts the results of one transaction's trials.
type tally struct {
	name                                    string
	ends                                    int
	old, renewed, signedIn, signedOut, lost int
	reuses, grants, temporary               int
}

const tallyHead = `| what was ended | ends | then 10 gets: old session | new session | one new sign-in | signed out | wrong | reuses | grants left alive | temporary files with tokens left |
|---|---|---|---|---|---|---|---|---|---|`

func (t tally) String() string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |", t.name, t.ends, t.old, t.renewed, t.signedIn, t.signedOut, t.lost, t.reuses, t.grants, t.temporary)
}

// killSteps kills victims at their steps, and the built program at random times, at least n in all. If n is too small for
// all steps, they are chosen at random.
func killSteps(ctx context.Context, p *programs, n int, seed uint64) ([]tally, error) {
	chance := rand.New(rand.NewPCG(seed, 0))
	var trials []trial
	for _, transaction := range []string{signInAlone, refreshAlone, eraseAlone, loginAlone, logoutAlone} {
		passed, err := stepsOf(ctx, p, transaction)
		if err != nil {
			return nil, err
		}
		for step := range passed {
			trials = append(trials, trial{transaction: transaction, step: step + 1, deed: "kill"})
		}
	}
	chance.Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
	trials = trials[:min(len(trials), n*2/3)]
	built := []string{builtSignIn, builtGet, builtRefresh}
	for i := 0; len(trials) < n || i < n/3; i++ {
		// A sign-in and a refresh take about 50 ms; on a busy machine the kill comes early in them, on an idle one late.
		after := time.Duration(chance.Int64N(int64(80 * time.Millisecond)))
		trials = append(trials, trial{transaction: built[i%len(built)], deed: "kill", after: after})
	}
	return runTrials(ctx, p, trials, 2)
}

// interruptSteps ends callers, by SIGINT to their group and by SIGKILL, at every step of a refresh that a copy of the
// program does in the background, with a slow token endpoint. Nothing may be lost. A sign-in is interrupted, too, while
// that works.
func interruptSteps(ctx context.Context, p *programs, delay time.Duration) ([]tally, error) {
	passed, err := stepsOf(ctx, p, throughACopy)
	if err != nil {
		return nil, err
	}
	var trials []trial
	for _, deed := range []string{"interrupt", "kill"} {
		for step := range passed {
			trials = append(trials, trial{transaction: throughACopy, step: step + 1, deed: deed, delay: delay})
		}
		trials = append(trials, trial{transaction: builtGet, inFlight: true, deed: deed, delay: delay})
	}
	// The end of a desktop session terminates all of its processes, including the copy.
	trials = append(trials, trial{transaction: builtRefresh, inFlight: true, deed: "terminate", delay: delay})
	// An interrupted sign-in waits for 5 s.
	trials = append(trials, trial{transaction: builtSignIn, inFlight: true, deed: "interrupt", delay: min(delay, 2*time.Second)})
	return runTrials(ctx, p, trials, 6) // they sleep most of the time
}

// grantSteps interrupts what makes a grant or ends one, at its steps: afterwards the only grant that lives is the one
// of the session that is kept. It kills the sign-in whose grant is not kept, too, and ends processes that revoke after
// an interrupt. At most n trials are run, the interrupts after a code is redeemed before all others.
func grantSteps(ctx context.Context, p *programs, n int, seed uint64) ([]tally, error) {
	chance := rand.New(rand.NewPCG(seed, 1))
	var first, others []trial
	for _, transaction := range []string{signInAlone, signInOther, loginAlone, logoutAlone} {
		passed, err := stepsOf(ctx, p, transaction)
		if err != nil {
			return nil, err
		}
		redeem := slices.IndexFunc(passed, func(step string) bool { return strings.HasSuffix(step, " before POST /oauth/token") })
		for i := range passed {
			interrupt := trial{transaction: transaction, step: i + 1, deed: "interrupt"}
			if i < redeem {
				others = append(others, interrupt)
			} else {
				first = append(first, interrupt)
			}
			if transaction == signInOther {
				others = append(others, trial{transaction: transaction, step: i + 1, deed: "kill"})
			}
		}
		if redeem >= 0 {
			first = append(first, trial{transaction: transaction, step: redeem + 1, deed: interruptTwice})
		}
	}
	for _, trials := range [][]trial{first, others} {
		chance.Shuffle(len(trials), func(i, j int) { trials[i], trials[j] = trials[j], trials[i] })
	}
	trials := append(first, others...)
	return runTrials(ctx, p, trials[:min(len(trials), n)], 2)
}

// stepsOf runs a victim to its end, and returns its steps.
func stepsOf(ctx context.Context, p *programs, transaction string) ([]string, error) {
	w, err := newWorld(p)
	if err != nil {
		return nil, err
	}
	defer w.close()
	t := trial{transaction: transaction}
	if err := w.prepare(ctx, t); err != nil {
		return nil, err
	}
	r, err := w.victim(ctx, t)
	finished := r.status == 0
	if transaction == signInOther {
		finished = strings.Contains(r.errs, broker.ErrOtherAccount.Error())
	}
	if err != nil || !finished {
		return nil, fmt.Errorf("%s, not ended: %w: %s", transaction, err, r.errs)
	}
	return r.steps(), nil
}

// steps are the steps that a victim has passed.
func (r reply) steps() []string { return strings.Split(strings.TrimSpace(r.out), "\n") }

// runTrials runs all trials, in that many worlds at once.
func runTrials(ctx context.Context, p *programs, trials []trial, worlds int) ([]tally, error) {
	queue := make(chan trial, len(trials))
	for _, t := range trials {
		queue <- t
	}
	close(queue)
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed []error
	tallies := map[string]*tally{}
	var order []string
	for _, t := range trials {
		if name := t.name(); tallies[name] == nil {
			tallies[name] = &tally{name: name}
			order = append(order, name)
		}
	}
	for range worlds {
		wg.Go(func() {
			var w *world
			defer func() {
				if w != nil {
					w.close()
				}
			}()
			for t := range queue {
				var err error
				if w == nil {
					w, err = newWorld(p)
				}
				var e end
				if err == nil {
					e, err = w.try(ctx, t)
				}
				mu.Lock()
				tallies[t.name()].add(e, err)
				if err != nil {
					failed = append(failed, fmt.Errorf("%v (%s): %w", t, e.step, err))
				}
				mu.Unlock()
				if err != nil && w != nil { // its state would falsify the next trial
					w.close()
					w = nil
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(order)
	var all []tally
	for _, name := range order {
		all = append(all, *tallies[name])
	}
	return all, errors.Join(failed...)
}

// end is the result of a trial.
type end struct {
	step      string // where the victim ended
	state     string // "old", "new", "sign-in" or "out"
	reuses    int
	grants    int // that live, and that the store does not hold
	temporary int
}

func (t *tally) add(e end, err error) {
	t.ends++
	t.reuses += e.reuses
	t.grants += e.grants
	t.temporary += e.temporary
	switch {
	case err != nil:
		t.lost++
	case e.state == "old":
		t.old++
	case e.state == "new":
		t.renewed++
	case e.state == "sign-in":
		t.signedIn++
	case e.state == "out":
		t.signedOut++
	}
}

// prepare makes the session that the trial's transaction needs.
func (w *world) prepare(ctx context.Context, t trial) error {
	w.newPhase()
	s, ok, err := w.session(ctx)
	if err != nil {
		return err
	}
	if t.transaction == signInAlone || t.transaction == builtSignIn {
		if ok {
			return w.keychain.Delete(ctx, broker.KeychainItem(w.acme))
		}
		return nil
	}
	if !ok || s.SignedOut {
		if err := w.signIn(ctx); err != nil {
			return err
		}
	}
	switch t.transaction {
	case signInOther:
		return w.changeSession(ctx, func(s *broker.Session) { s.AccessToken, s.RefreshToken = "", "" })
	case refreshAlone, throughACopy, builtGet, builtRefresh:
		return w.age(ctx, 25*time.Hour)
	}
	return w.age(ctx, 2*time.Hour) // old enough for an erase
}

// victim runs a victim to its end.
func (w *world) victim(ctx context.Context, t trial) (reply, error) {
	self, err := os.Executable()
	if err != nil {
		return reply{}, err
	}
	w.clerk.SetFaults(func(f *sandbox.Faults) { f.OtherSubject = t.transaction == signInOther })
	defer w.clerk.SetFaults(func(f *sandbox.Faults) { f.OtherSubject = false })
	return w.run(ctx, task{program: self, args: []string{victimWord, t.transaction, strconv.Itoa(t.step), t.deed, w.helper}})
}

// try ends a process, and checks what ten gets do afterwards.
func (w *world) try(ctx context.Context, t trial) (e end, err error) {
	if err := w.prepare(ctx, t); err != nil {
		return e, fmt.Errorf("preparing: %w", err)
	}
	before, _, err := w.session(ctx)
	if err != nil {
		return e, err
	}
	start, unheld := w.counts(), w.unheld(before)
	w.clerk.SetFaults(func(f *sandbox.Faults) { f.Delay = t.delay })
	r, err := w.endOne(ctx, t, before)
	w.clerk.SetFaults(func(f *sandbox.Faults) { f.Delay = 0 })
	if err != nil {
		return e, err
	}
	passed := r.steps()
	e.step = passed[len(passed)-1]
	if t.step > 0 && t.step <= len(passed) {
		e.step = passed[t.step-1]
	}

	if t.deed == "interrupt" && t.transaction != throughACopy && !t.inFlight { // a refresh goes on
		if err := w.grantIsHeld(ctx, unheld); err != nil {
			return e, err
		}
	}

	w.newPhase()
	atEnd := w.counts()
	if t.transaction == signInOther { // there is a pause, which a login ends
		if err := w.signIn(ctx); err != nil {
			return e, err
		}
	}
	replies, err := w.storm(ctx, getsAfterwards, w.get())
	if err != nil {
		return e, err
	}
	since := w.counts().minus(atEnd)
	e.reuses = w.counts().reuses - start.reuses
	e.temporary, err = w.sweep()
	if err != nil {
		return e, err
	}
	if err := w.locksAreFree(ctx); err != nil {
		return e, err
	}
	after, ok, err := w.session(ctx)
	if err != nil {
		return e, err
	}
	e.grants = w.unheld(after) - unheld
	if t.deed == "interrupt" && e.grants != 0 {
		return e, fmt.Errorf("after the gets, %d grants are left alive", e.grants)
	}
	if ok && after.SignedOut {
		e.state = "out"
		for _, r := range replies {
			if r.out != "" || !strings.Contains(r.errs, "you signed out of profile") {
				return e, fmt.Errorf("signed out: %q, %q", r.out, r.errs)
			}
		}
		if t.transaction != logoutAlone || since != (counts{}) {
			return e, fmt.Errorf("signed out without a logout; afterwards %+v", since)
		}
		return e, nil
	}
	if _, _, err := w.right(replies); err != nil {
		return e, err
	}
	// The request of a killed process may arrive after its end; the next refresh is the reuse then.
	if since.browsers > 1 || since.refreshes-since.reuses > 1 {
		return e, fmt.Errorf("a loop: afterwards %+v", since)
	}
	e.state = "old"
	if after.RefreshToken != before.RefreshToken && since.refreshes == 0 {
		e.state = "new"
	}
	if since.browsers == 1 {
		e.state = "sign-in"
	}
	if e.reuses == 0 && since.browsers > 0 && before.RefreshToken != "" {
		return e, errors.New("a session was lost")
	}
	if e.reuses > 1 || e.reuses == 1 && (since.browsers != 1 || !t.mayLose(passed)) {
		return e, fmt.Errorf("%d reuses, afterwards %+v", e.reuses, since)
	}
	return e, nil
}

// unheld counts the grants that live, apart from the one of the session.
func (w *world) unheld(s broker.Session) int {
	n := w.clerk.Grants()
	if w.clerk.Alive(s.RefreshToken) {
		n--
	}
	return n
}

// grantIsHeld checks that the session which is kept, if there is one, has a grant that lives, and that no other one was left
// behind.
func (w *world) grantIsHeld(ctx context.Context, unheld int) error {
	s, _, err := w.session(ctx)
	if err != nil {
		return err
	}
	if s.RefreshToken != "" && !w.clerk.Alive(s.RefreshToken) {
		return errors.New("the grant of the session that is kept has ended")
	}
	if n := w.unheld(s) - unheld; n != 0 {
		return fmt.Errorf("%d grants are left alive", n)
	}
	return nil
}

// mayLose reports whether the refresh itself was ended between the issuer's rotation and the write of the new token.
func (t trial) mayLose(passed []string) bool {
	switch t.transaction {
	case builtRefresh:
		return t.deed == "kill" // at any time, not at a step; other signals are ignored
	case refreshAlone:
		last := passed[len(passed)-1]
		before := strings.Join(passed[:len(passed)-1], "\n")
		return strings.HasSuffix(last, "after POST /oauth/token") ||
			strings.HasSuffix(last, "before writing the keychain") && strings.HasSuffix(before, "after POST /oauth/token")
	}
	return false
}

// endOne starts the trial's process and ends it.
func (w *world) endOne(ctx context.Context, t trial, s broker.Session) (reply, error) {
	if t.step > 0 {
		r, err := w.victim(ctx, t)
		if killed := t.deed != "interrupt"; err == nil && killed != (r.status == -1) {
			err = fmt.Errorf("%s: the victim ended with status %d: %s", t.deed, r.status, r.errs)
		}
		return r, err
	}
	command := w.get()
	if t.transaction == builtRefresh {
		command = task{program: w.renew, args: []string{w.acme.Name, broker.KeychainItem(w.acme), s.ReceivedAt.Format(time.RFC3339Nano)}}
	}
	asked := w.clerk.Count("token")
	p, err := w.start(ctx, command)
	if err != nil {
		return reply{}, err
	}
	p.release()
	if t.inFlight {
		err = until(ctx, "the token endpoint is asked", func() bool { return w.clerk.Count("token") > asked })
	} else {
		time.Sleep(t.after) // a random time, not synchronisation
	}
	switch t.deed {
	case "interrupt":
		err = errors.Join(err, p.interrupt())
	case "terminate":
		err = errors.Join(err, p.cmd.Process.Signal(syscall.SIGTERM))
	default:
		p.cmd.Process.Kill() // it may have ended already
	}
	r, failed := p.wait()
	return r, errors.Join(err, failed)
}

// locksAreFree checks every lock of the session by taking it once.
func (w *world) locksAreFree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, kind := range []string{"session", "refresh", "signin"} {
		release, err := w.lock(ctx, kind)
		if err != nil {
			return fmt.Errorf("the lock %s is stale: %w", kind, err)
		}
		release()
	}
	return nil
}

func (w *world) lock(ctx context.Context, kind string) (release func(), err error) {
	dir, err := w.keychain.LockDir()
	if err != nil {
		return nil, err
	}
	return platform.Locks{Dir: dir}.Lock(ctx, kind+"-"+w.identity())
}

// sweep removes the temporary files of killed writers, and counts those of sessions, which contain tokens.
func (w *world) sweep() (sessions int, err error) {
	dir, err := w.keychain.LockDir()
	if err != nil {
		return 0, err
	}
	for _, pattern := range []string{"../.*.tmp", "outcomes/.*.tmp"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return 0, err
		}
		for _, file := range files {
			if strings.HasPrefix(filepath.Base(file), ".session-") {
				sessions++
			}
			if err := os.Remove(file); err != nil {
				return 0, err
			}
		}
	}
	return sessions, nil
}
