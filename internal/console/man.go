package console

import (
	"cmp"
	"embed"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// manual is what does not come from the grammar, in the language of man(7).
//
//go:embed manual
var manual embed.FS

// Manual writes the manual page of this program, of that version, in the language of man(7). Commands and flags come from
// the grammar, so that the page never gets out of date. The error is that of w.
func Manual(w io.Writer, app *kong.Application, version string) error {
	m := manPage{roff{w: w}}
	m.title(`CLERK\-CREDENTIAL\-HELPER 1`, "man", version)
	m.part("before")
	m.commands("COMMANDS", app, func(group *kong.Group) bool { return group == nil })
	m.commands("COMMANDS FOR TOOLS", app, func(group *kong.Group) bool { return group != nil })
	m.part("after")
	return m.err
}

// ConfigManual writes the manual page of the configuration file, as Manual writes that of the program.
func ConfigManual(w io.Writer, version string) error {
	m := manPage{roff{w: w}}
	m.title(`CLERK\-CREDENTIAL\-HELPER.TOML 5`, "man config", version)
	m.part("config")
	return m.err
}

// manPage is the page as it is written.
type manPage struct{ roff }

// title writes what a page begins with. The command is the one that prints it.
func (m *manPage) title(name, command, version string) {
	m.line(`.\" Made by "clerk-credential-helper %s"; do not edit.`, command)
	m.line(`.TH %s %q %q`, name, builtOn(), "clerk-credential-helper "+version)
}

// part writes a part of the page that is written by hand.
func (m *manPage) part(name string) {
	text, err := manual.ReadFile("manual/" + name + ".roff")
	m.line("%s", strings.TrimSuffix(string(text), "\n"))
	m.err = cmp.Or(m.err, err)
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
	m.line(".SH %s", title)
	for _, node := range app.Children {
		if !node.Hidden && in(node.Group) {
			m.command(node, "")
		}
	}
}

func (m *manPage) command(node *kong.Node, before string) {
	name := strings.TrimSpace(before + " " + node.Name)
	usage := []string{roffBold(name)}
	for _, arg := range node.Positional {
		word := roffItalic(arg.Name)
		if arg.IsCumulative() {
			word += "..."
		}
		if !arg.Required {
			word = "[" + word + "]"
		}
		usage = append(usage, word)
	}
	m.line(".SS %s", strings.Join(usage, " "))
	m.text(node.Help)
	for _, arg := range node.Positional {
		if arg.Help != "" {
			m.item(roffItalic(arg.Name), arg.Help)
		}
	}
	for _, flag := range node.Flags {
		if flag.Hidden || flag.Name == "help" {
			continue
		}
		tag := roffBold("--" + flag.Name)
		if flag.Short != 0 {
			tag = roffBold("-"+string(flag.Short)) + ", " + tag
		}
		if !flag.IsBool() {
			tag += "=" + roffItalic(placeholder(flag))
		}
		help := flag.Help
		if flag.Default != "" && flag.Default != "0" && !flag.IsBool() {
			help += " Without it: " + flag.Default + "."
		}
		m.item(tag, help)
	}
	if examples := Examples(name); examples != nil {
		m.line(".PP\n.nf")
		for _, line := range examples {
			m.line("%s", roffBold(line))
		}
		m.line(".fi")
	}
	for _, child := range node.Children {
		if !child.Hidden {
			m.command(child, name)
		}
	}
}

// placeholder is what stands for the value of a flag: its words, where it takes only some.
func placeholder(flag *kong.Flag) string {
	words := enumWords(flag.Value)
	switch {
	case len(words) > 0:
		return strings.Join(words, "|")
	case flag.PlaceHolder != "":
		return flag.PlaceHolder
	case flag.Default != "" && flag.Default != "0":
		return flag.Default
	}
	return strings.ToUpper(flag.Name)
}
