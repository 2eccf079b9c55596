package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedKeys holds the documents' tables and the manual page to the keys of a profile and of a policy: each is there, and
// no other.
func TestDocumentedKeys(t *testing.T) {
	for _, doc := range []struct {
		file, from, to string
		key            *regexp.Regexp // its group is a key
		keys           []string
	}{
		{"../../docs/configuration.md", "## Every key of a profile", "\nWithout a file", regexp.MustCompile("(?m)^\\| `([a-z_]+)`(?: or `([a-z_]+)`)?"), keys()},
		{"../console/manual/config.roff", ".SH PROFILES", ".SH DOCKER", regexp.MustCompile(`(?m)^\\fB([a-z_]+)\\fP =`), keys()},
		{"../../docs/rollout.md", "## Policy", "\n## The tools", regexp.MustCompile("(?m)^\\| `([a-z_]+)`"), policyKeys()},
		{"../console/manual/config.roff", ".SH POLICY", ".SH EXAMPLES", regexp.MustCompile(`(?m)^\\fB([a-z_]+)\\fP =`), policyKeys()},
	} {
		text, err := os.ReadFile(doc.file)
		if err != nil {
			t.Fatal(err)
		}
		_, part, _ := strings.Cut(string(text), doc.from)
		part, _, found := strings.Cut(part, doc.to)
		if !found {
			t.Errorf("%s: no part from %q to %q", doc.file, doc.from, doc.to)
		}
		var got []string
		for _, m := range doc.key.FindAllStringSubmatch(part, -1) {
			got = append(got, slices.DeleteFunc(m[1:], func(s string) bool { return s == "" })...)
		}
		want := slices.Sorted(slices.Values(doc.keys))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s has the keys %q\nwant %q", doc.file, got, want)
		}
	}
}
