package console

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// exampleLines are a command, a tab and a command line, one a line.
//
//go:embed help/examples
var exampleLines string

// firstCommands are the commands that most people need, in the order in which they need them.
func firstCommands() []string {
	return []string{"setup", "login", "status", "token", "exec", "explain", "doctor", "logout", "unset", "demo"}
}

// HelpPrinter prints the help of a command, with examples; without one all commands, or if all is not set those that most
// people need, on a screen of 24 rows.
func HelpPrinter(all bool) kong.HelpPrinter {
	return func(options kong.HelpOptions, ctx *kong.Context) error {
		node := ctx.Selected()
		if node == nil && !all {
			printFirst(ctx.Stdout, ctx.Model)
			return nil
		}
		options.WrapUpperBound = Columns(ctx.Stdout)
		if err := kong.DefaultHelpPrinter(options, ctx); err != nil || node == nil {
			return err
		}
		for i, line := range Examples(commandPath(node)) {
			if i == 0 {
				fmt.Fprint(ctx.Stdout, "\nExample:\n")
			}
			fmt.Fprintf(ctx.Stdout, "  %s\n", line)
		}
		return nil
	}
}

// printFirst prints the first screen.
func printFirst(w io.Writer, app *kong.Application) {
	fmt.Fprintf(w, "Usage: %s COMMAND\n\n%s\n\n", app.Name, app.Help)
	for _, name := range firstCommands() {
		if i := slices.IndexFunc(app.Children, func(node *kong.Node) bool { return node.Name == name }); i >= 0 {
			words := app.Children[i].Help
			if end := strings.IndexAny(words, ":;"); end > 0 { // what follows is for those who know the command
				words = words[:end] + "."
			}
			Row(w, name, 8, words)
		}
	}
	fmt.Fprintf(w, `
Start with your company's line, or look at it first:
  %[1]s setup acme.dev
  %[1]s demo

All commands: %[1]s help --all
One command:  %[1]s COMMAND --help
`, app.Name)
}

// Examples returns the command lines that show a command, such as "companion add".
func Examples(command string) []string {
	var lines []string
	for line := range strings.Lines(exampleLines) {
		if name, example, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); name == command {
			lines = append(lines, example)
		}
	}
	return lines
}

// WhereHelpIs returns the command line that shows the help of the command that was found.
func WhereHelpIs(ctx *kong.Context) string {
	if ctx == nil || ctx.Selected() == nil {
		return "clerk-credential-helper help --all lists the commands"
	}
	return "clerk-credential-helper " + commandPath(ctx.Selected()) + " --help"
}

// commandPath is the words of a command below the program's name.
func commandPath(node *kong.Node) string {
	path := node.Name
	for above := node.Parent; above != nil && above.Parent != nil; above = above.Parent {
		path = above.Name + " " + path
	}
	return path
}
