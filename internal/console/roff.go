package console

import (
	"fmt"
	"io"
	"strings"
)

// Roff writes a manual page in the macros of man(7) to W.
type Roff struct {
	W   io.Writer
	Err error // the first error of W, after which nothing is written
}

// Line writes a line that is roff already: a request or text.
func (m *Roff) Line(format string, args ...any) {
	if m.Err == nil {
		_, m.Err = fmt.Fprintf(m.W, format+"\n", args...)
	}
}

// Text writes a paragraph of plain text, folded and escaped.
func (m *Roff) Text(words string) {
	for line := range strings.SplitSeq(fold("", "", RoffText(words)), "\n") {
		m.Verbatim(line)
	}
}

// Verbatim writes one line of roff text, which cannot become a request.
func (m *Roff) Verbatim(line string) {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	if line != "" {
		m.Line("%s", line)
	}
}

// RoffText escapes plain text for roff. A hyphen becomes the minus that can be copied into a shell.
func RoffText(words string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(strings.TrimSpace(words))
}

// Item writes a tagged paragraph of plain text; tag is roff already.
func (m *Roff) Item(tag, words string) {
	m.Line(".TP")
	m.Line("%s", tag)
	m.Text(words)
}

// RoffBold returns plain text as bold roff.
func RoffBold(words string) string { return `\fB` + RoffText(words) + `\fP` }

// RoffItalic returns plain text as italic roff.
func RoffItalic(words string) string { return `\fI` + RoffText(words) + `\fP` }
