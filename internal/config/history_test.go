package config

import (
	"errors"
	"strings"
	"testing"
)

// TestHistorySetting: the last source decides, and a policy decides before all.
func TestHistorySetting(t *testing.T) {
	const profile = "\n[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"git.acme.dev\"]\n"
	for _, row := range []struct {
		machine, user string
		kept          bool
		want          string // in the error of the policy; empty for none
	}{
		{"", "", true, ""},
		{"", "history = false\n", false, ""},
		{"history = false\n", "", false, ""},
		{"history = false\n", "history = true\n", true, ""},
		{"history = true\n", "history = false\n", false, ""},
		{"[policy]\nhistory = false\n", "", false, ""},
		{"[policy]\nhistory = false\n", "history = false\n", false, ""},
		{"[policy]\nhistory = true\n", "", true, ""},
		{"[policy]\n", "history = false\n", false, ""},

		{"[policy]\nhistory = false\n", "history = true\n", false, "user:1:1: history = true: the policy"},
		{"[policy]\nhistory = true\n", "history = false\n", false, "user:1:1: history = false: the policy"},
		{"history = true\n[policy]\nhistory = false\n", "", false, "machine:1:1: history = true: the policy"},
	} {
		merged, err := Merge(mustParse(t, "machine", row.machine), mustParse(t, "user", row.user+profile))
		_, forbidden := errors.AsType[*PolicyError](err)
		switch {
		case row.want != "" && (!forbidden || !strings.Contains(err.Error(), row.want)), row.want == "" && err != nil:
			t.Errorf("%q, %q: %v", row.machine, row.user, err)
		case err == nil && (merged.KeepsHistory() != row.kept || merged.Only("acme").KeepsHistory() != row.kept):
			t.Errorf("%q, %q: %v", row.machine, row.user, merged.KeepsHistory())
		}
	}
	for _, bad := range []string{"history = 1\n", "history = \"no\"\n", "[history]\n", "[history]\nx = 1\n", "history = {}\n", "[[history]]\n", "history.x = true\n",
		"history = true\nhistory = true\n", "[profiles.acme]\nhistory = true\n", "[docker]\nhistory = true\n", "history = [true]\n", "History = true\n", "[policy]\nhistory = 0\n"} {
		if c, err := Parse("user", []byte(bad)); err == nil || !strings.Contains(err.Error(), "user:") {
			t.Errorf("%q: %+v, %v", bad, c, err)
		}
	}
}
