package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/toolconfig"
	"clerk-credential-helper/platform"
)

// Finding is the result of one check.
type Finding struct {
	ID      string `json:"id"`                // what was checked, such as "store"; never changes
	Profile string `json:"profile,omitempty"` // of a check that is made for each
	Tool    string `json:"tool,omitempty"`    // of the check "tool"
	Check   string `json:"check"`             // for people, such as "session of acme"
	State   State  `json:"state"`
	Detail  string `json:"detail"`           // may contain foreign text: Print escapes it
	Remedy  string `json:"remedy,omitempty"` // empty only if State is Fine
	// Offers describes the repairs that Fix offers, usually as commands.
	Offers  []string `json:"repairs,omitempty"`
	repairs []repair
}

// State is the outcome of a check.
type State string

const (
	// Limit is the time for the requests to one issuer, or for one run of git.
	Limit = 10 * time.Second
	// skewSome is how far the clock may be off without a warning; at clerk.Leeway a sign-in is refused.
	skewSome = 10 * time.Second
)

// doctor collects findings.
type doctor struct {
	env      Env
	another  error  // why what is found here is another user's; nil if it is ours
	profile  string // whose issuer and session are looked at
	tool     string // whose file is looked at
	findings []Finding
}

func (d *doctor) ok(check, format string, args ...any) {
	d.add(check, Fine, fmt.Sprintf(format, args...), "", nil)
}

func (d *doctor) warn(check, detail, remedy string, repairs ...repair) {
	d.add(check, Doubt, detail, remedy, repairs)
}

func (d *doctor) fail(check, detail, remedy string, repairs ...repair) {
	d.add(check, Failing, detail, remedy, repairs)
}

func (d *doctor) add(check string, how State, detail, remedy string, repairs []repair) {
	if d.another != nil {
		repairs = nil
	}
	f := Finding{ID: check, Profile: d.profile, Check: check, State: how, Detail: detail, Remedy: remedy, repairs: repairs}
	switch {
	case check == "machine":
		f.Check += " " + d.profile
	case d.profile != "" && (check == "issuer" || check == "keys" || check == "session"):
		f.Check += " of " + d.profile
	case d.tool != "":
		f.ID, f.Tool, f.Check = check, d.tool, d.tool
	}
	for _, r := range repairs {
		f.Offers = append(f.Offers, r.what)
	}
	d.findings = append(d.findings, f)
}

// Run runs all checks and returns their findings in a fixed order. The requests to each issuer are limited by Limit, and so
// is git. The end of ctx makes checks fail.
func Run(ctx context.Context, env Env) []Finding {
	d := &doctor{env: env, another: platform.ForAnother(env.Tools.Getenv)}
	d.user()
	cfg := d.configuration()
	d.doing("the keychain")
	d.store(ctx)
	d.files()
	d.variables(ctx, cfg)
	for _, p := range cfg.Profiles {
		d.profile = p.Name
		d.doing(p.Issuer)
		d.issuer(ctx, p)
		d.doing("the session of " + p.Name)
		d.session(ctx, cfg, p)
	}
	d.profile = ""
	if !d.unattended(cfg) {
		d.listener()
		d.browser()
	}
	d.program()
	d.doing("git's configuration")
	d.git(ctx, cfg)
	d.docker(cfg)
	d.otherTools()
	d.history(cfg)
	return d.findings
}

// doing tells what is checked now.
func (d *doctor) doing(what string) {
	if d.env.Doing != nil {
		d.env.Doing("checking " + what)
	}
}

// user checks that what is looked at is this user's own. Otherwise nothing is repaired: root would only take files away from
// the person who called it.
func (d *doctor) user() {
	switch {
	case errors.Is(d.another, platform.ErrForeign):
		d.fail("user", d.another.Error(), Hint(d.another))
	case d.another != nil:
		d.warn("user", d.another.Error(), withoutSudo())
	}
}

func (d *doctor) configuration() *config.Config {
	const check = "configuration"
	for _, variable := range platform.FolderVariables() {
		if _, err := config.PathVariable(d.env.Tools.Getenv, variable); err != nil { // passed over, by the rule of XDG
			d.warn(check, err.Error(), "until then it is as if "+variable+" were not set")
		}
	}
	machine := platform.MachineConfig()
	if _, err := platform.ReadTrusted(machine, 1<<20); platform.PassOver(err) {
		d.warn(check, "the machine's file is passed over: "+err.Error(), platform.AdminsFile())
	}
	cfg, err := d.env.Config()
	var homeless *config.NoHomeError
	switch {
	case errors.As(err, &homeless):
		d.fail(check, fmt.Sprintf("there is no profile, and no place for one (%v)", homeless.Err), platform.HomeVariables+", or name a file with CLERK_HELPER_CONFIG")
		return &config.Config{}
	case errors.Is(err, config.ErrNone):
		file, _ := d.env.Tools.OwnConfig() // there is a home folder
		d.fail(check, "there is no profile", "clerk-credential-helper setup asks for one; it is written to "+file)
		return &config.Config{}
	case d.another != nil && (errors.Is(err, platform.ErrWritable) || errors.Is(err, platform.ErrForeign)), os.Getuid() == 0 && errors.Is(err, platform.ErrForeign):
		d.fail(check, err.Error(), withoutSudo())
		return &config.Config{}
	case errors.Is(err, platform.ErrWritable):
		refused := platform.RefusedPath(err)
		repairs, remedy := d.closeConfigurations(), platform.DenyWriting(cmp.Or(refused, "that file or folder"))
		if refused == machine || refused == filepath.Dir(machine) {
			remedy = platform.AdminsFile()
		} else if repairs == nil && refused == "" { // it is not ours to close, and may be meant so, as a package manager's store is
			remedy = "have its administrator look at it, or keep the configuration elsewhere, and name it in CLERK_HELPER_CONFIG"
		}
		d.fail(check, err.Error(), remedy, repairs...)
		return &config.Config{}
	case errors.Is(err, platform.ErrForeign):
		d.fail(check, err.Error(), "its owner can redirect your tokens: check its contents, then "+platform.TakeOver(cmp.Or(platform.RefusedPath(err), "that file, folder or link"), false)+"; or keep the configuration elsewhere, and name it in CLERK_HELPER_CONFIG")
		return &config.Config{}
	case errors.Is(err, fs.ErrNotExist) && d.env.Tools.Getenv("CLERK_HELPER_CONFIG") != "":
		d.fail(check, err.Error(), "CLERK_HELPER_CONFIG names this file: correct it, or unset it")
		return &config.Config{}
	case errors.As(err, new(*config.PolicyError)):
		d.fail(check, err.Error(), policyRemedy)
		return &config.Config{}
	case err != nil:
		d.fail(check, err.Error(), "correct it; clerk-credential-helper docs show configuration lists every key")
		return &config.Config{}
	}
	d.ok(check, "%s", cfg.Names())
	if cfg.Policy != nil {
		d.ok("policy", "%s", cfg.Policy.At+": "+cmp.Or(cfg.Policy.String(), "all is allowed"))
	}
	return cfg
}

// store checks that the keychain stores, returns and deletes, and that its locks can be taken.
func (d *doctor) store(ctx context.Context) {
	const check = "store"
	keychain, err := d.env.Keychain()
	if err != nil {
		remedy := "CLERK_HELPER_STORE is auto, keychain, kernel, file or none; unset it for auto"
		d.fail(check, err.Error(), cmp.Or(Hint(err), remedy))
		return
	}
	if d.env.Tools.Getenv("CLERK_HELPER_STORE") == "none" {
		d.warn(check, "it is switched off: no session is kept", "unset CLERK_HELPER_STORE, unless all tokens come from the environment")
		return
	}
	const name = "probe-doctor"
	whole, err := platform.Probe(ctx, keychain, name, "probe")
	_, missing := keychain.Get(ctx, name)
	seen, _ := errors.AsType[*platform.UnseenError](missing)
	chosen := d.env.Tools.Getenv("CLERK_HELPER_STORE") == "kernel"
	switch {
	case errors.Is(err, platform.ErrUnavailable): // it names the store
		d.fail(check, strings.TrimPrefix(err.Error(), platform.ErrNotStored.Error()+": "), d.storeRemedy(err))
		return
	case err != nil:
		d.fail(check, fmt.Sprintf("%s: %v", keychain.Explain(ctx), err), d.storeRemedy(err))
		return
	case seen != nil && seen.Elsewhere:
		d.warn(check, keychain.Explain(ctx)+"; "+seen.Why, reach(seen))
	case keychain.InMemory(ctx) && !chosen:
		d.warn(check, keychain.Explain(ctx)+": stores, returns and deletes",
			"sign in again after a reboot; or CLERK_HELPER_STORE=file keeps the session in a file that only you can read")
	case keychain.Confirms(ctx):
		d.warn(check, keychain.Explain(ctx)+": open, and has you confirm each access", unconfirmed)
	case !whole:
		d.ok(check, "%s: open; nothing was stored, because it would ask you before it deletes", keychain.Explain(ctx))
	default:
		d.ok(check, "%s: stores, returns and deletes", keychain.Explain(ctx))
	}

	folder, err := keychain.LockDir()
	if err == nil {
		var release func()
		if release, err = (platform.Locks{Dir: folder}).Lock(ctx, "doctor"); err == nil {
			release()
			more := ""
			if keychain.Shared() && d.env.Where().Container != "" {
				more = "; processes outside of this container may have other locks, and a mark in the keychain excludes them"
			}
			d.ok("locks", "in %s%s", folder, more)
			return
		}
	}
	d.fail("locks", err.Error(), d.storeRemedy(err))
}

// storeRemedy returns the remedy for a store that does not work, which is never to take it from another user.
func (d *doctor) storeRemedy(err error) string {
	if d.another != nil && errors.Is(err, platform.ErrForeign) {
		return cmp.Or(Hint(d.another), withoutSudo())
	}
	return cmp.Or(remedyHere(err, platform.Flatpak(), d.env.Tools.Getenv("SSH_CONNECTION") != ""), storeRemedyTo(os.Getuid() == 0, err))
}

// storeRemedyTo is storeRemedy for root, or for a user at home. It never advises what would lose the sessions in the store.
func storeRemedyTo(root bool, err error) string {
	switch remedy := hintTo(root, err); {
	case remedy != "":
		return remedy
	case errors.Is(err, platform.ErrForeign):
		return platform.TakeOver(cmp.Or(platform.RefusedPath(err), "FOLDER"), true) + ": a program that ran as another user has created it"
	case errors.Is(err, platform.ErrOpen):
		const advice = "; others could read the sessions in it: clerk-credential-helper logout --all ends them"
		if path := platform.RefusedPath(err); path != "" {
			return platform.DenyAccess(path, true) + advice
		}
		return platform.DenyAccess("that folder", true) + ", or 0600 that file" + advice
	case errors.Is(err, fs.ErrPermission):
		return platform.WritableFolder
	case errors.Is(err, platform.ErrNoFolder), errors.Is(err, syscall.ENOTDIR):
		return "move away what is in the folder's place: it is not ours"
	}
	return "fix that, or choose another store with CLERK_HELPER_STORE"
}

// variables checks the environment: settings with wrong values, settings that are easily forgotten, and tokens.
func (d *doctor) variables(ctx context.Context, cfg *config.Config) {
	const check = "environment"
	switch mode := d.env.Tools.Getenv("CLERK_HELPER_INTERACTIVE"); mode {
	case "", "auto", "always":
	case "never":
		d.warn(check, "CLERK_HELPER_INTERACTIVE=never: you are never asked to sign in", "unset it where a person works")
	default:
		d.fail(check, fmt.Sprintf("CLERK_HELPER_INTERACTIVE is %q", mode), "it is auto, always or never")
	}
	if d.env.Tools.Getenv("DOCKER_AUTH_CONFIG") != "" {
		d.warn("docker", "DOCKER_AUTH_CONFIG is set: docker believes it and asks no helper for its registries", "unset DOCKER_AUTH_CONFIG")
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		proxy := d.env.Tools.Getenv(name)
		if proxy == "" {
			continue
		}
		if !clerk.UsableProxy(proxy) {
			// The value may hold a password.
			d.fail("proxy", name+" is not the address of a proxy", "write it as http://proxy.acme.dev:3128, or unset it")
			continue
		}
		d.ok("proxy", "%s is set; NO_PROXY is %q", name, d.env.Tools.Getenv("NO_PROXY")+d.env.Tools.Getenv("no_proxy"))
	}
	for _, p := range cfg.Profiles {
		b, err := d.env.Broker(cfg)
		if err != nil {
			return // the store's finding says why
		}
		_, source, err := b.Injected(ctx, p)
		if err == nil && source == "" {
			continue
		}
		if err == nil {
			err = b.Plan(ctx, p).Why
		}
		if err != nil {
			remedy := Hint(err)
			if remedy == "" {
				remedy = "keep one variable, for one profile"
			}
			d.fail("injected", err.Error(), remedy)
			continue
		}
		d.ok("injected", "%s takes precedence over the session of profile %s", source, p.Name)
	}
}

// issuer makes the requests to a profile's issuer, or page, that a sign-in makes first.
func (d *doctor) issuer(ctx context.Context, p *config.Profile) {
	const check = "issuer"
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	client, err := d.env.Client(p)
	if err != nil {
		d.fail(check, err.Error(), "correct ca_file in profile "+p.Name+", or remove it")
		return
	}
	dated := &datedTransport{base: client.Transport}
	client.Transport = dated
	keys, err := client.ProbeIssuer(ctx, p)
	if err != nil && !errors.Is(err, clerk.ErrNoKeys) {
		detail, remedy := d.unusable(p, err)
		d.fail(check, detail, remedy)
		return
	}
	d.ok(check, "%s", p.Issuer)
	if skew := dated.ahead.Abs().Round(time.Second); skew > skewSome {
		detail := fmt.Sprintf("this machine's differs from the issuer's by %v", skew)
		if skew > clerk.Leeway {
			d.fail("clock", fmt.Sprintf("%s; sign-ins are refused beyond %v", detail, clerk.Leeway), "set the clock, for instance by NTP")
		} else {
			d.warn("clock", detail, fmt.Sprintf("set the clock, for instance by NTP: beyond %v sign-ins are refused", clerk.Leeway))
		}
	} else {
		d.ok("clock", "within %v of the issuer's", skewSome)
	}
	if err != nil {
		d.fail("keys", err.Error(), "no sign-in can be verified without them: try again later, or ask the issuer's administrator")
		return
	}
	d.ok("keys", "%d", keys)
}

// unusable returns why no sign-in to p is possible, and the remedy.
func (d *doctor) unusable(p *config.Profile, err error) (detail, remedy string) {
	const proxies = "behind a proxy set HTTPS_PROXY, with a company's own roots ca_file"
	_, refused := errors.AsType[*clerk.ResponseError](err)
	_, network := errors.AsType[*url.Error](err)
	silent := refused || network
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	var noProxy *clerk.ProxyError
	switch {
	case errors.As(err, &invalid), errors.As(err, &other), errors.As(err, &noProxy):
		if remedy := Hint(err); remedy != "" {
			return err.Error(), remedy
		}
		return err.Error(), proxies
	case p.Companion && silent:
		return fmt.Sprintf("%s does not answer as a companion page: %v", p.Issuer, err), "clerk-credential-helper companion check " + p.Issuer + " says more; " + proxies
	case p.Companion:
		return err.Error(), "clerk-credential-helper companion check " + p.Issuer + " says more; issuer in the profile, if it is set, must be the page's Clerk instance"
	case silent:
		return fmt.Sprintf("%s does not answer as an issuer: %v", p.Issuer, err), "is the issuer the Frontend API URL of your application? " + proxies
	case errors.Is(err, clerk.ErrMisnamed):
		return err.Error(), "write the issuer as it calls itself"
	}
	return err.Error(), "tokens are never sent elsewhere, and never without PKCE: ask the issuer's administrator"
}

// datedTransport records how far the server's clock is ahead of ours, by the Date of its first answer (RFC 9110 §6.6.1).
type datedTransport struct {
	base  http.RoundTripper
	asked bool
	ahead time.Duration
}

func (t *datedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := t.base.RoundTrip(req)
	if err != nil || t.asked {
		return resp, err
	}
	t.asked = true
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.ahead = date.Sub(sent.Add(time.Since(sent) / 2))
	}
	return resp, nil
}

// machine checks whether Clerk gives a token for the key of a machine's profile. A token costs money, so one is minted
// only if none is kept, and it is kept for the tools. With a token of the environment no key is needed.
func (d *doctor) machine(ctx context.Context, cfg *config.Config, p *config.Profile) {
	const remedy = "set it to the secret key of the machine (ak_...), from Clerk's dashboard"
	const check = "machine"
	b, err := d.env.Broker(cfg)
	if err != nil {
		return // the store's finding says why
	}
	if _, source, err := b.Injected(ctx, p); source != "" || err != nil {
		return
	}
	own := config.MachineKeyVariable(p.Name)
	key, variable, err := cfg.MachineKeyOf(p, d.env.Tools.Getenv)
	switch {
	case err != nil:
		d.fail(check, err.Error(), "set "+own+" to the secret key of this profile's machine")
		return
	case key == "" && strings.TrimSpace(d.env.Tools.Getenv(config.MachineKey)) != "":
		d.fail(check, config.MachineKey+" is for the profile that CLERK_HELPER_PROFILE names, and "+own+" is not set", remedy)
		return
	case key == "":
		d.fail(check, config.MachineKey+" is not set, nor is "+own+", or they are empty (a fork's pull request gets no secrets)", remedy)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	plan := b.Plan(ctx, p)
	s, kept := plan.Session, plan.Session.Live(p, b.Now())
	if !kept {
		s, err = b.Execute(ctx, plan)
	}
	switch {
	case err != nil && p.InJob != "":
		d.fail(check, err.Error(), Hint(err))
	case p.InJob != "":
		d.ok(check, "the companion page exchanges the token of %s in %s, as %s; it says: %s", p.InJob, variable, s.Account(), s.Claims)
	case err != nil:
		d.fail(check, err.Error(), cmp.Or(Hint(err), "check issuer in the profile, and CLERK_API_URL: the machine must be of that Clerk instance"))
	case !kept:
		d.ok(check, "Clerk accepts the key in %s: a token was minted as %s, which tools get", variable, s.Account())
	default:
		d.ok(check, "a token that was minted with the key in %s is kept, as %s", variable, s.Account())
	}
}

// unattended reports whether this is a build machine that brings a token or a machine's key: there is neither a user nor a
// browser, and there need not be.
func (d *doctor) unattended(cfg *config.Config) bool {
	if d.env.Where().CI == "" {
		return false
	}
	return slices.ContainsFunc(cfg.Profiles, func(p *config.Profile) bool {
		variable, err := cfg.TokenOf(p, d.env.Tools.Getenv)
		key, _, _ := cfg.MachineKeyOf(p, d.env.Tools.Getenv)
		return err == nil && variable != "" || key != ""
	})
}

// session checks what the keychain holds for a profile.
func (d *doctor) session(ctx context.Context, cfg *config.Config, p *config.Profile) {
	if p.IsMachine {
		d.machine(ctx, cfg, p)
		return
	}
	const check = "session"
	b, err := d.env.Broker(cfg)
	if err != nil {
		return
	}
	how, unasked := b.Person.MayAsk(p)
	// Only the keychain is checked here: not the environment, nor whether the user may be asked.
	b.Injected, b.Person = nil, broker.NoPerson{Reason: errors.New("doctor asks no person")}
	plan := b.Plan(ctx, p)
	if plan.UnusedKey != "" {
		d.warn("environment", plan.UnusedKey, "unset it, or write machine = true in place of client_id: the profile's tokens are minted with the key then")
	}
	if errors.Is(plan.Why, platform.ErrLocked) || errors.Is(plan.Why, platform.ErrUnavailable) {
		return // already in the store's finding
	}
	s, now := plan.Session, b.Now()
	token, refreshable, legacy := s.Token(p) != "", s.RefreshToken != "", p.LegacyPage != ""
	unread := plan.Next == broker.NextRefuse && plan.Source == broker.SourceNone
	unreadDetail, unreadRemedy, paused, last := "", "", false, ""
	if unread {
		unreadDetail, unreadRemedy = plan.Why.Error(), d.storeRemedy(plan.Why)
	}
	_, _, damaged := b.ReadSession(ctx, p)
	var needs *broker.NeedsSignInError
	var unseen *platform.UnseenError
	unseenDetail, unseenRemedy := "", ""
	if errors.As(plan.Why, &needs) && errors.As(needs.Over, &unseen) {
		unseenDetail, unseenRemedy = unseen.Error(), reach(unseen)
	}
	until, why := b.CoolDown(ctx, p)
	if why != nil {
		paused, last = true, CameToNothing(why.Error())
	}
	login := "clerk-credential-helper login " + p.Name
	stuck, stuckRemedy := "", ""
	if err := b.LastRefresh(ctx, p); refreshable && broker.CannotRefresh(err) {
		err = &broker.RefreshError{Profile: p.Name, Err: err}
		stuck, stuckRemedy = err.Error(), cmp.Or(Hint(err), login)
	}
	for _, row := range []struct {
		holds          bool
		state          State
		detail, remedy string
	}{
		{errors.Is(plan.Why, broker.ErrUnreadable), Failing, unreadDetail, unreadRemedy},
		{errors.Is(damaged, broker.ErrDamaged), Failing, broker.ErrDamaged.Error() + ", and counts as none", login},
		{unread, Failing, unreadDetail, unreadRemedy},
		{unseen != nil, Doubt, unseenDetail, unseenRemedy},
		{paused && s.SignedOut, Doubt, "you signed out; tools do not ask; " + last, login},
		{paused && legacy, Doubt, last + "; tools do not ask: " + broker.ErrLegacyPage.Error(), login},
		{paused && unasked != nil, Doubt, fmt.Sprintf("%s; no tool asks for a sign-in here: %v", last, unasked), login},
		{paused, Doubt, last + "; " + AskedAgain(until), login},
		{s.SignedOut, Doubt, "you signed out; tools do not ask", login},
		{stuck != "" && s.Live(p, now), Doubt, stuck + "; its token still lives", stuckRemedy},
		{stuck != "", Failing, stuck, stuckRemedy},
		{s.Given && !token, Doubt, "the token of login --with-token was refused by a server, and is gone", login + " --with-token, with a new one"},
		{token && !refreshable && s.Expired(now), Doubt, "its token has expired, and cannot be refreshed", login},
		{s.Given, Fine, cmp.Or(s.Account(), "a token") + " by login --with-token; it cannot be refreshed", ""},
		{s.BelowMinTTL(p), Doubt, BelowMinTTL(p, s), "lower min_ttl, or have the issuer raise the token's lifetime"},
		{token && !refreshable && !legacy, Doubt, "it has no refresh token: a sign-in is needed each time the token ends", "allow the scope offline_access to the OAuth application in Clerk's dashboard, then " + login},
		{s.FromFuture(now), Failing, "it was received in the future: the clock was set back", "set the clock, or " + login},
		{token || refreshable, Fine, s.Account(), ""},
		{legacy, Doubt, "none yet, and no tool opens the browser: " + broker.ErrLegacyPage.Error(), login},
		{unasked != nil, Fine, fmt.Sprintf("none yet, and no tool asks for a sign-in here: %v", unasked), ""},
		{true, Fine, "none yet: the first tool that needs a token asks you to sign in: " + Asked(how), ""},
	} {
		if row.holds {
			d.add(check, row.state, row.detail, row.remedy, nil)
			return
		}
	}
}

// listener checks that a browser's redirect would reach us.
func (d *doctor) listener() {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		d.fail("listener", err.Error(), "a firewall or a sandbox keeps programs from listening on 127.0.0.1: allow it")
		return
	}
	defer l.Close()
	conn, err := net.DialTimeout("tcp4", l.Addr().String(), time.Second)
	if err != nil {
		d.fail("listener", err.Error(), "a firewall keeps programs from reaching 127.0.0.1: allow it")
		return
	}
	defer conn.Close()
	server, client := conn.RemoteAddr().(*net.TCPAddr).AddrPort(), conn.LocalAddr().(*net.TCPAddr).AddrPort()
	switch own, certain := platform.OwnPeer(server, client); {
	case !own:
		d.warn("listener", "127.0.0.1 can be reached, but the system does not say that it is this user who does",
			"make /proc/net/tcp readable; until then open the sign-in address that login shows, not the link")
	case !certain:
		d.ok("listener", "127.0.0.1 can be reached; the system does not say by which user, so a sign-in stops if its link is opened twice")
	default:
		d.ok("listener", "127.0.0.1 can be reached, and the system says by which user")
	}
}

func (d *doctor) browser() {
	const check = "browser"
	place := d.env.Where()
	if named := platform.BrowserCommands(d.env.Tools.Getenv("BROWSER")); len(named) == 1 {
		if _, err := d.env.Tools.LookPath(named[0][0]); err != nil {
			d.warn(check, fmt.Sprintf("BROWSER names %q, which is not there", named[0][0]), "correct BROWSER, or unset it")
			return
		}
	}
	switch {
	case place.Browser != "":
		d.ok(check, "%s", place.Browser)
	case place.Terminal != "":
		d.warn(check, "none could be started here; the address is shown on the terminal", "open the address on a machine with a browser, or use CLERK_HELPER_TOKEN")
	default:
		d.warn(check, "there is neither a browser nor a terminal: a sign-in is not possible here", "clerk-credential-helper login in a terminal, or CLERK_HELPER_TOKEN for CI")
	}
}

// program checks that tools find this program, under its names, in the PATH.
func (d *doctor) program() {
	self, err := os.Executable()
	if err != nil {
		d.warn("program", fmt.Sprintf("the system does not say where this program is: %v", err), "on Linux mount /proc; until then a refresh ends with the tool that waits for it, and no browser is opened")
		return
	}
	if _, err := os.Stat(self); err != nil {
		d.fail("program", err.Error(), platform.InstallAgain(""))
		return
	}
	for _, name := range []string{"clerk-credential-helper", "git-credential-clerk", "docker-credential-clerk"} {
		found, err := d.env.Tools.LookPath(name)
		if err != nil && name == "git-credential-clerk" && toolconfig.GitByPath(d.env.Tools) {
			continue
		}
		if err != nil {
			remedy, repairs := notInPath(self, name)
			d.fail("program", name+" is not in the PATH", remedy, repairs...)
			continue
		}
		if is, err := platform.IsThisProgram(found); err != nil || !is {
			d.fail("program", fmt.Sprintf("%s in the PATH is %s, another program than this one (%s)", name, found, self), platform.InstallAgain(found))
			continue
		}
		if name == "clerk-credential-helper" {
			d.ok("program", "%s, version %s", found, d.env.Version)
		}
	}
}

// docker reads docker's configuration as docker does, and checks which helpers it would ask for each host.
func (d *doctor) docker(cfg *config.Config) {
	const check = "docker"
	tool, _ := toolconfig.Named("docker")
	if len(cfg.Profiles) == 0 || !tool.Used(d.env.Tools) {
		return
	}
	file, docker, err := toolconfig.ReadDocker(d.env.Tools)
	if file == "" {
		return
	}
	if err != nil {
		d.fail(check, fmt.Sprintf("%s: %v", file, err), "fix that line: docker cannot read it either")
		return
	}
	var told []string
	for _, p := range cfg.Profiles {
		for _, h := range p.Hosts {
			host := h.String()
			helper, named := docker.Helper(host)
			if helper == toolconfig.DockerName {
				told = append(told, host)
			} else if named {
				d.warn(check, fmt.Sprintf("for %s it asks %q", host, helper), "remove that line from "+file+", then: clerk-credential-helper setup docker")
			}
			if docker.HoldsSecret(host) {
				d.warn(check, fmt.Sprintf("%s holds a password for %s in the clear", file, host), "docker logout "+host)
			}
		}
	}
	for _, host := range slices.Sorted(maps.Keys(docker.CredHelpers)) {
		if near, missed := cfg.Near("https", host); missed && docker.CredHelpers[host] == toolconfig.DockerName {
			d.warn(check, fmt.Sprintf("it asks us for %s, which gets no token: %v", host, near), "name that host with its port in hosts of the profile, or correct "+file)
		}
	}
	switch {
	case told != nil:
		d.ok(check, "asks us for %s", strings.Join(told, ", "))
	case !d.unattended(cfg): // a runner has docker for all jobs
		d.warn(check, "it does not ask us for any registry", "clerk-credential-helper setup docker")
	}
	if cfg.DockerFallback != "" {
		if _, err := d.env.Tools.FindFallback(cfg.DockerFallback); err != nil {
			d.fail(check, fmt.Sprintf("the fallback %q: %v", cfg.DockerFallback, err), "correct fallback in [docker] of the configuration, or install that helper")
		}
	}
}

// CameToNothing is the message that the last sign-in did not succeed; why is its error, which need not be a refusal.
func CameToNothing(why string) string { return "the last sign-in came to nothing (" + why + ")" }

// BelowMinTTL is the message that a profile's min_ttl is longer than the life of the session's tokens.
func BelowMinTTL(p *config.Profile, s broker.Session) string {
	return fmt.Sprintf("min_ttl is %s and a token lives for %s: no more than half of that is guaranteed", console.Life(p.MinTTL), console.Life(s.Life()))
}

// otherTools checks the files of the tools that setup knows, except for git and docker, which have checks of their own. It
// adds no finding for a tool that is not set up.
func (d *doctor) otherTools() {
	const check = "tool"
	defer func() { d.tool = "" }()
	for _, tool := range toolconfig.Tools() {
		if tool.Offered {
			continue
		}
		d.tool = tool.Name
		file, ours, err := tool.Inspect(d.env.Tools)
		switch {
		case err != nil:
			d.warn(check, fmt.Sprintf("%s: %v", file, err), "correct that line: "+tool.Name+" cannot read it either")
		case !ours:
		case !tool.Writes():
			d.warn(check, file+" has lines of an earlier release, with which a repository's file can send the token anywhere",
				"clerk-credential-helper setup "+tool.Name+" takes them out, and says what to run instead")
		case tool.Calls != "" && !inPath(d.env.Tools, tool.Calls):
			d.fail(check, fmt.Sprintf("%s has it call %s, which is not in the PATH", file, tool.Calls), d.install(tool.Calls))
		default:
			d.ok(check, "set up in %s", file)
		}
	}
}

// history checks that an entry could be written. What is lost is a tool's entry and never its token.
func (d *doctor) history(cfg *config.Config) {
	if d.another != nil || len(cfg.Profiles) == 0 || !cfg.KeepsHistory() {
		return
	}
	folder, err := platform.StateDir(d.env.Tools.Getenv)
	if err == nil {
		err = broker.HistoryIn(folder).Check()
	}
	if err != nil {
		d.warn("history", "no entry can be written, and tools get tokens all the same: "+err.Error(), d.storeRemedy(err)+"; or write history = false at the top of the configuration")
	}
}

// install returns the remedy where a program of ours is not in the PATH.
func (d *doctor) install(name string) string {
	self, err := os.Executable()
	if err != nil {
		return platform.InstallName("")
	}
	remedy, _ := notInPath(self, name)
	return remedy
}

func inPath(env toolconfig.Env, program string) bool {
	_, err := env.LookPath(program)
	return err == nil
}
