package main

import (
	"bytes"
	"slices"
	"strings"
)

// Editors of texts that are lists of lines: what is added goes to the end, and can be taken out so that the rest is what
// it was, byte for byte.

// span is a part of a text, in bytes.
type span struct{ start, end int }

// lineEnd is the one that the text uses.
func lineEnd(text []byte) string {
	if i := bytes.IndexByte(text, '\n'); i > 0 && text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// appendLines adds lines at the end. A text without a line end at its end has none afterwards.
func appendLines(text []byte, lines []string) []byte {
	end := lineEnd(text)
	added := strings.Join(lines, end)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return slices.Concat(text, []byte(end+added))
	}
	return slices.Concat(text, []byte(added+end))
}

// cutLines takes out parts that are whole lines, in their order. If the last line goes and has no line end, the one
// before it loses its own: that was added.
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

// findLines finds the places of consecutive lines, by what they say apart from blanks around them.
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
