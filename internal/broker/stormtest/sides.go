package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// side is a place with a /run/user/UID of its own, and so with locks of its own: this folder. Its keychain is the world's, as in a
// container that has the session's bus.
type side string

func (w *world) newSide() (side, error) {
	dir, err := os.MkdirTemp(w.dir, "side")
	return side(dir), err
}

// inside is the task in a side, on a bus of that address, or the world's if it is empty.
func (t task) inside(s side, bus string) task {
	if bus != "" {
		t.env = append(t.env, "DBUS_SESSION_BUS_ADDRESS="+bus)
	}
	user := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	t.args = append([]string{"--dev-bind", "/", "/", "--tmpfs", "/run", "--bind", string(s), user, "--", t.program}, t.args...)
	t.program = "bwrap"
	return t
}

// stormSides: in each round the access token has expired, and n tools of each of two sides ask at once. One side has
// xdg-dbus-proxy before the bus, as in a Flatpak.
func stormSides(ctx context.Context, w *world, rounds, n int) (row, error) {
	r := row{name: fmt.Sprintf("two sides, %d times", rounds), processes: rounds * 2 * n}
	desktop, err := w.newSide()
	if err != nil {
		return r, err
	}
	sandboxed, err := w.newSide()
	if err != nil {
		return r, err
	}
	login, err := w.run(ctx, task{program: w.helper, args: []string{"login", "acme"}}.inside(desktop, ""))
	if err != nil || login.status != 0 {
		return r, fmt.Errorf("login: %w: %s", err, login.errs)
	}
	bus, err := w.proxy()
	if err != nil {
		return r, err
	}
	before := w.counts()
	tasks := slices.Repeat([]task{w.get().inside(desktop, ""), w.get().inside(sandboxed, bus)}, n)
	for round := range rounds {
		if err := w.age(ctx, 25*time.Hour); err != nil {
			return r, fmt.Errorf("round %d: %w", round, err)
		}
		atBegin, began := w.counts(), time.Now()
		replies, err := w.together(ctx, tasks)
		r.took += time.Since(began)
		right, slowest, wrong := w.right(replies)
		r.right += right
		r.slowest = max(r.slowest, slowest)
		r.counts = w.counts().minus(before)
		now := w.counts().minus(atBegin)
		if now != (counts{refreshes: 1}) {
			wrong = errors.Join(wrong, fmt.Errorf("%+v", now))
		}
		if err := errors.Join(err, wrong); err != nil {
			return r, fmt.Errorf("round %d: %w", round, err)
		}
	}
	return r, r.want(r.processes, counts{refreshes: rounds})
}
