package console

import (
	"fmt"
	"io"
	"os"
	"strings"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// Outcome is how something went.
type Outcome int

const (
	Good Outcome = iota
	Doubtful
	Bad
)

// word is what an outcome is called on every screen, so that nothing depends on a sign or a colour.
func (o Outcome) word() string { return [...]string{"ok", "warning", "FAILED"}[o] }

// sign stands before the word at a terminal.
func (o Outcome) sign() string { return [...]string{"✓", "!", "✗"}[o] }

// paint returns a sign, or the word where there is none, in colour. A whole line of it could not be read everywhere: the yellow
// of many terminals is close to their white.
func (o Outcome) paint(sign string) string {
	return [...]string{"\x1b[32m", "\x1b[33m", "\x1b[31m"}[o] + sign + "\x1b[0m"
}

// style is what a stream shows beside words.
type style struct{ colour, signs bool }

// styleOf returns the style of a stream; sequences is asked only if colour depends on it. NO_COLOR (no-color.org) takes
// precedence over CLICOLOR_FORCE, and that over CLICOLOR (bixense.com/clicolors).
func styleOf(terminal bool, getenv func(string) string, sequences func() bool) style {
	set := func(name string) bool { value := getenv(name); return value != "" && value != "0" }
	// Windows has no TERM, and always this variable.
	smart := getenv("TERM") != "dumb" && (getenv("TERM") != "" || getenv("OS") == "Windows_NT")
	s := style{signs: terminal && smart && utf8Terminal(getenv)}
	switch {
	case getenv("NO_COLOR") != "":
	case set("CLICOLOR_FORCE"):
		s.colour = true
	case getenv("CLICOLOR") != "0" && terminal && smart:
		s.colour = sequences()
	}
	return s
}

// styled prints with the style of a stream.
func (c *Console) styled(w io.Writer, print func(style)) {
	restore := func() {}
	s := styleOf(IsTerminal(w), c.Getenv, func() (ok bool) {
		restore, ok = platform.EscapeSequences(w.(*os.File))
		return ok
	})
	print(s)
	restore()
}

// Mark prints a fact with the word for its outcome as the name. At a terminal a sign in its colour stands before it.
func (c *Console) Mark(w io.Writer, o Outcome, text string) {
	c.styled(w, func(s style) { fmt.Fprintln(w, s.mark(o, protocol.Escape(text), Columns(w))) })
}

func (s style) mark(o Outcome, text string, columns int) string {
	name := o.word()
	painted := name
	if s.signs {
		name, painted = o.sign()+" "+name, o.sign()
	}
	line := row(name, FactIndent-3, text, columns)
	if s.colour {
		line = strings.Replace(line, painted, o.paint(painted), 1)
	}
	return line
}

// Verdict prints the answer of a whole screen to Out, folded. At a terminal it is bold, behind a sign in its colour.
func (c *Console) Verdict(o Outcome, text string) {
	c.styled(c.Out, func(s style) { fmt.Fprintln(c.Out, s.verdict(o, protocol.Escape(text), Columns(c.Out))) })
}

func (s style) verdict(o Outcome, text string, columns int) string {
	if s.signs {
		text = o.sign() + " " + text
	}
	text = folded(text, columns)
	if !s.colour {
		return text
	}
	sign, rest := "", text
	if s.signs {
		sign, rest = o.paint(o.sign())+" ", strings.TrimPrefix(text, o.sign()+" ")
	}
	lines := strings.Split(rest, "\n")
	for i, line := range lines { // each ends what it begins: a pager may show one alone
		lines[i] = bold(line)
	}
	return sign + strings.Join(lines, "\n")
}
