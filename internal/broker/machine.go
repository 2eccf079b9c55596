package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// ErrNoMachineKey means that a profile with machine = true has no usable secret key.
var ErrNoMachineKey = errors.New("no machine's secret key")

// machineSignIn is the answer to a person who wants to sign in to a machine's profile.
func machineSignIn(p *config.Profile) error {
	return fmt.Errorf("profile %q is a machine's: its tokens come from CLERK_MACHINE_SECRET_KEY, and nobody signs in to it", p.Name)
}

// machineItem is the item of a machine's token. It belongs to the key, so that a rotated key never meets the old
// key's token, and to the form of token; the key itself cannot be told from it.
func machineItem(p *config.Profile, secretKey string) string {
	sum := sha256.Sum256([]byte("machine\x00" + p.Issuer + "\x00" + p.MachineToken + "\x00" + secretKey))
	return "machine-" + hex.EncodeToString(sum[:16])
}

// mintInTurn gives a new machine's token, or the one that another process has minted meanwhile. Minting costs money, so one
// process mints for all that wait. If the keychain keeps nothing, each call mints.
func (b *Broker) mintInTurn(ctx context.Context, p *config.Profile) (Session, error) {
	item := machineItem(p, b.MachineKey)
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := b.Locks.Lock(limited, item)
	if err != nil {
		return Session{}, fmt.Errorf("waiting for the machine's token of profile %q: %w", p.Name, err)
	}
	defer release()
	s, err := b.readMachine(ctx, item)
	if err == nil && s.good(p, b.Now()) {
		return s, nil
	}
	if err == nil {
		if err := b.mintPaused(p, s); err != nil {
			return Session{}, err
		}
	}
	t, mintErr := b.mint(limited, p)
	if mintErr != nil {
		if err == nil && s.Live(p, b.Now()) {
			b.trace("profile %s: no new machine token, the last one still lives: %v", p.Name, mintErr)
			return s, nil
		}
		return Session{}, fmt.Errorf("getting a machine's token for profile %q: %w", p.Name, mintErr)
	}
	fresh := newSession(p, t)
	if err == nil && s.Token(p) == "" {
		fresh.Rejected = s.Rejected // one that lived to its end has ended the row
	}
	b.trace("profile %s: minted a machine's token, good until %s", p.Name, fresh.ExpiresAt.Format(time.RFC3339))
	if err := b.writeMachine(ctx, item, fresh); err != nil {
		b.trace("profile %s: the machine's token was not kept: %v", p.Name, err)
	}
	return fresh, nil
}

func (b *Broker) mint(ctx context.Context, p *config.Profile) (clerk.Tokens, error) {
	issuer, err := b.Issuer(p)
	if err != nil {
		return clerk.Tokens{}, err
	}
	return issuer.Mint(ctx, p, b.MachineKey)
}

func (b *Broker) checkMachineKey(p *config.Profile) error {
	switch {
	case b.MachineKey == "":
		return fmt.Errorf("profile %q: %w", p.Name, ErrNoMachineKey)
	case strings.HasPrefix(b.MachineKey, "sk_"):
		return fmt.Errorf("profile %q: %w: what is there is a secret key of Clerk's Backend API, which may do everything; it was not used", p.Name, ErrNoMachineKey)
	}
	return nil
}

// ReadMachineToken reads the machine's token that is kept, and mints none. It is empty if there is none that can be read. The
// error is why none is handed out or minted now.
func (b *Broker) ReadMachineToken(ctx context.Context, p *config.Profile) (Session, error) {
	plan := b.planMachine(ctx, Plan{Profile: p})
	return plan.Session, plan.Why
}

// forgetMachine takes the machine's token out of the keychain. The item's name depends on the key.
func (b *Broker) forgetMachine(ctx context.Context, p *config.Profile) (Session, error) {
	if b.MachineKey == "" {
		return Session{}, nil
	}
	item := machineItem(p, b.MachineKey)
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := b.Locks.Lock(limited, item)
	if err != nil {
		return Session{}, fmt.Errorf("waiting for the machine's token of profile %q: %w", p.Name, err)
	}
	defer release()
	s, err := b.readMachine(ctx, item)
	if err == nil || errors.Is(err, ErrUnreadable) {
		err = b.Keychain.Delete(ctx, item)
	}
	if errors.Is(err, platform.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return Session{}, fmt.Errorf("forgetting the machine's token of profile %q: %w", p.Name, err)
	}
	return s, nil
}

// mintPaused is the error of a machine whose tokens servers refuse, until the next one may be minted.
func (b *Broker) mintPaused(p *config.Profile, s Session) error {
	until := s.mintAgain()
	if s.Token(p) != "" || !b.Now().Before(until) {
		return nil
	}
	return fmt.Errorf("profile %q: servers have refused the machine's last tokens; a new one is not minted before %s",
		p.Name, until.Format(time.RFC3339))
}

// mintAgain is the end of the pause after a rejection.
func (s Session) mintAgain() time.Time { return s.ReceivedAt.Add(mintPause(s.Rejected)) }

// mintPause is how long a token that servers refuse stands in for the next: a minute after the first rejection, twice
// as long after each further one.
func mintPause(rejected int) time.Duration {
	pause := coolDownFirst
	for range min(rejected, 10) - 1 {
		pause = min(2*pause, coolDownMost)
	}
	return pause
}

// rejectMachine forgets a machine's token that a server refused.
func (b *Broker) rejectMachine(ctx context.Context, p *config.Profile, secret string) error {
	item := machineItem(p, b.MachineKey)
	limited, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	release, err := b.Locks.Lock(limited, item)
	if err != nil {
		return fmt.Errorf("waiting for the machine's token of profile %q: %w", p.Name, err)
	}
	defer release()
	s, err := b.readMachine(ctx, item)
	if errors.Is(err, platform.ErrNotFound) || err == nil && (s.AccessToken == "" || secret != "" && !equal(secret, s.AccessToken)) {
		return nil
	}
	if err != nil {
		return err
	}
	s.AccessToken, s.ExpiresAt = "", time.Time{}
	s.Rejected++
	return b.writeMachine(ctx, item, s)
}

func (b *Broker) readMachine(ctx context.Context, item string) (Session, error) {
	text, err := b.Keychain.Get(ctx, item)
	if err != nil {
		return Session{}, err
	}
	var s Session
	if json.Unmarshal([]byte(text), &s) != nil || s.Version != recordVersion {
		return Session{}, ErrUnreadable
	}
	return s, nil
}

func (b *Broker) writeMachine(ctx context.Context, item string, s Session) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return b.Keychain.Set(ctx, item, string(text))
}
