package console

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"clerk-credential-helper/protocol"
)

const (
	Width      = 80 // what people's terminals have at least
	FactIndent = 13 // where the text of a fact begins
)

// Fact prints a name and a text, over several lines where one is too short.
func Fact(w io.Writer, name, text string) { Row(w, name, FactIndent-3, protocol.Escape(text)) }

// Row prints a text beside a name in a column of that width.
func Row(w io.Writer, name string, column int, text string) {
	fmt.Fprintln(w, Fold(fmt.Sprintf("  %-*s ", column, name), strings.Repeat(" ", column+3), text))
}

// Fold breaks a text between words into lines of a terminal, which begin with first and then with rest. A word is never
// broken: it may be a path.
func Fold(first, rest, text string) string {
	var out strings.Builder
	out.WriteString(first)
	width := utf8.RuneCountInString(first)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > Width:
			out.WriteString("\n" + rest)
			width = utf8.RuneCountInString(rest)
		default:
			out.WriteByte(' ')
			width++
		}
		out.WriteString(word)
		width += n
	}
	return strings.TrimRight(out.String(), " ")
}

// Folded is what Fold makes of a paragraph.
func Folded(text string) string { return Fold("", "  ", text) }
