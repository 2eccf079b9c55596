package console

import (
	"os"
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
		if got := folded(row.text, Width); got != row.want {
			t.Errorf("%s:\n%s\nnot\n%s", row.reason, got, row.want)
		}
	}
}

// TestReadable: lines follow a terminal within the limits of what people read well.
func TestReadable(t *testing.T) {
	for columns, want := range map[int]int{20: 60, 60: 60, 72: 72, 80: 80, 100: 100, 101: 100, 250: 100} {
		if got := readable(columns); got != want {
			t.Errorf("a terminal of %d columns has lines of %d, not %d", columns, got, want)
		}
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, stream := range []any{file, &strings.Builder{}, nil} {
		if got := Columns(stream); got != Width {
			t.Errorf("%T, which is no terminal, has lines of %d", stream, got)
		}
	}
}

// TestFoldLines: what is to be copied stays in one piece.
func TestFoldLines(t *testing.T) {
	long := strings.Repeat("word ", 13) + "end"
	for _, row := range []struct{ reason, text, want string }{
		{"a message of two lines", long + "\nhint: x\n", strings.Repeat("word ", 11) + "word\n  word end\nhint: x\n"},
		{"a command", "  " + long + "\n", "  " + long + "\n"},
		{"an empty line", "a\n\nb\n", "a\n\nb\n"},
	} {
		if got := foldLines(row.text, 60); got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
	}
}
