package toolconfig

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// Editors of texts that are lists of lines: lines are added at the end, and can be removed so that the text is what it
// was, byte for byte.

// span is a part of a text, in bytes.
type span struct{ start, end int }

// lineEnd returns the line end that the text uses.
func lineEnd(text []byte) string {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// AppendLines adds lines at the end of a text, with the text's own line ends, LF or CRLF. A text without a line end at its
// end has none afterwards.
func AppendLines(text []byte, lines []string) []byte {
	end := lineEnd(text)
	added := strings.Join(lines, end)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return slices.Concat(text, []byte(end+added))
	}
	return slices.Concat(text, []byte(added+end))
}

// cutLines removes parts that are whole lines and in their order. If a last line without a line end is removed, the line
// before it loses its own, which AppendLines had added.
func cutLines(text []byte, parts []span) []byte {
	if len(parts) == 0 {
		return text
	}
	var kept []byte
	at := 0
	for _, part := range parts {
		kept = append(kept, text[at:part.start]...)
		at = part.end
	}
	kept = append(kept, text[at:]...)
	if at == len(text) && text[len(text)-1] != '\n' {
		kept = bytes.TrimSuffix(kept, []byte(lineEnd(text)))
	}
	return kept
}

// findLines finds consecutive lines. Blanks around a line make no difference.
func findLines(text []byte, lines []string) (span, bool) {
	var starts []int
	for at := 0; at < len(text); {
		starts = append(starts, at)
		next := bytes.IndexByte(text[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	starts = append(starts, len(text))
	for i := range max(0, len(starts)-len(lines)) {
		same := true
		for j, line := range lines {
			same = same && strings.TrimSpace(string(text[starts[i+j]:starts[i+j+1]])) == strings.TrimSpace(line)
		}
		if same {
			return span{starts[i], starts[i+len(lines)]}, true
		}
	}
	return span{}, false
}

// endsSection reports whether at is followed by another section or by nothing.
func endsSection(text []byte, at int) bool {
	rest := bytes.TrimLeft(text[at:], " \t\r\n")
	return len(rest) == 0 || rest[0] == '['
}

// insertLine inserts a line at at, where a line begins or the text ends.
func insertLine(text []byte, at int, line string) []byte {
	if at == len(text) {
		return AppendLines(text, []string{line})
	}
	return slices.Concat(text[:at], []byte(line+lineEnd(text)), text[at:])
}

// checkLines refuses a text that is not UTF-8: PowerShell writes UTF-16 by default.
func checkLines(text []byte) error {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return errors.New("it is not UTF-8 text: the tool cannot read it either")
	}
	return nil
}

// cutMatching removes the lines for which ours, given a line without the blanks around it, reports true.
func cutMatching(text []byte, ours func(line string) bool) []byte {
	var parts []span
	for at := 0; at < len(text); {
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if ours(strings.TrimSpace(string(text[at:end]))) {
			parts = append(parts, span{at, end})
		}
		at = end
	}
	return cutLines(text, parts)
}
