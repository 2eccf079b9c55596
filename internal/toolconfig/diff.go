package toolconfig

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"clerk-credential-helper/protocol"
)

// diff returns a unified diff without context lines: other lines of such a file may hold passwords. Of a line that changes it
// shows what comes and goes, with dots for the rest: the whole file may be one line.
func (d draft) diff() string {
	var out strings.Builder
	if d.stale && bytes.Equal(d.old, d.new) {
		fmt.Fprintf(&out, "--- %s\n", protocol.Escape(d.File+backupSuffix))
		return out.String()
	}
	old, fresh := lines(d.old), lines(d.new)
	if d.gone {
		fresh = nil
	}
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", protocol.Escape(d.File), protocol.Escape(d.File))
	for _, h := range hunks(old, fresh) {
		fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n", h.old.start+1, h.old.end-h.old.start, h.fresh.start+1, h.fresh.end-h.fresh.start)
		gone, come := old[h.old.start:h.old.end], fresh[h.fresh.start:h.fresh.end]
		if len(gone) > 0 && len(come) > 0 {
			gone, come = changedParts(gone, come)
		}
		for _, line := range gone {
			fmt.Fprintf(&out, "-%s\n", shown(line))
		}
		for _, line := range come {
			fmt.Fprintf(&out, "+%s\n", shown(line))
		}
	}
	return out.String()
}

// changedParts reduces replaced lines to what differs, with dots for what both have. A line without a difference is left
// out.
func changedParts(old, fresh []string) (gone, come []string) {
	words := regexp.MustCompile(`"(?:\\.|[^"\\\n])*"|\w+|\s|.`)
	a := words.FindAllString(strings.Join(old, "\n"), -1)
	b := words.FindAllString(strings.Join(fresh, "\n"), -1)
	parts := hunks(a, b)
	if slices.ContainsFunc(parts, func(h hunk) bool { return (h.old.end-h.old.start)*(h.fresh.end-h.fresh.start) > pairsMost }) {
		return nil, []string{"... (a change that is too long to show)"}
	}
	return onlyParts(a, parts, func(h hunk) span { return h.old }), onlyParts(b, parts, func(h hunk) span { return h.fresh })
}

// onlyParts returns the lines of a text, of which all but some parts are replaced by dots.
func onlyParts(words []string, parts []hunk, of func(hunk) span) []string {
	const dots = "..."
	var text strings.Builder
	at := 0
	skip := func(to int) {
		between := strings.Join(words[at:to], "")
		first, rest, more := strings.Cut(between, "\n")
		if strings.TrimSpace(first) != "" {
			text.WriteString(dots)
		} else {
			text.WriteString(first)
		}
		if more {
			text.WriteByte('\n')
			if last := rest[strings.LastIndexByte(rest, '\n')+1:]; strings.TrimSpace(last) != "" {
				text.WriteString(dots)
			} else {
				text.WriteString(last)
			}
		}
	}
	for _, h := range parts {
		part := of(h)
		skip(part.start)
		text.WriteString(strings.Join(words[part.start:part.end], ""))
		at = part.end
	}
	skip(len(words))
	return slices.DeleteFunc(strings.Split(text.String(), "\n"), func(line string) bool {
		return strings.Trim(line, ". \t") == ""
	})
}

// lines splits a text into lines without their ends, which are LF or CRLF.
func lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	all := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for i := range all {
		all[i] = strings.TrimSuffix(all[i], "\r")
	}
	return all
}

type hunk struct{ old, fresh span }

// pairsMost limits the work of hunks, in pairs of words.
const pairsMost = 1 << 20

// hunks returns the parts in which two lists of lines or words differ, by the longest common subsequence of what lies between
// their common beginning and end. Beyond pairsMost everything in between is one hunk.
func hunks(old, fresh []string) []hunk {
	head := 0
	for head < min(len(old), len(fresh)) && old[head] == fresh[head] {
		head++
	}
	tail := 0
	for tail < min(len(old), len(fresh))-head && old[len(old)-1-tail] == fresh[len(fresh)-1-tail] {
		tail++
	}
	a, b := old[head:len(old)-tail], fresh[head:len(fresh)-tail]
	if len(a)*len(b) > pairsMost {
		return []hunk{{span{head, head + len(a)}, span{head, head + len(b)}}}
	}
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var all []hunk
	for i, j := 0, 0; i < len(a) || j < len(b); {
		if i < len(a) && j < len(b) && a[i] == b[j] {
			i, j = i+1, j+1
			continue
		}
		h := hunk{span{head + i, 0}, span{head + j, 0}}
		for i < len(a) || j < len(b) {
			if i < len(a) && j < len(b) && a[i] == b[j] {
				break
			}
			if j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1] {
				i++
			} else {
				j++
			}
		}
		h.old.end, h.fresh.end = head+i, head+j
		all = append(all, h)
	}
	return all
}

// shown is a line for a terminal.
func shown(line string) string { return protocol.Escape(strings.ReplaceAll(line, "\t", "    ")) }
