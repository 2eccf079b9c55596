package console

import (
	"fmt"
	"io"
	"strings"
)

// Roff writes requests and text of man(7) to W, and keeps the first error.
type Roff struct {
	W   io.Writer
	Err error
}

// Line writes a request, or a line of text that is roff already.
func (m *Roff) Line(format string, args ...any) {
	if m.Err == nil {
		_, m.Err = fmt.Fprintf(m.W, format+"\n", args...)
	}
}

// Text is a paragraph of words, over several lines. None of its characters can make a request.
func (m *Roff) Text(words string) {
	for line := range strings.SplitSeq(Fold("", "", RoffText(words)), "\n") {
		m.Verbatim(line)
	}
}

// Verbatim is one line of roff's text.
func (m *Roff) Verbatim(line string) {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	if line != "" {
		m.Line("%s", line)
	}
}

// RoffText escapes what the language would take for its own. A hyphen becomes the one that can be copied into a shell.
func RoffText(words string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(strings.TrimSpace(words))
}

// Item is a tagged paragraph; tag is roff already.
func (m *Roff) Item(tag, words string) {
	m.Line(".TP")
	m.Line("%s", tag)
	m.Text(words)
}

// RoffBold is a text in bold.
func RoffBold(words string) string { return `\fB` + RoffText(words) + `\fP` }

// RoffItalic is a text in italics.
func RoffItalic(words string) string { return `\fI` + RoffText(words) + `\fP` }
