package config

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPathVariable: tools run in folders with foreign content, so that a relative name would have a clone decide.
func TestPathVariable(t *testing.T) {
	absolute := filepath.Join(t.TempDir(), "a file")
	for _, row := range []struct{ reason, value, want string }{
		{"not set", "", ""},
		{"absolute", absolute, absolute},
		{"a name", "clerk.toml", "error"},
		{"a name below the folder", "./clerk.toml", "error"},
		{"a name above the folder", "../clerk.toml", "error"},
		{"the shell's tilde, which it leaves alone in quotes", "~/clerk.toml", "error"},
		{"a blank before it", " " + absolute, "error"},
		{"a word", "true", "error"},
		{"the folder itself", ".", "error"},
		{"a URL", "file:///etc/x", "error"},
		{"with characters that terminals obey", "\x1b[2J", "error"},
	} {
		got, err := PathVariable(func(name string) string {
			if name != "CLERK_HELPER_X" {
				t.Errorf("asked for %q", name)
			}
			return row.value
		}, "CLERK_HELPER_X")
		if row.want != "error" {
			if got != row.want || err != nil {
				t.Errorf("%s: %q, %v", row.reason, got, err)
			}
			continue
		}
		if got != "" || err == nil || !strings.Contains(err.Error(), "CLERK_HELPER_X is ") || !strings.Contains(err.Error(), "write an absolute path") ||
			strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %q, %v", row.reason, got, err)
		}
	}
}
