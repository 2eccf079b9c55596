// Command bench measures how long a tool waits for a token that is in the keychain, beside the helpers it might use
// instead and beside .ci/bench/testdata/floor, the least that a Go program can do.
//
// It builds the programs, starts a session bus and a gnome-keyring of its own in a temporary home, stores one item for
// each program, runs all of them in random order, round by round, and prints a Markdown table. It leaves the user's own
// files, keyring and bus alone.
//
//	go run ./.ci/bench [-rounds 200]
//
// It needs dbus-daemon, gnome-keyring-daemon and secret-tool (on Debian: gnome-keyring, dbus, libsecret-tools). Where they
// are installed, a C compiler, pkg-config and libsecret's headers add git's helper and docker's, and GNU time the memory.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 200, "how often each program runs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// libsecretHelper is the source of git-credential-libsecret in Debian's git.
const libsecretHelper = "/usr/share/doc/git/contrib/credential/libsecret/git-credential-libsecret.c"

const dockerHelper = "github.com/docker/docker-credential-helpers/secretservice/cmd@v0.9.12"

// tokenBytes is the length of the other programs' tokens: that of an access token of Clerk's.
const tokenBytes = 900

// withoutHistory is a configuration that differs from the usual one in that alone.
const withoutHistory = "without-history.toml"

// warmUp is the number of first rounds that do not count.
const warmUp = 10

const (
	gitRequest    = "protocol=https\nhost=git.acme.dev\n\n"
	foreign       = "protocol=https\nhost=git.foreign.dev\n\n"
	dockerRequest = "git.acme.dev\n"
)

// program is one row of the table.
type program struct {
	name, role string
	argv       []string
	stdin      string
	wants      string // a part of its answer; empty if it has none
	env        []string

	wall, cpu []time.Duration
}

// The rows that others are compared with.
const (
	roleFloor = "floor"
	rolePeer  = "peer"
)

func run(ctx context.Context, out io.Writer, rounds int) error {
	if rounds < 1 {
		return errors.New("at least one round is needed")
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w := &world{dir: dir, env: []string{
		"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir,
		"CLERK_HELPER_INTERACTIVE=always", "BROWSER=" + filepath.Join(dir, "clerk-demo-browser"),
	}}
	defer w.stop()
	programs, err := w.build(ctx)
	if err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	if err := w.seed(ctx, programs); err != nil {
		return err
	}
	for round := range rounds + warmUp {
		for _, i := range rand.Perm(len(programs)) { // a program that follows another use of the keyring finds it awake
			if err := programs[i].measure(ctx, w.env, round >= warmUp); err != nil {
				return err
			}
		}
	}
	return report(ctx, out, w, programs)
}

// measure runs the program once and checks its answer.
func (p *program) measure(ctx context.Context, env []string, count bool) error {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env = slices.Concat(env, p.env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(p.stdin), &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, err, &stderr)
	}
	if !strings.Contains(stdout.String(), p.wants) {
		return fmt.Errorf("%s did not answer with its token", p.name)
	}
	if count {
		p.wall = append(p.wall, took)
		p.cpu = append(p.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	return nil
}

// world is the temporary home with its services.
type world struct {
	dir  string
	env  []string
	ends []func()
}

func (w *world) stop() {
	for _, end := range slices.Backward(w.ends) {
		end()
	}
}

// build makes every program that can be made here, and names the others on standard error.
func (w *world) build(ctx context.Context) ([]*program, error) {
	empty := filepath.Join(w.dir, "empty.go")
	if err := os.WriteFile(empty, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return nil, err
	}
	path := func(name string) string { return filepath.Join(w.dir, name) }
	builder := append(os.Environ(), "CGO_ENABLED=0")
	for _, b := range [][]string{
		{"clerk-credential-helper", "./cmd/clerk-credential-helper"},
		{"empty", empty},
		{"floor", "./.ci/bench/testdata/floor"},
	} {
		_, err := command(ctx, builder, "", "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path(b[0]), b[1])
		if err != nil {
			return nil, err
		}
	}
	for _, link := range []string{"git-credential-clerk", "docker-credential-clerk", "clerk-demo-browser"} {
		if err := os.Symlink("clerk-credential-helper", path(link)); err != nil {
			return nil, err
		}
	}
	token := strings.Repeat("t", tokenBytes)
	programs := []*program{
		{name: "/bin/true", argv: []string{"/bin/true"}},
		{name: "a Go program that does nothing", argv: []string{path("empty")}},
		{name: "the floor: `.ci/bench/testdata/floor`", role: roleFloor, argv: []string{path("floor"), "bench", "item"}, wants: token},
		{name: "`git-credential-clerk get`", argv: []string{path("git-credential-clerk"), "get"}, stdin: gitRequest, wants: "\npassword=ey"},
		{name: "`git-credential-clerk get`, without a history", argv: []string{path("git-credential-clerk"), "get"}, stdin: gitRequest, wants: "\npassword=ey",
			env: []string{"CLERK_HELPER_CONFIG=" + path(withoutHistory)}},
		{name: "`docker-credential-clerk get`", argv: []string{path("docker-credential-clerk"), "get"}, stdin: dockerRequest, wants: `"Secret":"ey`},
		{name: "`git-credential-clerk get`, a host of no profile", argv: []string{path("git-credential-clerk"), "get"}, stdin: foreign},
		{name: "`secret-tool lookup`", argv: []string{"secret-tool", "lookup", "bench", "item"}, wants: token},
	}
	if err := buildLibsecretHelper(ctx, path("git-credential-libsecret")); err != nil {
		fmt.Fprintln(os.Stderr, "bench: without git-credential-libsecret:", err)
	} else {
		programs = append(programs, &program{name: "git-credential-libsecret", role: rolePeer,
			argv: []string{path("git-credential-libsecret"), "get"}, stdin: gitRequest, wants: "password=" + token})
	}
	if _, err := command(ctx, append(os.Environ(), "GOBIN="+w.dir), "", "go", "install", "-ldflags", "-s -w", dockerHelper); err != nil {
		fmt.Fprintln(os.Stderr, "bench: without docker-credential-secretservice:", err)
	} else {
		programs = append(programs, &program{name: "docker-credential-secretservice 0.9.12", role: rolePeer,
			argv: []string{path("cmd"), "get"}, stdin: dockerRequest, wants: `"Secret":"` + token})
	}
	for _, p := range programs {
		if !strings.HasPrefix(p.argv[0], w.dir) {
			continue
		}
		if err := settle(p.argv[0]); err != nil {
			return nil, err
		}
	}
	return programs, nil
}

// settle copies a program, as install.sh does. A file that the linker has just written, through a mapping, takes half a
// millisecond longer to start while it is in the page cache.
func settle(name string) error {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	built, err := os.Open(real)
	if err != nil {
		return err
	}
	defer built.Close()
	if err := os.Remove(real); err != nil {
		return err
	}
	program, err := os.OpenFile(real, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(program, built)
	return errors.Join(err, program.Close())
}

func buildLibsecretHelper(ctx context.Context, to string) error {
	flags, err := command(ctx, os.Environ(), "", "pkg-config", "--cflags", "--libs", "libsecret-1", "glib-2.0")
	if err != nil {
		return err
	}
	args := append([]string{"-O2", "-s", "-o", to, libsecretHelper}, strings.Fields(flags)...)
	_, err = command(ctx, os.Environ(), "", "cc", args...)
	return err
}

// busConfig has no servicedir, so the bus starts no services.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`

// start starts the bus and the keyring. They run until stop.
func (w *world) start(ctx context.Context) error {
	config := filepath.Join(w.dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, w.dir), 0o600); err != nil {
		return err
	}
	address, err := w.serve(ctx, "", regexp.MustCompile(`^(unix:\S+)$`), "dbus-daemon", "--nofork", "--config-file="+config, "--print-address=1")
	if err != nil {
		return err
	}
	w.env = append(w.env, "DBUS_SESSION_BUS_ADDRESS="+address)
	_, err = w.serve(ctx, "password", nil, "gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock")
	return err
}

// serve starts a program and waits for a line of its output that matches ready. It returns the match's group.
func (w *world) serve(ctx context.Context, stdin string, ready *regexp.Regexp, name string, args ...string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin = w.env, strings.NewReader(stdin)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", err
	}
	w.ends = append(w.ends, func() {
		cancel()
		cmd.Wait()
	})
	if ready == nil {
		return "", nil
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := ready.FindStringSubmatch(lines.Text()); m != nil {
			return m[1], nil
		}
	}
	return "", fmt.Errorf("%s ended before it was ready", name)
}

// seed stores an item for each program. Ours is written by a sign-in at the sandbox.
func (w *world) seed(ctx context.Context, programs []*program) error {
	token := strings.Repeat("t", tokenBytes)
	store := func() error {
		_, err := command(ctx, w.env, token, "secret-tool", "store", "--label=bench", "bench", "item")
		return err
	}
	err := store()
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); err = store() {
		time.Sleep(20 * time.Millisecond) // gnome-keyring does not signal that it is ready
	}
	if err != nil {
		return err
	}
	helper := filepath.Join(w.dir, "clerk-credential-helper")
	issuer, err := w.serve(ctx, "", regexp.MustCompile(`^ +issuer += "(\S+)"$`), helper, "sandbox", "--auto")
	if err != nil {
		return err
	}
	folder := filepath.Join(w.dir, ".config", "clerk-credential-helper")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	config := fmt.Sprintf("[profiles.acme]\nissuer = %q\nclient_id = \"sandbox-client\"\nhosts = [\"git.acme.dev\", \"*.pkg.acme.dev\"]\n", issuer)
	if err := os.WriteFile(filepath.Join(folder, "config.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, withoutHistory), []byte("history = false\n\n"+config), 0o600); err != nil {
		return err
	}
	if _, err := command(ctx, w.env, "", helper, "login"); err != nil {
		return err
	}
	for _, p := range programs {
		if p.role != rolePeer {
			continue
		}
		request := "protocol=https\nhost=git.acme.dev\nusername=clerk\npassword=" + token + "\n\n"
		if p.stdin == dockerRequest {
			request = `{"ServerURL":"git.acme.dev","Username":"clerk","Secret":"` + token + `"}`
		}
		if _, err := command(ctx, w.env, request, p.argv[0], "store"); err != nil {
			return err
		}
	}
	return nil
}

func report(ctx context.Context, out io.Writer, w *world, programs []*program) error {
	rows := bufio.NewWriter(out)
	var floor *program
	var peers []*program
	for _, p := range programs {
		switch p.role {
		case roleFloor:
			floor = p
		case rolePeer:
			peers = append(peers, p)
		}
	}
	fmt.Fprint(rows, "| program | min ms | median ms | user+sys ms | peak MB | binary KB | times the floor |")
	for _, peer := range peers {
		fmt.Fprintf(rows, " of %s |", peer.name)
	}
	fmt.Fprintf(rows, "\n|---|%s\n", strings.Repeat("---|", 6+len(peers)))
	for _, p := range programs {
		file, err := exec.LookPath(p.argv[0])
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(rows, "| %s | %.2f | %.2f | %.2f | %s | %d | %.2f |", p.name, milliseconds(slices.Min(p.wall)),
			milliseconds(median(p.wall)), milliseconds(median(p.cpu)), p.peak(ctx, w), info.Size()/1000,
			float64(median(p.wall))/float64(median(floor.wall)))
		for _, peer := range peers {
			fmt.Fprintf(rows, " %.0f %% |", 100*float64(median(p.wall))/float64(median(peer.wall)))
		}
		fmt.Fprintln(rows)
	}
	fmt.Fprintf(rows, "\n%d interleaved rounds; %s.\n", len(programs[0].wall), machine(ctx))
	return rows.Flush()
}

// peak returns the median of the program's peak resident memory in MB, as GNU time measures it. This program is too large
// to measure it itself: the peak of a child is at least the size of its parent.
func (p *program) peak(ctx context.Context, w *world) string {
	const file = "peak"
	var peaks []int
	for range 11 {
		_, err := command(ctx, w.env, p.stdin, "time", append([]string{"-f", "%M", "-o", filepath.Join(w.dir, file)}, p.argv...)...)
		if err != nil {
			return "-"
		}
		text, err := os.ReadFile(filepath.Join(w.dir, file))
		if err != nil {
			return "-"
		}
		kilobytes, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return "-"
		}
		peaks = append(peaks, kilobytes)
	}
	return fmt.Sprintf("%.1f", float64(median(peaks))/1000)
}

// machine describes where the figures were taken: date, processor, system and versions.
func machine(ctx context.Context) string {
	var facts []string
	facts = append(facts, time.Now().Format(time.DateOnly))
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		models := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindAllSubmatch(text, -1)
		if len(models) > 0 {
			facts = append(facts, fmt.Sprintf("%d × %s", len(models), models[0][1]))
		}
	}
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		if m := regexp.MustCompile(`(?m)^PRETTY_NAME="(.*)"$`).FindSubmatch(text); m != nil {
			facts = append(facts, string(m[1]))
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		release, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
		facts = append(facts, "Linux "+release)
	}
	for _, tool := range [][]string{{"go", "env", "GOVERSION"}, {"gnome-keyring-daemon", "--version"}} {
		if text, err := command(ctx, os.Environ(), "", tool[0], tool[1:]...); err == nil {
			line, _, _ := strings.Cut(text, "\n")
			facts = append(facts, line)
		}
	}
	return strings.Join(facts, ", ")
}

func median[T int | time.Duration](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// command runs a program to its end and returns its standard output.
func command(ctx context.Context, env []string, stdin, name string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
