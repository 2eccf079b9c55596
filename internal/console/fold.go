package console

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"clerk-credential-helper/protocol"
)

const (
	Width      = 80 // of output, in columns; most terminals have at least as many
	FactIndent = 13 // the column, from 0, in which the text of a fact begins
)

// Fact prints a name and a text, which it escapes, folded in columns.
func Fact(w io.Writer, name, text string) { Row(w, name, FactIndent-3, protocol.Escape(text)) }

// Row prints a text, folded, beside a name in a column of that width. The caller escapes foreign text.
func Row(w io.Writer, name string, column int, text string) {
	fmt.Fprintln(w, fold(fmt.Sprintf("  %-*s ", column, name), strings.Repeat(" ", column+3), text))
}

// fold breaks a text between words into lines of Width columns, of which the first begins with first and the others with
// rest. A word is never broken: it may be a path.
func fold(first, rest, text string) string {
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

// folded folds a paragraph.
func folded(text string) string { return fold("", "  ", text) }
