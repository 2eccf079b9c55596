package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// signInOptions is how the person who typed a command wants to be asked. The zero value is how tools ask.
type signInOptions struct {
	login     bool // the command itself says how it ended
	flow      clerk.Flow
	noBrowser bool
	timeout   time.Duration
	account   string
}

// flows is the ladder of a sign-in: a browser on this machine, the device grant, an address that is pasted. If the terminal
// may not be read, only the browser is left.
func (u localUser) flows() []clerk.Flow {
	if u.options.flow != "" {
		return []clerk.Flow{u.options.flow}
	}
	var flows []clerk.Flow
	if u.where().Browser != "" && !u.options.noBrowser {
		flows = append(flows, clerk.Browser)
	}
	if len(flows) > 0 && !u.mayPrompt() {
		return flows
	}
	return append(flows, clerk.Device, clerk.Paste)
}

// localUser is the [broker.Person] of this machine.
type localUser struct {
	*system
	keychain *platform.Keychain
	tool     string // for which they are asked
}

func (u localUser) MayAsk(p *config.Profile) (broker.Permission, error) {
	if err := u.mayAsk(p, u.tool); err != nil {
		return broker.Permission{}, err
	}
	return broker.Permission{Flows: u.flows(), AtTerminal: foreground()}, nil
}

func (u localUser) Unlock(ctx context.Context, items ...string) error {
	return u.keychain.Unlock(ctx, func() {
		u.console().Warn(errors.New("the keychain asks in a window"), "")
	}, items...)
}

// Invite brings a person to the sign-in. Standard output belongs to the tool.
func (u localUser) Invite(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	u.inviting.Add(1)
	defer u.inviting.Done()
	u.invited = true
	s := u.console().OpenScreen()
	defer s.Close()
	u.screen.Store(s)
	defer u.screen.Store(nil)
	if p.LegacyPage != "" {
		s.Say(legacyWarning, p.Name)
	}
	switch i.Flow {
	case clerk.Device:
		return u.inviteDevice(ctx, s, p, i)
	case clerk.Paste:
		return u.invitePaste(ctx, s, p, i)
	}
	return u.inviteBrowser(ctx, s, p, i)
}

// legacyWarning is said before a page of the original kind is opened.
const legacyWarning = "Profile %s signs in through a legacy_page. Two things are wrong with such pages: the token stands " +
	"in the address, and so in the browser's history; and it can neither be refreshed nor revoked.\n" +
	"A companion page has neither fault: clerk-credential-helper companion --help\n"

// Confirm shows the account that a page of the original kind has sent, and asks: without our state in the answer,
// any page of the web could have sent its own.
func (u localUser) Confirm(ctx context.Context, p *config.Profile, t clerk.Tokens, lastSubject string) error {
	u.inviting.Wait()
	account := t.Subject
	if t.Email != "" {
		account = t.Email + " (" + account + ")"
	}
	u.console().Tell(fmt.Sprintf("The page did not prove that it answers this sign-in. The token is %s's, of %s.", account, p.Issuer))
	switch lastSubject {
	case "":
	case t.Subject:
		u.console().Tell("It is the account of the last sign-in to this profile.")
	default:
		u.console().Tell("It is not the account of the last sign-in to this profile.")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, confirmTime, errors.New("no answer came"))
	defer cancel()
	answer, err := u.console().Prompt(ctx, "Is that your account? [y/N] ")
	if answer := strings.ToLower(answer); err == nil && answer != "y" && answer != "yes" {
		err = fmt.Errorf("%w: you did not take the account for yours", clerk.ErrDenied)
	}
	return err
}

// confirmTime is how long a person has to look at an account.
const confirmTime = 2 * time.Minute

// launchGrace is how long a launcher may take to fail before the address is shown at the terminal.
const launchGrace = 500 * time.Millisecond

// inviteBrowser opens the browser at the one-time address. A person at the terminal may open the sign-in address
// themselves, here or elsewhere.
func (u localUser) inviteBrowser(ctx context.Context, s *console.Screen, p *config.Profile, i clerk.Invitation) error {
	s.Say("Signing in to %s: your browser opens.", p.Name)
	launched := make(chan error, 1)
	go func() { launched <- platform.OpenBrowser(ctx, i.StartURL, u.getenv, u.stderr, i.Visited) }()
	grace := time.After(launchGrace)
	select {
	case err := <-launched:
		if err != nil && ctx.Err() == nil {
			s.SayNoBrowser(err)
			return fmt.Errorf("%w: %w", clerk.ErrOtherFlow, err)
		}
		launched = nil
		select { // a browser that is signed in comes back at once, and the terminal need not be read
		case <-grace:
		case <-ctx.Done():
		}
	case <-grace:
	}
	if s.Terminal != nil {
		s.Say("If it does not, open this address:\n\n  %s\n", protocol.Escape(i.AuthorizeURL))
		if u.mayPrompt() {
			s.Say("On another machine the last page does not load: paste its address here.")
		}
	}
	return u.awaitPage(ctx, s, i, launched)
}

// awaitPage takes pasted addresses, and says what is wrong with the browser, until the wait is over.
func (u localUser) awaitPage(ctx context.Context, s *console.Screen, i clerk.Invitation, launched <-chan error) error {
	stop := s.Wait(ctx, i.Until)
	defer stop()
	pastes := s.Terminal != nil && u.mayPrompt()
	leave, err := clerk.InviteDuring(ctx, func(ctx context.Context) error {
		err := s.Watch(ctx, console.Browser{Launched: launched, Visited: i.Visited, OverTLS: i.OverTLS, StartURL: i.StartURL,
			Pastes: pastes, Ladder: len(u.flows()) > 1 && (pastes || u.options.login)})
		if err != nil {
			err = fmt.Errorf("%w: %w", clerk.ErrOtherFlow, err)
		}
		return err
	}, func(ctx context.Context) (err error) {
		if pastes {
			err = s.ReadPastes(ctx, i.Paste)
		}
		if err != nil && i.Flow == clerk.Paste {
			return err
		}
		if errors.Is(err, console.ErrWrongPastes) {
			s.Say("No more addresses are taken here; the browser can still finish.")
		}
		<-ctx.Done() // the browser is what is waited for
		return context.Cause(ctx)
	})
	leave()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// invitePaste has the person sign in on any machine and bring back the address at the end.
func (u localUser) invitePaste(ctx context.Context, s *console.Screen, p *config.Profile, i clerk.Invitation) error {
	if s.Terminal == nil || !u.mayPrompt() {
		return fmt.Errorf("%w: %w, and no terminal to paste an address into", clerk.ErrOtherFlow, platform.ErrNoBrowser)
	}
	s.Say("Signing in to %s. Open this address in a browser on any machine:\n\n  %s\n", p.Name, protocol.Escape(i.AuthorizeURL))
	s.Say("The last page begins with %s?", i.RedirectURI)
	s.Say("On another machine it does not load: paste its address here and press Enter.")
	return u.awaitPage(ctx, s, i, nil)
}

// inviteDevice shows the code and the page. Nothing is read, so a person who has typed the command may see it on standard
// error; a tool may keep that to itself.
func (u localUser) inviteDevice(ctx context.Context, s *console.Screen, p *config.Profile, i clerk.Invitation) error {
	if s.Terminal == nil && !u.options.login {
		return fmt.Errorf("%w: %w, and no terminal to show a code on", clerk.ErrOtherFlow, platform.ErrNoBrowser)
	}
	text := fmt.Sprintf("Signing in to %s. ", p.Name)
	if i.CompleteURL != "" {
		text += fmt.Sprintf("This address has the code in it:\n\n  %s\n\nOr o", protocol.Escape(i.CompleteURL))
	} else {
		text += "O"
	}
	s.SayBelowQR(i.CompleteURL, fmt.Sprintf("%spen this page in a browser on any device:\n\n  %s\n\nand enter the code\n\n  %s\n",
		text, protocol.Escape(i.VerifyURL), s.Bold(protocol.Escape(i.UserCode))))
	stop := s.Wait(ctx, i.Until)
	defer stop()
	<-ctx.Done()
	return nil
}

// tell says once what a person should know while they wait, above the line of an invitation.
func (sys *system) tell(text string) {
	if _, before := sys.told.LoadOrStore(text, true); before {
		return
	}
	s := sys.screen.Load()
	if s == nil {
		s = sys.console().OpenScreen()
		defer s.Close()
	}
	if s.Terminal != nil || !sys.hidden {
		s.Say("%s", protocol.Escape(text))
	}
}

// sayDone tells the person at the terminal who is signed in now, if they were asked. A command of theirs says so itself.
func sayDone(sys *system, p *config.Profile, signedIn broker.Session) {
	if !sys.invited || sys.options.login {
		return
	}
	sys.invited = false
	s := sys.console().OpenScreen()
	defer s.Close()
	if s.Terminal == nil {
		return
	}
	s.Say("Signed in to %s as %s.", p.Name, protocol.Escape(signedIn.Account()))
}

// SayWaiting tells a person that another command's sign-in is waited for.
func (u localUser) SayWaiting(p *config.Profile, by string) {
	if by == "" {
		by = "another command"
	}
	u.tell(fmt.Sprintf("Waiting for the sign-in to %s that %s has started; press Ctrl-C to give up.", p.Name, by))
}
