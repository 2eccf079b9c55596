package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"clerk-credential-helper/protocol"
)

const (
	Width      = 80  // of output that no terminal shows, in columns
	narrowest  = 60  // of output at a terminal: a narrower one breaks the lines itself
	widest     = 100 // longer lines are hard to read
	FactIndent = 13  // the column, from 0, in which the text of a fact begins
)

// Columns returns how long the lines on a stream may be: as long as those of a terminal, but from 60 to 100; otherwise Width.
func Columns(stream any) int {
	f, ok := stream.(*os.File)
	if !ok {
		return Width
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 1 {
		return Width
	}
	return readable(columns)
}

// readable returns the length of lines for a terminal of so many columns.
func readable(columns int) int { return min(max(columns, narrowest), widest) }

// Fact prints a name and a text, which it escapes, folded in columns.
func Fact(w io.Writer, name, text string) { Row(w, name, FactIndent-3, protocol.Escape(text)) }

// Row prints a text, folded, beside a name in a column of that width. The caller escapes foreign text.
func Row(w io.Writer, name string, column int, text string) {
	fmt.Fprintln(w, row(name, column, text, Columns(w)))
}

func row(name string, column int, text string, columns int) string {
	return fold(fmt.Sprintf("  %-*s ", column, name), strings.Repeat(" ", column+3), text, columns)
}

// Paragraph prints a text, which it escapes, folded.
func Paragraph(w io.Writer, text string) { fmt.Fprintln(w, folded(protocol.Escape(text), Columns(w))) }

// fold breaks a text between words into lines of so many columns, of which the first begins with first and the others with
// rest. A word is never broken: it may be a path.
func fold(first, rest, text string, columns int) string {
	var out strings.Builder
	out.WriteString(first)
	width := utf8.RuneCountInString(first)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case width+1+n > columns:
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
func folded(text string, columns int) string { return fold("", "  ", text, columns) }

// Folded returns a writer of messages to w. Each write is folded if w is a terminal; lines that begin with a blank, which are
// commands to be copied, stay whole.
func Folded(w io.Writer) io.Writer {
	if !IsTerminal(w) {
		return w
	}
	return folder{w, Columns(w)}
}

type folder struct {
	w       io.Writer
	columns int
}

func (f folder) Write(p []byte) (int, error) {
	if _, err := io.WriteString(f.w, foldLines(string(p), f.columns)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// foldLines folds each line that does not begin with a blank.
func foldLines(text string, columns int) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, " ") {
			lines[i] = folded(line, columns)
		}
	}
	return strings.Join(lines, "\n")
}
