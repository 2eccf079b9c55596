package console

import (
	"bytes"
	"strings"
	"testing"
)

// TestManEscapes: words of the grammar are words on the page, whatever they are.
func TestManEscapes(t *testing.T) {
	for words, want := range map[string]string{
		"a-b":         "a\\-b\n",
		`C:\dir`:      "C:\\edir\n",
		".profile is": "\\&.profile is\n",
		"'quoted'":    "\\&'quoted'\n",
		"two\nlines":  "two lines\n",
		"":            "",
		strings.Repeat("word ", 15) + ".npmrc here": strings.TrimSpace(strings.Repeat("word ", 15)) + "\n\\&.npmrc here\n",
	} {
		var out bytes.Buffer
		page := roff{w: &out}
		page.text(words)
		if out.String() != want {
			t.Errorf("%q: %q, not %q", words, out.String(), want)
		}
	}
}
