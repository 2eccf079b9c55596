package console

import (
	"fmt"
	"io"
	"strings"
)

// roff writes a manual page in the macros of man(7) to w.
type roff struct {
	w   io.Writer
	err error // the first error of w, after which nothing is written
}

// line writes a line that is roff already: a request or text.
func (m *roff) line(format string, args ...any) {
	if m.err == nil {
		_, m.err = fmt.Fprintf(m.w, format+"\n", args...)
	}
}

// text writes a paragraph of plain text, folded and escaped.
func (m *roff) text(words string) {
	for line := range strings.SplitSeq(fold("", "", roffText(words), Width), "\n") {
		m.verbatim(line)
	}
}

// verbatim writes one line of roff text, which cannot become a request.
func (m *roff) verbatim(line string) {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	if line != "" {
		m.line("%s", line)
	}
}

// roffText escapes plain text for roff. A hyphen becomes the minus that can be copied into a shell.
func roffText(words string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(strings.TrimSpace(words))
}

// item writes a tagged paragraph of plain text; tag is roff already.
func (m *roff) item(tag, words string) {
	m.line(".TP")
	m.line("%s", tag)
	m.text(words)
}

// roffBold returns plain text as bold roff.
func roffBold(words string) string { return `\fB` + roffText(words) + `\fP` }

// roffItalic returns plain text as italic roff.
func roffItalic(words string) string { return `\fI` + roffText(words) + `\fP` }
