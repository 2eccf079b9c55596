// Package demo shows the program at work, with a stand-in for Clerk, a git server and an OCI registry on this machine.
//
// A writer and the environment come in; what happens, step by step, goes out as text. The demo runs this program's own
// executable in a temporary folder, and git if it is installed. It never touches the keychain or the configuration of the
// user, and uses no server but its own.
package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/platform"

	"golang.org/x/term"
)

// Browser is the name under which the program, run by the demo, must call [Browse] with its argument.
const Browser = "clerk-demo-browser"

// A token of the demo lives for demoLifetime: short, so that the demo can wait for its end. On a machine so busy that two
// clones might take as long, it lives for slowness times what the setup took, up to demoLongest.
const (
	demoLifetime = 7 * time.Second
	demoLongest  = time.Minute
	slowness     = 20
)

// Options are the options of Run.
type Options struct {
	Stdout     io.Writer           // required; in colour if it is a terminal
	Getenv     func(string) string // required; for PATH and NO_COLOR
	OwnBrowser bool                // sign in with the user's own browser instead of following the redirects
	Keep       bool                // keep the folder with the configuration, the clones and the trace, and print its path
}

// demo is the world of one run: a folder that holds everything, and three servers on loopback.
type demo struct {
	Options
	program  string // this program's file
	dir      string
	env      []string
	issuer   string
	clerk    *sandbox.Server
	git      string // host:port of the git server
	registry string // host:port of the registry
	ca       []byte // the certificate of both, as PEM
	roots    *x509.CertPool
	stop     []func()
	restore  func() // the console's mode; may be nil
	lifetime time.Duration
	seen     int       // how many of the sandbox's requests were printed
	traced   int64     // how many bytes of the trace were printed
	step     time.Time // when the step began, without waits
	colour   bool
}

// Run runs the demo and prints its steps to o.Stdout. The error is that of the first step that failed. Whatever fails, the
// servers end and, without Keep, the folder is removed.
func Run(ctx context.Context, o Options) error {
	d := &demo{Options: o}
	return d.run(ctx, d.parts(), d.steps)
}

// step is one thing that the demo shows. Its result is printed.
type step struct {
	title, text string
	run         func(context.Context) (string, error)
}

// run sets the demo up, part by part, and runs its steps, which may depend on what the parts have found.
func (d *demo) run(ctx context.Context, parts []func(context.Context) error, steps func() []step) error {
	began := time.Now()
	ready := false
	defer func() { d.close(d.Keep && ready) }()
	for _, part := range parts {
		if err := part(ctx); err != nil {
			return fmt.Errorf("setting up the demo: %w", err)
		}
	}
	ready = true
	d.title("clerk-credential-helper demo", "A stand-in for Clerk, a git server and an OCI registry run on this machine for a moment.\nYour keychain, your configuration and your git are not touched.")
	for i, step := range steps() {
		d.heading(i+1, step.title, step.text)
		d.step = time.Now()
		result, err := step.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
		d.result(result, time.Since(d.step))
	}
	d.title(fmt.Sprintf("Done in %.1f s.", time.Since(began).Seconds()), "For your own hosts: clerk-credential-helper setup")
	return nil
}

func (d *demo) steps() []step {
	browser := ""
	if !d.OwnBrowser {
		browser = "\n  Here a script is the browser; with --browser it is yours."
	}
	return []step{
		{"git clone, signed out", "git asks git-credential-clerk, which signs the person in through the browser." + browser, d.clone("first")},
		{"git clone again", "The token comes from the keychain. Clerk is not asked.", d.clone("second")},
		{"a docker client reads a manifest", "The registry sends it to its token service; docker-credential-clerk answers.", d.manifest},
		{"the token expires", fmt.Sprintf("This Clerk's tokens live %v. The next clone refreshes it, without a browser.", d.lifetime), d.cloneAfterExpiry},
		{"a stranger asks", "A host that only looks like ours gets nothing, and no sign-in starts.", d.stranger},
		{"logout", "The session is gone from this machine, and the refresh token is revoked.", d.logout},
	}
}

// parts are what is set up, in this order.
func (d *demo) parts() []func(context.Context) error {
	return []func(context.Context) error{d.makeFolder, d.startClerk, d.startServers, d.furnish, d.measure}
}

func (d *demo) makeFolder(context.Context) (err error) {
	if f, ok := d.Stdout.(*os.File); ok {
		if term.IsTerminal(int(f.Fd())) && d.Getenv("NO_COLOR") == "" {
			d.restore, d.colour = platform.EscapeSequences(f)
		}
	}
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	d.dir, err = os.MkdirTemp("", "clerk-demo-")
	return err
}

func (d *demo) startClerk(context.Context) error {
	issuer, clerk, stop, err := sandbox.Listen(0, sandbox.Options{Auto: !d.OwnBrowser})
	if err != nil {
		return err
	}
	d.issuer, d.clerk, d.stop = issuer, clerk, append(d.stop, stop)
	return nil
}

// startServers starts the git server and the registry, with a certificate of their own.
func (d *demo) startServers(context.Context) error {
	certificate, ca, err := sandbox.Certificate("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	d.ca, d.roots = ca, x509.NewCertPool()
	d.roots.AppendCertsFromPEM(ca)
	if d.git, err = d.serveTLS(certificate, d.clerk.Git(d.path("repositories"))); err != nil {
		return err
	}
	d.registry, err = d.serveTLS(certificate, d.clerk.Registry(sandbox.RegistryToken))
	return err
}

// measure runs the program and creates the repository, which shows how busy the machine is.
func (d *demo) measure(ctx context.Context) error {
	began := time.Now()
	if _, err := d.own(ctx, "", "clerk-credential-helper", "version"); err != nil {
		return err
	}
	if _, err := exec.LookPath("git"); err == nil {
		err = sandbox.NewRepository(ctx, filepath.Join(d.path("repositories"), "hello.git"), map[string]string{"hello.txt": "hello from a private repository\n"})
		if err != nil {
			return err
		}
	}
	d.lifetime = min(max(demoLifetime, slowness*time.Since(began)), demoLongest).Round(time.Second)
	d.clerk.SetFaults(func(f *sandbox.Faults) { f.AccessLifetime = d.lifetime })
	return nil
}

// furnish writes the temporary home: configuration, links to this program, and an environment that leads nowhere else.
func (d *demo) furnish(context.Context) error {
	ownBrowser := d.OwnBrowser
	bin := filepath.Join(d.dir, "bin")
	home := filepath.Join(d.dir, "home")
	for _, folder := range []string{bin, home} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	for _, name := range []string{"clerk-credential-helper", "git-credential-clerk", "docker-credential-clerk", Browser} {
		if err := platform.GiveName(d.program, d.ownPath(name)); err != nil {
			return err
		}
	}
	files := map[string]string{
		"config.toml": fmt.Sprintf("[profiles.demo]\nissuer = %q\nclient_id = %q\nhosts = [%q, %q]\ninteractive = \"always\"\n",
			d.issuer, sandbox.ClientID, d.git, d.registry),
		"gitconfig": "[credential]\n\thelper =\n\thelper = clerk\n",
		"ca.pem":    string(d.ca),
	}
	for name, text := range files {
		if err := platform.WriteFile(d.path(name), []byte(text)); err != nil {
			return err
		}
	}
	// The caller's variables may hold another configuration, another browser or another git.
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		keepBrowser := ownBrowser && name == "BROWSER"
		if !keepBrowser && (strings.HasPrefix(name, "CLERK_") || strings.HasPrefix(name, "GIT_") || strings.HasPrefix(name, "XDG_") && !ownBrowser || name == "BROWSER") {
			continue
		}
		d.env = append(d.env, v)
	}
	d.env = append(d.env,
		"HOME="+home,
		"XDG_CONFIG_HOME="+filepath.Join(home, "config"),
		"XDG_STATE_HOME="+filepath.Join(home, "state"),
		"LOCALAPPDATA="+filepath.Join(home, "local"), // Windows
		"PATH="+bin+string(os.PathListSeparator)+d.Getenv("PATH"),
		"CLERK_HELPER_CONFIG="+d.path("config.toml"),
		"CLERK_HELPER_STORE=file",
		"CLERK_HELPER_TRACE="+d.path("trace"),
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL="+d.path("gitconfig"),
		"GIT_SSL_CAINFO="+d.path("ca.pem"),
		"GIT_TERMINAL_PROMPT=0",
	)
	if !ownBrowser {
		d.env = append(d.env, "BROWSER="+platform.OnlyBrowser(d.ownPath(Browser)))
	}
	return nil
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demo) close(keep bool) {
	if d.restore != nil {
		defer d.restore()
	}
	for _, stop := range d.stop {
		stop()
	}
	switch {
	case d.dir == "":
	case keep:
		d.title("Kept in "+d.dir, "")
	default:
		if err := platform.RemoveAll(d.dir); err != nil {
			d.title("Left in "+d.dir+": "+err.Error(), "")
		}
	}
}

func (d *demo) serveTLS(certificate tls.Certificate, h http.Handler) (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	d.stop = append(d.stop, sandbox.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}), h))
	return l.Addr().String(), nil
}

// own runs this program under one of its names; see command.
func (d *demo) own(ctx context.Context, stdin, name string, args ...string) (string, error) {
	return d.command(ctx, stdin, d.ownPath(name), args...)
}

func (d *demo) ownPath(name string) string {
	return filepath.Join(d.dir, "bin", name+filepath.Ext(d.program))
}

// command runs a program in the demo's world and gives its standard output.
func (d *demo) command(ctx context.Context, stdin, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = d.env, d.dir, strings.NewReader(stdin)
	// git ends its own children on SIGTERM. Children that stay hold the pipes.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}

func (d *demo) clone(into string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if _, err := exec.LookPath("git"); err != nil {
			d.say("SKIP git is not installed; asking git-credential-clerk as git would")
			out, err := d.own(ctx, "protocol=https\nhost="+d.git+"\n", "git-credential-clerk", "get")
			if err == nil && !strings.Contains(out, "\npassword=") {
				err = errors.New("there was no credential in the answer")
			}
			return fmt.Sprintf("a credential of %d lines", strings.Count(out, "\n")), err
		}
		url := "https://" + d.git + "/hello.git"
		d.say("$ git clone " + url)
		if _, err := d.command(ctx, "", "git", "clone", "--quiet", url, into); err != nil {
			return "", err
		}
		text, err := os.ReadFile(filepath.Join(d.dir, into, "hello.txt"))
		return fmt.Sprintf("cloned; hello.txt says %q", strings.TrimSpace(string(text))), err
	}
}

func (d *demo) cloneAfterExpiry(ctx context.Context) (string, error) {
	d.say("waiting for the token's end ...")
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(d.lifetime):
	}
	d.step = time.Now()
	return d.clone("third")(ctx)
}

func (d *demo) stranger(ctx context.Context) (string, error) {
	host := strings.Replace(d.git, ":", ".evil.example:", 1)
	d.say("as git would: git-credential-clerk get, for https://" + host)
	out, err := d.own(ctx, "protocol=https\nhost="+host+"\n", "git-credential-clerk", "get")
	if err == nil && out != "" {
		err = errors.New("the stranger got an answer")
	}
	return "silence", err
}

func (d *demo) logout(ctx context.Context) (string, error) {
	d.say("$ clerk-credential-helper logout")
	_, err := d.own(ctx, "", "clerk-credential-helper", "logout")
	return "signed out", err
}

// manifest does what a docker client does: it asks the registry, is sent to the token service, asks the helper, and asks
// the registry again.
func (d *demo) manifest(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.roots}}}
	get := func(url string, authorize func(*http.Request)) (*http.Response, []byte, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, nil, err
		}
		if authorize != nil {
			authorize(req)
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return res, body, err
	}
	image := "https://" + d.registry + "/v2/demo/hello/manifests/latest"
	d.say("as in: docker manifest inspect " + d.registry + "/demo/hello")
	res, _, err := get(image, nil)
	if err != nil {
		return "", err
	}
	challenge := res.Header.Get("WWW-Authenticate")
	realm := parameter(challenge, "realm")
	if res.StatusCode != http.StatusUnauthorized || realm == "" {
		return "", fmt.Errorf("the registry answered %s", res.Status)
	}
	out, err := d.own(ctx, d.registry, "docker-credential-clerk", "get")
	if err != nil {
		return "", err
	}
	var credential struct{ Username, Secret string }
	if err := json.Unmarshal([]byte(out), &credential); err != nil {
		return "", err
	}
	_, body, err := get(realm+"?service="+parameter(challenge, "service")+"&scope="+parameter(challenge, "scope"),
		func(r *http.Request) { r.SetBasicAuth(credential.Username, credential.Secret) })
	if err != nil {
		return "", err
	}
	var pass struct{ Token string }
	if err := json.Unmarshal(body, &pass); err != nil {
		return "", fmt.Errorf("the token service: %w", err)
	}
	res, body, err = get(image, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+pass.Token) })
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the registry answered %s", res.Status)
	}
	return fmt.Sprintf("manifest of %d bytes, sha256:%x", len(body), sha256.Sum256(body))[:60] + "...", nil
}

// parameter returns a quoted parameter of a WWW-Authenticate value, in the form that the demo's own registry writes.
func parameter(challenge, name string) string {
	_, rest, _ := strings.Cut(challenge, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// Browse is the demo's browser: it follows the redirects of a sign-in that asks nothing, for at most 30 s. It is an error
// if the last answer is not 200.
func Browse(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Jar: jar}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// What follows prints.

func (d *demo) style(code, text string) string {
	if !d.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (d *demo) title(title, text string) {
	fmt.Fprintf(d.Stdout, "\n%s\n", d.style("1", title))
	if text != "" {
		fmt.Fprintln(d.Stdout, text)
	}
}

func (d *demo) heading(n int, title, text string) {
	fmt.Fprintf(d.Stdout, "\n%s %s\n", d.style("1;36", fmt.Sprintf("%d", n)), d.style("1", title))
	fmt.Fprintf(d.Stdout, "  %s\n", d.style("2", text))
}

func (d *demo) say(line string) { fmt.Fprintf(d.Stdout, "  %s\n", line) }

// result ends a step: it prints the result, what the helper decided, and what Clerk was asked.
func (d *demo) result(text string, took time.Duration) {
	fmt.Fprintf(d.Stdout, "  %s %s %s\n", d.style("32", "ok"), text, d.style("2", fmt.Sprintf("(%d ms)", took.Milliseconds())))
	for _, line := range d.decisions() {
		fmt.Fprintf(d.Stdout, "     %s %s\n", d.style("2", "helper:"), line)
	}
	fmt.Fprintf(d.Stdout, "     %s %s\n", d.style("2", "clerk: "), d.asked())
}

// decisions returns what the helper decided since the last step, from its trace, without the requests; see asked.
func (d *demo) decisions() []string {
	f, err := os.Open(d.path("trace"))
	if err != nil {
		return nil
	}
	defer f.Close()
	if _, err := f.Seek(d.traced, io.SeekStart); err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil
	}
	d.traced += int64(len(text))
	var lines []string
	for line := range strings.Lines(string(text)) {
		_, what, _ := strings.Cut(strings.TrimSpace(line), "] ")
		decision := strings.HasPrefix(what, "profile ") || strings.Contains(what, "no profile")
		if decision && !slices.Contains(lines, what) {
			lines = append(lines, what)
		}
	}
	return lines
}

// asked describes the requests that reached the stand-in for Clerk since the last step.
func (d *demo) asked() string {
	all := d.clerk.Requests()
	var names []string
	for _, r := range all[d.seen:] {
		name := map[string]string{
			"/oauth/authorize":                        "sign-in page",
			"/oauth/token":                            "token request",
			"/oauth/token/revoke":                     "revocation",
			"/oauth/userinfo":                         "account",
			"/.well-known/jwks.json":                  "keys",
			"/.well-known/openid-configuration":       "discovery",
			"/.well-known/oauth-authorization-server": "discovery",
		}[r.Path]
		switch r.Grant {
		case "authorization_code":
			name = "code for tokens"
		case "refresh_token":
			name = "refresh"
		}
		if name == "" {
			name = r.Path
		}
		names = append(names, name)
	}
	d.seen = len(all)
	if len(names) == 0 {
		return "not asked"
	}
	return "asked for " + strings.Join(names, ", ")
}
