package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"

	"rsc.io/qr"
)

// asking is how the person who typed a command wants to be asked. The zero value is how tools ask.
type asking struct {
	login     bool // the command itself says how it ended
	flow      clerk.Flow
	noBrowser bool
	timeout   time.Duration
	account   string
}

// pasteTries is how many wrong addresses a person may paste.
const pasteTries = 3

// untrusted tells a certificate that no root vouches for from one that is wrong in itself. On macOS and Windows the
// system's own words are all there is inside.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) && !errors.As(err, &name) && !errors.As(err, &invalid)
}

// errWrongPastes ends a sign-in that waits for a pasted address.
var errWrongPastes = errors.New("three addresses were pasted, and none was the one that is waited for")

// flows is the ladder of a sign-in (design §6): a browser on this machine, the device grant, an address that is pasted.
// Where the terminal may not be read, or nobody is there who could, only the browser is left.
func (sys *system) flows() []clerk.Flow {
	if sys.asking.flow != "" {
		return []clerk.Flow{sys.asking.flow}
	}
	var flows []clerk.Flow
	if sys.where().Browser != "" && !sys.asking.noBrowser {
		flows = append(flows, clerk.Browser)
	}
	if len(flows) > 0 && !sys.mayPrompt() {
		return flows
	}
	return append(flows, clerk.Device, clerk.Paste)
}

// invite brings a person to the sign-in. Standard output belongs to the tool.
func (sys *system) invite(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	sys.inviting.Add(1)
	defer sys.inviting.Done()
	s := newScreen(sys)
	defer s.close()
	if p.LegacyPage != "" {
		s.say(legacyWarning, p.Name)
	}
	switch i.Flow {
	case clerk.Device:
		return s.inviteDevice(ctx, p, i)
	case clerk.Paste:
		return s.invitePaste(ctx, p, i)
	}
	return s.inviteBrowser(ctx, p, i)
}

// legacyWarning is said before a page of the original kind is opened.
const legacyWarning = "Profile %s signs in through a legacy_page. Two things are wrong with such pages: the token stands " +
	"in the address, and so in the browser's history; and it can neither be refreshed nor revoked.\n" +
	"A companion page has neither fault: clerk-credential-helper companion --help\n"

// confirmAccount shows the account that a page of the original kind has sent, and asks: without our state in the answer,
// any page of the web could have sent its own.
func (sys *system) confirmAccount(ctx context.Context, p *config.Profile, t clerk.Tokens, lastSubject string) error {
	sys.inviting.Wait()
	account := t.Subject
	if t.Email != "" {
		account = t.Email + " (" + account + ")"
	}
	sys.tell(fmt.Sprintf("The page did not prove that it answers this sign-in. The token is %s's, of %s.", account, p.Issuer))
	switch lastSubject {
	case "":
	case t.Subject:
		sys.tell("It is the account of the last sign-in to this profile.")
	default:
		sys.tell("It is not the account of the last sign-in to this profile.")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, confirmTime, errors.New("no answer came"))
	defer cancel()
	answer, err := sys.prompt(ctx, "Is that your account? [y/N] ")
	if answer := strings.ToLower(answer); err == nil && answer != "y" && answer != "yes" {
		err = fmt.Errorf("%w: you did not take the account for yours", clerk.ErrDenied)
	}
	return err
}

// confirmTime is how long a person has to look at an account.
const confirmTime = 2 * time.Minute

// inviteBrowser opens the browser at the one-time address. A person at the terminal may open the sign-in address
// themselves, here or elsewhere.
func (s *screen) inviteBrowser(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	s.say("Signing in to %s: your browser opens.", p.Name)
	if err := platform.OpenBrowser(ctx, i.StartURL, s.sys.getenv, s.sys.stderr); err != nil && ctx.Err() == nil {
		s.say("No browser could be opened.")
		return fmt.Errorf("%w: %w", clerk.ErrOtherFlow, err)
	}
	if s.terminal != nil {
		// A log that keeps standard error has no use for the address.
		s.say("If it does not, open this address:\n\n  %s\n", protocol.Escape(i.AuthorizeURL))
		if s.sys.mayPrompt() {
			s.say("On another machine the last page does not load: paste its address here.")
		}
	}
	stop := s.wait(ctx, i.Until)
	defer stop()
	if errors.Is(s.readPastes(ctx, i), errWrongPastes) {
		s.say("No more addresses are taken here; the browser can still finish.")
	}
	<-ctx.Done() // the browser is what is waited for
	return nil
}

// invitePaste has the person sign in on any machine and bring back the address at the end.
func (s *screen) invitePaste(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	if s.terminal == nil || !s.sys.mayPrompt() {
		return fmt.Errorf("%w: %w, and no terminal to paste an address into", clerk.ErrOtherFlow, platform.ErrNoBrowser)
	}
	s.say("Signing in to %s. Open this address in a browser on any machine:\n\n  %s\n", p.Name, protocol.Escape(i.AuthorizeURL))
	s.say("The last page begins with %s?", i.RedirectURI)
	s.say("On another machine it does not load: paste its address here and press Enter.")
	stop := s.wait(ctx, i.Until)
	defer stop()
	if err := s.readPastes(ctx, i); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// inviteDevice shows the code and the page. Nothing is read, so a person who has typed the command may see it on standard
// error; a tool may keep that to itself.
func (s *screen) inviteDevice(ctx context.Context, p *config.Profile, i clerk.Invitation) error {
	if s.terminal == nil && !s.sys.asking.login {
		return fmt.Errorf("%w: %w, and no terminal to show a code on", clerk.ErrOtherFlow, platform.ErrNoBrowser)
	}
	s.say("Signing in to %s. Open this page in a browser on any device:\n\n  %s\n", p.Name, protocol.Escape(i.VerifyURL))
	s.say("and enter the code\n\n  %s\n", s.bold(protocol.Escape(i.UserCode)))
	if i.CompleteURL != "" {
		s.say("This address has the code in it:\n\n  %s\n", protocol.Escape(i.CompleteURL))
	}
	s.drawQR(i.CompleteURL) // last, so that a small window shows it whole
	stop := s.wait(ctx, i.Until)
	defer stop()
	<-ctx.Done()
	return nil
}

// readPastes takes pasted addresses until one is right, three were wrong, or the wait is over.
func (s *screen) readPastes(ctx context.Context, i clerk.Invitation) error {
	if s.terminal == nil || !s.sys.mayPrompt() {
		return nil
	}
	wrong := 0
	err := s.terminal.ReadLines(ctx, func(line string, tooLong bool) bool {
		if strings.TrimSpace(line) == "" && !tooLong {
			return true
		}
		err := errors.New("that is too long for an address of a sign-in")
		if !tooLong {
			err = i.Paste(line)
		}
		if err == nil {
			return false
		}
		if wrong++; wrong == pasteTries {
			s.say("Sorry, %v.", err)
			return false
		}
		s.say("Sorry, %v. Please try again.", err)
		return true
	})
	if wrong == pasteTries {
		return errWrongPastes
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// screen is where a person sees what happens: the controlling terminal if it listens to us, else standard error.
type screen struct {
	sys      *system
	terminal *platform.Terminal // nil for standard error
	colour   bool
	redraws  bool // a line can be written over

	mu      sync.Mutex
	pending int // columns of the line that is written over, 0 if there is none
}

func newScreen(sys *system) *screen {
	s := &screen{sys: sys}
	t, err := platform.OpenTerminal()
	if err != nil {
		return s
	}
	if !t.Foreground() {
		t.Close()
		return s
	}
	s.terminal = t
	s.redraws = sys.getenv("TERM") != "dumb"
	s.colour = s.redraws && sys.getenv("TERM") != "" && sys.getenv("NO_COLOR") == ""
	return s
}

func (s *screen) close() {
	if s.terminal != nil {
		s.terminal.Close()
	}
}

func (s *screen) writer() io.Writer {
	if s.terminal != nil {
		return s.terminal
	}
	return s.sys.stderr
}

// say writes lines, above the one that is written over. At a terminal they break between words, but for those that begin
// with a blank: an address must stay whole.
func (s *screen) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.terminal == nil {
		s.print(text)
		return
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, " ") {
			lines[i] = folded(line)
		}
	}
	s.print(strings.Join(lines, "\n"))
}

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintln(s.writer(), text)
}

// wipe takes back the line that is written over. s.mu is held.
func (s *screen) wipe() {
	if s.pending > 0 {
		fmt.Fprintf(s.writer(), "\r%*s\r", s.pending, "")
		s.pending = 0
	}
}

// wait says until when the person is waited for, and how long that is yet, on one line that does not scroll. Where
// nothing can be written over it says so once.
func (s *screen) wait(ctx context.Context, until time.Time) (stop func()) {
	words := fmt.Sprintf("Waiting until %s; press Ctrl-C to give up.", until.Local().Format(time.TimeOnly))
	if s.terminal == nil || !s.redraws {
		s.say("%s", words)
		return func() {}
	}
	draw := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.terminal.Foreground() {
			s.pending = 0 // the line is a shell's now
			return
		}
		left := max(0, time.Until(until).Round(time.Second))
		line := fmt.Sprintf("%s  %d:%02d", words, int(left.Minutes()), int(left.Seconds())%60)
		line = line[:min(len(line), s.terminal.Width()-1)]
		s.wipe()
		fmt.Fprint(s.terminal, line)
		s.pending = len(line)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			draw()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wipe()
	}
}

func (s *screen) bold(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// quietZone is what a scanner needs around a QR code, in modules (ISO/IEC 18004).
const quietZone = 4

// drawQR draws an address, two rows of modules a line, if the terminal is wide enough. Light modules are what is drawn,
// as most terminals are dark; with colour both are set.
func (s *screen) drawQR(address string) {
	if address == "" || s.terminal == nil || !s.redraws || !utf8Terminal(s.sys.getenv) {
		return
	}
	code, err := qr.Encode(address, qr.L)
	if err != nil || code.Size+2*quietZone > s.terminal.Width() {
		return
	}
	light := func(x, y int) bool {
		inside := x >= 0 && y >= 0 && x < code.Size && y < code.Size
		return !inside || !code.Black(x, y)
	}
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		if s.colour {
			b.WriteString("\x1b[97;40m")
		}
		for x := -quietZone; x < code.Size+quietZone; x++ {
			top, bottom := light(x, y), light(x, y+1)
			switch {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		if s.colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	s.print(b.String())
}

// utf8Terminal says whether the locale lets block characters through (POSIX, section 8.2). Without one it is taken for
// granted: containers have none, and the terminal around them has.
func utf8Terminal(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(getenv(name)); locale != "" {
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return true
}

// sayDone tells the person at the terminal who is signed in now. A command of theirs says so itself.
func (sys *system) sayDone(p *config.Profile, t clerk.Tokens) {
	if sys.asking.login {
		return
	}
	s := newScreen(sys)
	defer s.close()
	if s.terminal == nil {
		return
	}
	account := t.Email
	if account == "" {
		account = t.Subject
	}
	s.say("Signed in to %s as %s.", p.Name, protocol.Escape(account))
}

// sayWaiting tells a person at the terminal that another command's sign-in is waited for.
func (sys *system) sayWaiting(p *config.Profile, by string) {
	s := newScreen(sys)
	defer s.close()
	if s.terminal == nil {
		return
	}
	if by == "" {
		by = "another command"
	}
	s.say("Waiting for the sign-in to %s that %s has started; press Ctrl-C to give up.", p.Name, protocol.Escape(by))
}
