package main

import (
	"runtime/debug"
	"strings"
	"time"

	"clerk-credential-helper/internal/console"

	"github.com/alecthomas/kong"
)

type manCommand struct{}

// Run prints the manual page in the language of man(7). Commands and flags come from the grammar, so that the page never
// gets out of date.
func (manCommand) Run(k *kong.Context, sys *system) error {
	page := manPage{console.Roff{W: sys.stdout}}
	page.write(k.Model)
	return page.Err
}

// manPage is the page as it is written.
type manPage struct{ console.Roff }

func (m *manPage) write(app *kong.Application) {
	m.Line(`.\" Made by "clerk-credential-helper man"; do not edit.`)
	m.Line(`.TH CLERK\-CREDENTIAL\-HELPER 1 %q %q`, builtOn(), "clerk-credential-helper "+programVersion())
	m.Line(".SH NAME")
	m.Line(`clerk\-credential\-helper \- %s`, console.RoffText("one sign-in with Clerk for git, docker and every other tool"))
	m.Line(".SH SYNOPSIS")
	m.Line(`.B clerk\-credential\-helper`)
	m.Line(`.I command`)
	m.Line(`.RI [ arguments ]`)
	m.Line(".SH DESCRIPTION")
	m.Text("Hands Clerk-issued tokens to developer tools. A token comes from the keychain; near its end it is refreshed; where there is none, a person signs in through the browser, once, however many tools ask. It goes only to the hosts that its profile names.")
	m.Line(".PP")
	m.Text("Tools call the program by names of their own: git-credential-clerk, docker-credential-clerk, cargo-credential-clerk, bazel-credential-clerk and others. The command setup tells a tool to do so.")
	m.commands("COMMANDS", app, func(group *kong.Group) bool { return group == nil })
	m.commands("COMMANDS FOR TOOLS", app, func(group *kong.Group) bool { return group != nil })
	m.Line(".SH EXIT STATUS")
	m.Text("Of the commands for people; the wires of tools have their own.")
	for _, row := range [][2]string{
		{"0", "It is done."},
		{"1", "It failed."},
		{"2", "The command line or the configuration is wrong."},
		{"4", "A sign-in is needed, which is not allowed here."},
		{"130", "It was interrupted."},
	} {
		m.Item(console.RoffBold(row[0]), row[1])
	}
	m.Line(".SH ENVIRONMENT")
	for _, row := range manVariables() {
		m.Item(console.RoffBold(row[0]), row[1])
	}
	m.Line(".SH FILES")
	m.Item(console.RoffItalic("~/.config/clerk-credential-helper/config.toml"), "The profiles of this user; %AppData% on Windows. A profile replaces the machine's of that name.")
	m.Item(console.RoffItalic("/etc/clerk-credential-helper/config.toml"), "The profiles of the machine; below /Library/Application Support on macOS, below %ProgramData% on Windows.")
	m.Item(console.RoffItalic("~/.local/state/clerk-credential-helper"), "The sessions, where CLERK_HELPER_STORE=file; %LocalAppData% on Windows.")
	m.Line(".SH EXAMPLES")
	for i, row := range [][2]string{
		{"clerk-credential-helper setup", "Three questions make a profile; then git and docker are told."},
		{"git clone https://git.acme.dev/platform/api.git", "The first call that needs a token opens the browser."},
		{"clerk-credential-helper token api.acme.dev --format header | curl -H @- https://api.acme.dev/me", "A live token for a script, in no argument."},
		{"clerk-credential-helper login --with-token acme < token", "Keeps a token that you have already."},
		{"clerk-credential-helper doctor --fix", "Checks everything, and offers to fix what it can."},
	} {
		if i > 0 {
			m.Line(".PP")
		}
		m.Text(row[1])
		m.Line(".PP")
		m.Line(".nf")
		m.Line(".RS 4")
		m.Verbatim(console.RoffText("$ " + row[0]))
		m.Line(".RE")
		m.Line(".fi")
	}
	m.Line(".SH SEE ALSO")
	m.Line(".BR gitcredentials (7),")
	m.Line(".BR docker\\-login (1)")
}

// builtOn is the day of the commit that this program was built from, or nothing.
func builtOn() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
			return at.UTC().Format(time.DateOnly)
		}
	}
	return ""
}

// commands writes the commands of some groups, each with its arguments and flags.
func (m *manPage) commands(title string, app *kong.Application, in func(*kong.Group) bool) {
	m.Line(".SH %s", title)
	for _, node := range app.Children {
		if !node.Hidden && in(node.Group) {
			m.command(node, "")
		}
	}
}

func (m *manPage) command(node *kong.Node, before string) {
	name := strings.TrimSpace(before + " " + node.Name)
	usage := []string{console.RoffBold(name)}
	for _, arg := range node.Positional {
		word := console.RoffItalic(arg.Name)
		if arg.IsCumulative() {
			word += "..."
		}
		if !arg.Required {
			word = "[" + word + "]"
		}
		usage = append(usage, word)
	}
	m.Line(".SS %s", strings.Join(usage, " "))
	m.Text(node.Help)
	for _, arg := range node.Positional {
		if arg.Help != "" {
			m.Item(console.RoffItalic(arg.Name), arg.Help)
		}
	}
	for _, flag := range node.Flags {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		tag := console.RoffBold("--" + flag.Name)
		if flag.Short != 0 {
			tag = console.RoffBold("-"+string(flag.Short)) + ", " + tag
		}
		if !flag.IsBool() {
			tag += "=" + console.RoffItalic(placeholder(flag))
		}
		help := flag.Help
		if flag.Default != "" && flag.Default != "0" && !flag.IsBool() {
			help += " Without it: " + flag.Default + "."
		}
		m.Item(tag, help)
	}
	for _, child := range node.Children {
		if !child.Hidden {
			m.command(child, name)
		}
	}
}

// placeholder is what stands for the value of a flag: its words, where it takes only some.
func placeholder(flag *kong.Flag) string {
	var words []string
	for _, word := range flag.EnumSlice() {
		if word != "" {
			words = append(words, word)
		}
	}
	switch {
	case words != nil:
		return strings.Join(words, "|")
	case flag.PlaceHolder != "":
		return flag.PlaceHolder
	case flag.Default != "" && flag.Default != "0":
		return flag.Default
	}
	return strings.ToUpper(flag.Name)
}

func manVariables() [][2]string {
	return [][2]string{
		{"CLERK_HELPER_CONFIG", "The absolute path of another file in place of the user's configuration."},
		{"CLERK_HELPER_PROFILE", "The profile that login, token and the like mean."},
		{"CLERK_HELPER_INTERACTIVE", "auto, always or never: whether you may be asked. Takes precedence over the profile's interactive."},
		{"CLERK_HELPER_MIN_TTL", "Takes precedence over the profile's min_ttl: how much life a token must have left."},
		{"CLERK_HELPER_STORE", "Where sessions are kept: auto, keychain, kernel (Linux), file or none."},
		{"CLERK_HELPER_TRACE", "1, or the absolute path of a file: every decision, and no secret."},
		{"CLERK_HELPER_ISSUER, CLERK_HELPER_PUBLISHABLE_KEY, CLERK_HELPER_CLIENT_ID, CLERK_HELPER_HOSTS", "A profile without a file."},
		{"CLERK_HELPER_TOKEN, CLERK_HELPER_TOKEN_FILE, CLERK_HELPER_TOKEN_NAME", "A token that takes precedence over every session; the last one for the profile called name."},
		{"CLERK_MACHINE_SECRET_KEY", "The key with which a profile with machine = true mints its tokens."},
		{"BROWSER", "The program that opens the sign-in page."},
	}
}
