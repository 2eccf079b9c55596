package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/sandbox"
)

// row is the result of one storm.
type row struct {
	name      string
	processes int
	right     int // right answers
	counts
	took, slowest time.Duration // for all, and for one
}

const rowHead = `| storm | processes | right answers | browsers | sign-ins | refreshes | reuses | all answered after | slowest |
|---|---|---|---|---|---|---|---|---|`

func (r row) String() string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %.1f s | %.1f s |", r.name, r.processes, r.right,
		r.browsers, r.signIns, r.refreshes, r.reuses, r.took.Seconds(), r.slowest.Seconds())
}

// want compares the result with the expected one.
func (r row) want(right int, want counts) error {
	if r.right != right || r.counts != want {
		return fmt.Errorf("%s: %d of %d answers are right, %+v; want %d, %+v", r.name, r.right, r.processes, r.counts, right, want)
	}
	return nil
}

// storm is many processes at once.
type storm struct {
	name string
	run  func(ctx context.Context, w *world, n int) ([]row, error)
	n    int
}

func fileStorms(n int) []storm {
	return []storm{{"cold", stormCold, n}, {"expired", stormExpired, n}, {"refused", stormRefused, n}, {"erased by all", stormErased, 50}}
}

func keyringStorms(n int) []storm {
	return []storm{{"cold", stormCold, n}, {"expired", stormExpired, n}}
}

// stormCold: there is no session, and n tools ask at once.
func stormCold(ctx context.Context, w *world, n int) ([]row, error) {
	r := row{name: "cold", processes: n}
	before, began := w.counts(), time.Now()
	replies, err := w.storm(ctx, n, w.get())
	r.took, r.counts = time.Since(began), w.counts().minus(before)
	var wrong error
	r.right, r.slowest, wrong = w.right(replies)
	return []row{r}, errors.Join(err, wrong, r.want(n, counts{browsers: 1, signIns: 1}))
}

// stormLive: a live token is kept, and n tools ask at once.
func stormLive(ctx context.Context, w *world, n int) ([]row, error) {
	if err := w.signIn(ctx); err != nil {
		return nil, err
	}
	r, err := w.live(ctx, "live", 1, slices.Repeat([]task{w.get()}, n))
	return []row{r}, err
}

// stormLoops: a live token is kept, and three tools ask at once, again and again, n times in all.
func stormLoops(ctx context.Context, w *world, n int) ([]row, error) {
	if err := w.signIn(ctx); err != nil {
		return nil, err
	}
	r, err := w.live(ctx, "three loops", n/3, slices.Repeat([]task{w.get()}, 3))
	return []row{r}, err
}

// live has the tasks ask for a live token, that many times.
func (w *world) live(ctx context.Context, name string, times int, tasks []task) (row, error) {
	r := row{name: name, processes: times * len(tasks)}
	before, began := w.counts(), time.Now()
	for range times {
		replies, err := w.together(ctx, tasks)
		right, slowest, wrong := w.right(replies)
		r.right, r.slowest = r.right+right, max(r.slowest, slowest)
		if err := errors.Join(err, wrong); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
	}
	r.took, r.counts = time.Since(began), w.counts().minus(before)
	return r, r.want(r.processes, counts{})
}

// stormExpired: the access token has expired, and n tools ask at once. The rotated refresh token is kept.
func stormExpired(ctx context.Context, w *world, n int) ([]row, error) {
	r := row{name: "expired", processes: n}
	if err := errors.Join(w.signIn(ctx), w.age(ctx, 25*time.Hour)); err != nil {
		return []row{r}, err
	}
	issued := len(w.clerk.Issued())
	before, began := w.counts(), time.Now()
	replies, err := w.storm(ctx, n, w.get())
	r.took, r.counts = time.Since(began), w.counts().minus(before)
	var wrong error
	r.right, r.slowest, wrong = w.right(replies)
	s, ok, bad := w.session(ctx)
	if !ok || !slices.Contains(w.clerk.Issued()[issued:], s.RefreshToken) {
		bad = errors.Join(bad, errors.New("expired: the refresh token that is kept is not the rotated one"))
	}
	return []row{r}, errors.Join(err, wrong, bad, r.want(n, counts{refreshes: 1}))
}

// stormRefused: n tools ask at once, and the person refuses once. In the cool-down only login asks again.
func stormRefused(ctx context.Context, w *world, n int) ([]row, error) {
	r := row{name: "refused", processes: n}
	if err := w.refusedBefore(ctx, 6); err != nil {
		return []row{r}, err
	}
	deny := func(no bool) { w.clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = no }) }
	deny(true)
	began := time.Now()
	replies, err := w.storm(ctx, n, w.get())
	r.took, r.counts = time.Since(began), w.counts()
	var wrong error
	for _, p := range replies {
		r.slowest = max(r.slowest, p.took)
		// git is told to stop asking; all get the same message.
		if p.out == "quit=1\n" && strings.Contains(p.errs, "access was denied") && p.words() == replies[0].words() {
			r.right++
		} else {
			wrong = fmt.Errorf("refused: status %d, stdout %q, stderr %q", p.status, p.out, p.errs)
		}
	}
	err = errors.Join(err, wrong, r.want(n, counts{browsers: 1}))

	cooling := row{name: "then, in the cool-down", processes: 100}
	before, began := w.counts(), time.Now()
	later, failed := w.storm(ctx, cooling.processes, w.get())
	cooling.took, cooling.counts = time.Since(began), w.counts().minus(before)
	for _, p := range later {
		cooling.slowest = max(cooling.slowest, p.took)
		if p.out == "quit=1\n" && p.words() == replies[0].words() {
			cooling.right++
		} else {
			failed = errors.Join(failed, fmt.Errorf("in the cool-down: %q", p.errs))
		}
	}
	failed = errors.Join(failed, cooling.want(cooling.processes, counts{}))
	deny(false)
	failed = errors.Join(failed, w.signIn(ctx))
	last, bad := w.run(ctx, w.get())
	if last.token() == "" {
		bad = errors.Join(bad, fmt.Errorf("after login: %s", last.errs))
	}
	return []row{r, cooling}, errors.Join(err, failed, bad)
}

// stormErased: n gits of a parallel fetch get a 401 for the same stale token, erase it, and ask again.
func stormErased(ctx context.Context, w *world, n int) ([]row, error) {
	r := row{name: "erased by all", processes: 2 * n}
	if err := errors.Join(w.signIn(ctx), w.age(ctx, 2*time.Hour)); err != nil {
		return []row{r}, err
	}
	stale, err := w.run(ctx, w.get())
	if err != nil {
		return []row{r}, err
	}
	before, began := w.counts(), time.Now()
	erased, err := w.storm(ctx, n, w.ask("erase", "password="+stale.token()+"\n"))
	spoke := 0
	for _, p := range erased {
		if strings.HasPrefix(p.errs, "hint: git.acme.dev refused the token") {
			spoke++ // the one that has dropped it
		} else if p.errs != "" {
			err = errors.Join(err, fmt.Errorf("erase: %s", p.errs))
			continue
		}
		if p.status != 0 || p.out != "" {
			err = errors.Join(err, fmt.Errorf("erase: status %d, %s", p.status, p.out))
			continue
		}
		r.right++
	}
	if spoke != 1 {
		err = errors.Join(err, fmt.Errorf("erased: %d processes told the user, not one", spoke))
	}
	replies, failed := w.storm(ctx, n, w.get())
	r.took, r.counts = time.Since(began), w.counts().minus(before)
	right, slowest, wrong := w.right(replies)
	r.right, r.slowest = r.right+right, slowest
	if len(replies) > 0 && replies[0].token() == stale.token() {
		wrong = errors.Join(wrong, errors.New("erased: the stale token was handed out again"))
	}
	return []row{r}, errors.Join(err, failed, wrong, r.want(2*n, counts{refreshes: 1}))
}

// notHeldUp measures calls that must not wait for the sign-in that is waiting for a person.
func notHeldUp(ctx context.Context, w *world) (lines []string, err error) {
	other := task{w.git, []string{"get"}, "protocol=https\nhost=" + otherHost + "\n", nil}
	foreign := task{w.git, []string{"get"}, "protocol=https\nhost=git.foreign.dev\n", nil}
	leader, err := w.start(ctx, w.get("BROWSER="+w.idle))
	if err != nil {
		return nil, err
	}
	leader.release()
	if err := until(ctx, "the browser is open", func() bool { return w.counts().browsers == 1 }); err != nil {
		return nil, err
	}
	check := func(what string, t task, ok func(reply) bool) {
		r, failed := w.run(ctx, t)
		if failed == nil && !ok(r) {
			failed = fmt.Errorf("%s: status %d, stdout %q, stderr %q", what, r.status, r.out, r.errs)
		}
		err = errors.Join(err, failed)
		lines = append(lines, fmt.Sprintf("%s: %d ms", what, r.took.Milliseconds()))
	}
	check("a host of another profile, which signs in meanwhile", other, func(r reply) bool { return r.token() != "" })
	check("a host of another profile, from the store", other, func(r reply) bool { return r.token() != "" })
	check("a foreign host", foreign, func(r reply) bool { return r.status == 0 && r.out == "" && r.errs == "" })
	check("the host itself, with CI=true", w.get("CI=true", "CLERK_HELPER_INTERACTIVE=auto"), func(r reply) bool {
		return r.status == 0 && r.out == "" && strings.Contains(r.errs, "CI is set")
	})
	check("the host itself, with CLERK_HELPER_INTERACTIVE=never", w.get("CLERK_HELPER_INTERACTIVE=never"), func(r reply) bool {
		return r.status == 0 && r.out == "" && strings.Contains(r.errs, "needs a sign-in")
	})
	err = errors.Join(err, leader.interrupt())
	r, failed := leader.wait()
	if failed == nil && r.out != "quit=1\n" {
		failed = fmt.Errorf("the sign-in was no longer waiting: %q, %q", r.out, r.errs)
	}
	return lines, errors.Join(err, failed)
}

// interrupted presses Ctrl-C, first for a process that waits for a sign-in, then for the one that asks. The first ends
// alone; the second ends all that wait, without another page and without a cool-down.
func interrupted(ctx context.Context, w *world) (lines []string, err error) {
	trace := filepath.Join(w.dir, "trace")
	idle := w.get("BROWSER="+w.idle, "CLERK_HELPER_TRACE="+trace)
	begun := func(n int) func() bool {
		return func() bool {
			text, err := os.ReadFile(trace)
			return err == nil && strings.Count(string(text), "no session") == n
		}
	}
	var all []*process
	for i := range 6 {
		p, err := w.start(ctx, idle)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
		p.release()
		if i == 0 { // the one that asks
			err = until(ctx, "the browser is open", func() bool { return w.counts().browsers == 1 })
		} else {
			err = until(ctx, "another one waits", begun(i+1))
		}
		if err != nil {
			return nil, err
		}
	}
	leader, waiter, others := all[0], all[1], all[2:]

	err = waiter.interrupt()
	r, failed := waiter.wait()
	err = errors.Join(err, failed)
	lines = append(lines, fmt.Sprintf("Ctrl-C for one who waits: %q after %d ms", r.words(), r.took.Milliseconds()))
	if r.token() != "" || r.status == -1 {
		err = errors.Join(err, fmt.Errorf("the waiter ended with status %d, %q", r.status, r.out))
	}
	// A new process would open a page if the sign-in had ended.
	late, failed := w.start(ctx, idle)
	if failed != nil {
		return lines, errors.Join(err, failed)
	}
	late.release()
	others = append(others, late)
	err = errors.Join(err, until(ctx, "the last one waits", begun(7)))
	for _, p := range append(others, leader) {
		if !p.lives() {
			err = errors.Join(err, errors.New("Ctrl-C for one who waits ended another"))
		}
	}

	err = errors.Join(err, leader.interrupt())
	for i, p := range append([]*process{leader}, others...) {
		r, failed := p.wait()
		err = errors.Join(err, failed)
		if r.out != "quit=1\n" || !strings.Contains(r.errs, "cancel") {
			err = errors.Join(err, fmt.Errorf("after Ctrl-C for the one that asks, process %d: %q, %q", i, r.out, r.errs))
		}
		if i < 2 {
			lines = append(lines, fmt.Sprintf("Ctrl-C for the one that asks, process %d: %q", i, r.words()))
		}
	}
	if n := w.counts().browsers; n != 1 {
		err = errors.Join(err, fmt.Errorf("Ctrl-C led to %d browsers", n))
	}
	next, failed := w.run(ctx, w.get())
	if next.token() == "" {
		failed = errors.Join(failed, fmt.Errorf("after Ctrl-C, the next get: %q", next.errs))
	}
	lines = append(lines, "the next get: signed in at once, there is no cool-down")
	return lines, errors.Join(err, failed)
}
