package protocol

import (
	"strings"
	"testing"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// TestGitSetting reads what git hands down to its children.
func TestGitSetting(t *testing.T) {
	const key = "credential.interactive"
	for _, row := range []struct {
		reason string
		env    []string
		want   string
		found  bool
	}{
		{"nothing", nil, "", false},
		{"git -c since 2.31", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'='false'"}, "false", true},
		{"git -c before", []string{"GIT_CONFIG_PARAMETERS='credential.interactive=false'"}, "false", true},
		{"a key without a value is true", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'"}, "true", true},
		{"a key with an empty value", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'=''"}, "", true},
		{"another spelling of the key", []string{"GIT_CONFIG_PARAMETERS='Credential.Interactive'='never'"}, "never", true},
		{"among others", []string{"GIT_CONFIG_PARAMETERS='a.b'='c' 'credential.interactive'='0' 'd.e'='f'"}, "0", true},
		{"the last one counts", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'='false' 'credential.interactive'='true'"}, "true", true},
		{"inside another's value", []string{"GIT_CONFIG_PARAMETERS='a.b'='x '\\''credential.interactive'\\''='\\''false'\\'''"}, "", false},
		{"quotes in a value", []string{"GIT_CONFIG_PARAMETERS='a.b'='it'\\''s' 'credential.interactive'='no'"}, "no", true},
		{"a quote without an end", []string{"GIT_CONFIG_PARAMETERS='credential.interactive'='false"}, "false", true},
		{"numbered", []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.interactive", "GIT_CONFIG_VALUE_0=false"}, "false", true},
		{"numbered beyond the count", []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_1=credential.interactive", "GIT_CONFIG_VALUE_1=false"}, "", false},
		{"a count that is none", []string{"GIT_CONFIG_COUNT=many", "GIT_CONFIG_KEY_0=credential.interactive", "GIT_CONFIG_VALUE_0=false"}, "", false},
		{"a count without end", []string{"GIT_CONFIG_COUNT=2000000000", "GIT_CONFIG_KEY_0=credential.interactive"}, "", false},
		{"a count below nothing", []string{"GIT_CONFIG_COUNT=-1"}, "", false},
		{"git -c goes before the numbered", []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.interactive", "GIT_CONFIG_VALUE_0=false", "GIT_CONFIG_PARAMETERS='credential.interactive'='true'"}, "true", true},
		{"a longer key", []string{"GIT_CONFIG_PARAMETERS='credential.interactive2'='false'"}, "", false},
	} {
		if got, found := GitSetting(environment(row.env...), key); got != row.want || found != row.found {
			t.Errorf("%s: %q, %v; want %q, %v", row.reason, got, found, row.want, row.found)
		}
	}
}

// FuzzGitSetting: the value of git's variable is anybody's, and reading it comes to an end.
func FuzzGitSetting(f *testing.F) {
	for _, text := range []string{"'a'='b'", "'a=b' 'c'", `'a'\''b'=c`, "= = '", `\`, "a'b'=''"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for rest, n := text, len(text); rest != ""; n = len(rest) {
			if _, _, rest = cutParameter(rest); len(rest) >= n {
				t.Fatalf("%q leaves %q", text, rest)
			}
		}
	})
}
