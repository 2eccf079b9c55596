package console

import (
	"strings"
	"testing"
)

func TestFolded(t *testing.T) {
	path := "/home/" + strings.Repeat("a", 90)
	word := strings.Repeat("b", 38)
	for _, row := range []struct{ reason, text, want string }{
		{"short", "nothing to change", "nothing to change"},
		{"nothing", "", ""},
		{"just fits", word + " " + word + " cc", word + " " + word + " cc"},
		{"one too long", word + " " + word + " ccc", word + " " + word + "\n  ccc"},
		{"the second line is indented", word + " " + word + " " + word + " " + word, word + " " + word + "\n  " + word + " " + word},
		{"a path is never broken", "see " + path + ": made", "see\n  " + path + ":\n  made"},
		{"letters count, not bytes", strings.Repeat("é", 40) + " " + strings.Repeat("é", 39), strings.Repeat("é", 40) + " " + strings.Repeat("é", 39)},
	} {
		if got := folded(row.text); got != row.want {
			t.Errorf("%s:\n%s\nnot\n%s", row.reason, got, row.want)
		}
	}
}
