package companionpage

import (
	"fmt"
	"strings"

	"clerk-credential-helper/internal/console"
)

const (
	// diffPairs limits the work of a diff, in pairs of lines; the largest file of the page makes 100,000.
	diffPairs = 4 << 20
	// diffContext is the number of equal lines around a change.
	diffContext = 3
)

// diff returns the unified diff of two texts, escaped for a terminal. Their last line ends with LF.
func diff(oldName, newName string, oldText, newText []byte) string {
	a, b := strings.SplitAfter(string(oldText), "\n"), strings.SplitAfter(string(newText), "\n")
	names := fmt.Sprintf("--- %s\n+++ %s\n", console.Escape(oldName), console.Escape(newName))
	if len(a)*len(b) > diffPairs {
		return names + "(too long to be compared here)\n"
	}
	edits := editScript(a, b)
	var out strings.Builder
	for at := 0; at < len(edits); {
		if edits[at].sign == ' ' {
			at++
			continue
		}
		// A hunk ends where more equal lines follow than two changes have as context.
		end := at
		for i := at; i < len(edits) && i <= end+2*diffContext+1; i++ {
			if edits[i].sign != ' ' {
				end = i
			}
		}
		from, to := max(0, at-diffContext), min(len(edits), end+1+diffContext)
		var lines strings.Builder
		var gone, come int
		for _, e := range edits[from:to] {
			if e.text == "" { // after the last LF
				continue
			}
			if e.sign != '+' {
				gone++
			}
			if e.sign != '-' {
				come++
			}
			fmt.Fprintf(&lines, "%c%s\n", e.sign, console.Escape(strings.ReplaceAll(strings.TrimSuffix(e.text, "\n"), "\t", "    ")))
		}
		fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n%s", first(edits[from].a, gone), gone, first(edits[from].b, come), come, lines.String())
		at = to
	}
	return names + out.String()
}

// first returns the number of a hunk's first line; that of the line before it if the hunk has none (POSIX diff -u).
func first(index, count int) int {
	if count == 0 {
		return index
	}
	return index + 1
}

// edit is a line that stays (' '), goes ('-') or comes ('+'); a and b are the indexes of it, or of the next line.
type edit struct {
	sign rune
	text string
	a, b int
}

// editScript compares two lists of lines by their longest common subsequence.
func editScript(a, b []string) []edit {
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
	var edits []edit
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, edit{' ', a[i], i, j})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, edit{'-', a[i], i, j})
			i++
		default:
			edits = append(edits, edit{'+', b[j], i, j})
			j++
		}
	}
	return edits
}
