package toolconfig

import (
	"fmt"
	"regexp"
	"strings"

	"clerk-credential-helper/protocol"
)

// diff returns a unified diff without context lines: other lines of such a file may hold passwords.
func (d draft) diff() string {
	old, fresh := lines(d.old), lines(d.new)
	if d.gone {
		fresh = nil
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", protocol.Escape(d.File), protocol.Escape(d.File))
	for _, h := range hunks(old, fresh) {
		fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n", h.old.start+1, h.old.end-h.old.start, h.fresh.start+1, h.fresh.end-h.fresh.start)
		for _, line := range old[h.old.start:h.old.end] {
			fmt.Fprintf(&out, "-%s\n", withoutSecrets(line))
		}
		for _, line := range fresh[h.fresh.start:h.fresh.end] {
			fmt.Fprintf(&out, "+%s\n", withoutSecrets(line))
		}
	}
	return out.String()
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

// hunks returns the parts in which two lists of lines differ, by the longest common subsequence of what lies between
// their common beginning and end. Beyond a million pairs of lines everything in between is one hunk.
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
	if len(a)*len(b) > 1<<20 {
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

// withoutSecrets masks the secrets that docker stores beside its settings, since a whole file may be one line, and escapes
// the rest for a terminal.
func withoutSecrets(line string) string {
	secret := regexp.MustCompile(`("(?i:auth|identitytoken|registrytoken|password|[a-z-]*authorization)"\s*:\s*)"(\\.|[^"\\])*"`)
	line = secret.ReplaceAllString(line, `$1"***"`)
	return protocol.Escape(strings.ReplaceAll(line, "\t", "    "))
}
