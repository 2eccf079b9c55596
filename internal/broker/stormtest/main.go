// Command stormtest shows that many processes at once share one sign-in and one refresh, that a process which is killed at
// any instant loses nothing, and that one which is interrupted leaves no grant alive that it does not keep.
//
// It builds the program, starts the stand-in for Clerk, runs storms and kills in temporary homes, and prints the results as
// Markdown. The exit status is 1 if a result is wrong. It changes no file of the user who runs it, except for lock files of
// the gnome-keyring storm, which it removes.
//
//	go run ./internal/broker/stormtest [-n 1000] [-keyring 100] [-kills 230] [-delay 5s] [-seed N]
//
// It runs on Unix, and uses gnome-keyring-daemon and dbus-daemon if they are installed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == victimWord {
		os.Exit(playVictim(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.processes, "n", 1000, "processes in a storm on the file store")
	flag.IntVar(&o.keyring, "keyring", 100, "processes in a storm on gnome-keyring")
	flag.IntVar(&o.kills, "kills", 230, "least number of kills, and greatest of interrupts; 230 or more include every step of every transaction")
	flag.DurationVar(&o.delay, "delay", 5*time.Second, "delay of the token endpoint while callers are interrupted")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the random kills")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stormtest:", err)
		os.Exit(1)
	}
}

type options struct {
	processes, keyring, kills int
	delay                     time.Duration
	seed                      uint64
}

func run(ctx context.Context, o options) error {
	p, err := build(ctx)
	if err != nil {
		return err
	}
	defer p.remove()

	fmt.Println(rowHead)
	var failed []error
	show := func(store string, w *world, s storm) {
		rows, err := s.run(ctx, w, s.n)
		for _, r := range rows {
			r.name += store
			fmt.Println(r)
		}
		w.close()
		failed = append(failed, err)
	}
	for _, s := range fileStorms(o.processes) {
		w, err := newWorld(p)
		if err != nil {
			return err
		}
		show("", w, s)
	}
	for _, s := range keyringStorms(o.keyring) {
		w, err := newKeyringWorld(ctx, p)
		if errors.Is(err, errNoKeyring) {
			fmt.Println("SKIP gnome-keyring:", err)
			break
		}
		if err != nil {
			return err
		}
		show(", gnome-keyring", w, s)
	}

	w, err := newWorld(p)
	if err != nil {
		return err
	}
	lines, err := notHeldUp(ctx, w)
	w.close()
	failed = append(failed, err)
	fmt.Println("\nWhile a sign-in waits for a person in one profile:")
	for _, line := range lines {
		fmt.Println("-", line)
	}
	if w, err = newWorld(p); err != nil {
		return err
	}
	lines, err = interrupted(ctx, w)
	w.close()
	failed = append(failed, err)
	fmt.Println("\nCtrl-C while five wait for the sign-in of a sixth:")
	for _, line := range lines {
		fmt.Println("-", line)
	}

	fmt.Printf("\nSeed %d.\n\n", o.seed)
	fmt.Println(tallyHead)
	all, err := killSteps(ctx, p, o.kills, o.seed)
	for _, t := range all {
		fmt.Println(t)
	}
	failed = append(failed, err)
	all, err = grantSteps(ctx, p, o.kills, o.seed)
	for _, t := range all {
		fmt.Println(t)
	}
	failed = append(failed, err)
	all, err = interruptSteps(ctx, p, o.delay)
	for _, t := range all {
		fmt.Println(t)
	}
	failed = append(failed, err)
	return errors.Join(failed...)
}
