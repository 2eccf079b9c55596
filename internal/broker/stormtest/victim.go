package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// victimWord is the first argument of a victim: this program as a process that ends itself at a step.
const victimWord = "victim"

// interruptTwice is SIGINT before the code of a sign-in is redeemed, and another signal before its grant is revoked.
// The second one kills, as it does the program.
const interruptTwice = "interrupt, then another signal"

// steps numbers everything that a broker does outside of its process: before and after each request, each use of the keychain
// and of the records, each lock and its release. It prints each step, and calls deeds at some of them.
type steps struct {
	mu    sync.Mutex
	n     int
	at    int // 0: never
	deed  func()
	named map[string]func() // deeds at steps with a name
}

func (s *steps) pass(format string, args ...any) {
	s.mu.Lock()
	s.n++
	step := fmt.Sprintf(format, args...)
	fmt.Printf("%d %s\n", s.n, step)
	deed := s.named[step]
	if s.n == s.at {
		deed = s.deed
	}
	s.mu.Unlock()
	if deed != nil {
		deed()
	}
}

// around calls do between two steps.
func (s *steps) around(what string, do func() error) error {
	s.pass("before %s", what)
	err := do()
	s.pass("after %s", what)
	return err
}

type steppedKeychain struct {
	*steps
	broker.Keychain
	what string
}

func (k steppedKeychain) Get(ctx context.Context, name string) (secret string, err error) {
	err = k.around("reading "+k.what, func() error { secret, err = k.Keychain.Get(ctx, name); return err })
	return secret, err
}

func (k steppedKeychain) Set(ctx context.Context, name, secret string) error {
	return k.around("writing "+k.what, func() error { return k.Keychain.Set(ctx, name, secret) })
}

func (k steppedKeychain) Delete(ctx context.Context, name string) error {
	return k.around("deleting "+k.what, func() error { return k.Keychain.Delete(ctx, name) })
}

type steppedLocks struct {
	*steps
	broker.Locker
}

// kind is the part of a lock's name before the session's identity.
func kind(name string) string { return name[:len(name)-33] }

func (l steppedLocks) released(name string, release func()) func() {
	return func() {
		l.around("releasing "+kind(name), func() error { release(); return nil })
	}
}

func (l steppedLocks) Lock(ctx context.Context, name string) (release func(), err error) {
	err = l.around("locking "+kind(name), func() error { release, err = l.Locker.Lock(ctx, name); return err })
	if err != nil {
		return nil, err
	}
	return l.released(name, release), nil
}

func (l steppedLocks) TryLock(name string) (release func(), ok bool, err error) {
	err = l.around("trying "+kind(name), func() error { release, ok, err = l.Locker.TryLock(name); return err })
	if !ok || err != nil {
		return nil, false, err
	}
	return l.released(name, release), true, nil
}

type steppedTransport struct {
	*steps
	http.RoundTripper
}

func (t steppedTransport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	err = t.around(req.Method+" "+req.URL.Path, func() error { resp, err = t.RoundTripper.RoundTrip(req); return err })
	return resp, err
}

// playVictim runs one transaction of the profile acme in this process, with the same parts as the program, and ends
// itself at a step. Its arguments are the transaction, the step (0 for none), the deed ("kill" is SIGKILL for this
// process, "interrupt" is SIGINT for its group, and interruptTwice has steps of its own), and the program that
// refreshes in the background.
func playVictim(args []string) int {
	if err := victim(args); err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		return 1
	}
	return 0
}

func victim(args []string) error {
	if len(args) != 4 {
		return errors.New("want a transaction, a step, a deed and a program")
	}
	transaction, deed, program := args[0], args[2], args[3]
	at, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	interrupt := func() {
		exec.Command("kill", "-INT", "0").Run() // it ends itself as well
		<-ctx.Done()
	}
	s := &steps{at: at}
	switch deed {
	case "interrupt":
		s.deed = interrupt
	case interruptTwice:
		// The browser is opened in a goroutine of its own, so the number of a step varies.
		s.at, s.named = 0, map[string]func(){
			"before POST /oauth/token":        interrupt,
			"before POST /oauth/token/revoke": func() { endSelf(syscall.SIGTERM) }, // a shell's background process ignores SIGINT
		}
	default:
		s.deed = func() { endSelf(os.Kill) }
	}
	b, err := victimBroker(s)
	if err != nil {
		return err
	}
	p := b.Config.Profile("acme")
	if transaction == throughACopy {
		b.SpawnRefresh = func(ctx context.Context, p *config.Profile, seen time.Time) error {
			var wait func(context.Context) error
			err := s.around("starting the copy", func() (err error) {
				wait, err = platform.StartDetached(program, renewName, p.Name, broker.KeychainItem(p), seen.Format(time.RFC3339Nano))
				return err
			})
			if err != nil {
				return err
			}
			return s.around("waiting for the copy", func() error { return wait(ctx) })
		}
	}
	req := protocol.Request{Verb: protocol.Get, Scheme: "https", Host: host}
	switch transaction {
	case loginAlone:
		_, err := b.Login(ctx, p)
		return err
	case logoutAlone:
		_, err := b.Logout(ctx, p)
		return err
	case eraseAlone:
		req.Verb = protocol.Erase
	}
	return b.Answer(ctx, req).Err
}

// endSelf ends this process by a signal.
func endSelf(s os.Signal) {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		self.Signal(s)
	}
	select {}
}

// victimBroker puts the parts together as the program does, each one between two steps.
func victimBroker(s *steps) (*broker.Broker, error) {
	file, err := platform.UserConfig(os.Getenv)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(file, text)
	if err != nil {
		return nil, err
	}
	state, err := platform.StateDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	keychain, err := platform.OpenKeychain("file", state)
	if err != nil {
		return nil, err
	}
	locks, err := keychain.LockDir()
	if err != nil {
		return nil, err
	}
	records, err := openRecords(locks)
	if err != nil {
		return nil, err
	}
	transport, err := clerk.NewTransport(nil)
	if err != nil {
		return nil, err
	}
	return &broker.Broker{
		Config:   cfg,
		Keychain: steppedKeychain{s, keychain, "the keychain"},
		Locks:    steppedLocks{s, platform.Locks{Dir: locks}},
		Records:  steppedKeychain{s, records, "the record"},
		Issuer: func(*config.Profile) (broker.Issuer, error) {
			return broker.Clerk(&clerk.Client{
				Transport: steppedTransport{s, transport},
				UserAgent: "clerk-credential-helper/storm",
				Documents: steppedKeychain{s, records, "the issuer's metadata"},
			}), nil
		},
		Now:    time.Now,
		Person: victimsUser{s},
	}, nil
}

// victimsUser opens the browser between two steps, and agrees to everything.
type victimsUser struct{ s *steps }

func (u victimsUser) MayAsk(*config.Profile) (broker.Permission, error) {
	return broker.Permission{}, nil
}

func (u victimsUser) Invite(ctx context.Context, _ *config.Profile, i clerk.Invitation) error {
	return u.s.around("opening the browser", func() error {
		return platform.OpenBrowser(ctx, i.StartURL, os.Getenv, os.Stderr, i.Visited)
	})
}

func (u victimsUser) Confirm(context.Context, *config.Profile, clerk.Tokens, string) error {
	return nil
}

func (u victimsUser) SayWaiting(*config.Profile, string) {}

func (u victimsUser) Unlock(context.Context, ...string) error { return platform.ErrLocked }
