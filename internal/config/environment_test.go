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

// TestTrimmed: a build service, a secret store or a here-document leaves a line end behind a value, and no more is taken off.
func TestTrimmed(t *testing.T) {
	for _, row := range []struct{ reason, name, value, want string }{
		{"nothing to take off", "CLERK_HELPER_TOKEN", "oat_1", "oat_1"},
		{"a line end", "CLERK_HELPER_TOKEN", "oat_1\n", "oat_1"},
		{"a line end of Windows", "CLERK_MACHINE_SECRET_KEY", "ak_1\r\n", "ak_1"},
		{"a line end and nothing else", "CLERK_MACHINE_SECRET_KEY", "\n", ""},
		{"of a profile's name too", "CLERK_HELPER_PROFILE", "ci\n", "ci"},
		{"only one", "CLERK_HELPER_TOKEN", "oat_1\n\n", "oat_1\n"},
		{"not before it", "CLERK_HELPER_TOKEN", "\noat_1", "\noat_1"},
		{"no blank", "CLERK_HELPER_TOKEN", "oat_1 ", "oat_1 "},
		{"no carriage return alone", "CLERK_HELPER_TOKEN", "oat_1\r", "oat_1\r"},
		{"no variable of others", "HOME", "/home/ada\n", "/home/ada\n"},
	} {
		getenv := Trimmed(func(name string) string {
			if name != row.name {
				t.Errorf("asked for %q", name)
			}
			return row.value
		})
		if got := getenv(row.name); got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
	}
}
