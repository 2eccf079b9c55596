package main

import (
	"cmp"
	"embed"
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

// manual is what does not come from the grammar, in the language of man(7).
//
//go:embed manual
var manual embed.FS

// manPage is the page as it is written.
type manPage struct{ console.Roff }

func (m *manPage) write(app *kong.Application) {
	m.Line(`.\" Made by "clerk-credential-helper man"; do not edit.`)
	m.Line(`.TH CLERK\-CREDENTIAL\-HELPER 1 %q %q`, builtOn(), "clerk-credential-helper "+programVersion())
	m.part("before")
	m.commands("COMMANDS", app, func(group *kong.Group) bool { return group == nil })
	m.commands("COMMANDS FOR TOOLS", app, func(group *kong.Group) bool { return group != nil })
	m.part("after")
}

// part writes the part of the page before or after the commands.
func (m *manPage) part(name string) {
	text, err := manual.ReadFile("manual/" + name + ".roff")
	m.Line("%s", strings.TrimSuffix(string(text), "\n"))
	m.Err = cmp.Or(m.Err, err)
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
