package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/testworld"
)

// TestScreens holds what people see to a terminal of 80 columns. -update accepts what has changed.
func TestScreens(t *testing.T) {
	w, _ := wellSetUp(t)
	// What stands on a screen has the length of what it was made from, so that lines break where they would.
	root := fmt.Sprintf("/tmp/clerk-%07d", os.Getpid()%10_000_000)
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("HOME", root)
	issuer := os.Getenv("ISSUER")
	if len(issuer) != len("https://clerk.acme.dev") {
		t.Skipf("the issuer %s has another length than the one on the screens", issuer)
	}
	write(t, filepath.Join(root, ".config/clerk-credential-helper/config.toml"), fmt.Sprintf(`[profiles.acme]
issuer    = %q
client_id = "sandbox-client"
hosts     = ["git.acme.dev", "registry.acme.dev:5000", "*.pkg.acme.dev"]
`, issuer))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clerk-credential-helper", "git-credential-clerk", "docker-credential-clerk"} {
		file := filepath.Join(root, ".local/bin", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, file); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", filepath.Join(root, ".local/bin")+":"+os.Getenv("PATH"))
	steady := func(screen string) string {
		screen = strings.NewReplacer(root, "/home/ada.lovelace", issuer, "https://clerk.acme.dev").Replace(screen)
		screen = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`).ReplaceAllString(screen, "2026-11-24 09:30:00")
		screen = regexp.MustCompile(`\d{4}-\d\d-\d\d\n( +)\d\d:\d\d:\d\d`).ReplaceAllString(screen, "2026-11-24\n${1}09:30:00")
		screen = regexp.MustCompile(`after \d\d:\d\d:\d\d`).ReplaceAllString(screen, "after 09:31:00")
		screen = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(screen, "2026-11-24T09:30:00Z")
		screen = regexp.MustCompile(`\b1\d{9}\b`).ReplaceAllString(screen, "1795512600")
		return regexp.MustCompile(`sha256:[0-9a-f]{12}`).ReplaceAllString(screen, "sha256:5d41402abc4b")
	}
	show := func(name string, status int, args ...string) {
		t.Helper()
		got, screen, words := runHere(args...)
		if got != status {
			t.Errorf("%q: exit status %d, not %d\n%s", args, got, status, words)
		}
		screen = steady(screen)
		for line := range strings.SplitSeq(screen, "\n") {
			// A path is not broken, and kong has words of its own.
			tooLong := len(line) > console.Width && len(strings.Fields(line)) > 2 && !strings.HasPrefix(line, "Run ")
			if tooLong || strings.Contains(line, "\x1b") || strings.TrimRight(line, " ") != line {
				t.Errorf("%s: this line is not for a terminal of %d columns: %q", name, console.Width, line)
			}
		}
		testworld.Golden(t, filepath.Join("testdata", "stdout", name+".txt"), screen)
	}
	show("help", exitOK, "--help")
	show("help-all", exitOK, "help", "--all")
	show("help-exec", exitOK, "exec", "--help")
	show("help-setup", exitOK, "setup", "--help")
	show("status-new", exitOK, "status")
	show("setup-git", exitOK, "setup", "git", "--yes")
	show("setup-docker", exitOK, "setup", "docker", "--yes")
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	show("status", exitOK, "status")
	show("status-check", exitOK, "status", "--check")
	show("help-login", exitOK, "login", "--help")
	show("help-doctor", exitOK, "doctor", "--help")
	show("setup-bazel", exitOK, "setup", "bazel", "--yes")
	show("explain", exitOK, "explain", "https://git.acme.dev/platform/api")
	show("explain-foreign", exitOK, "explain", "https://ghcr.io")
	show("explain-tools", exitOK, "explain", "--tools", "https://git.acme.dev/platform/api")
	show("doctor", exitOK, "doctor")
	show("doctor-verbose", exitOK, "doctor", "--verbose")
	show("logout-all", exitOK, "logout", "--all")
	show("explain-signed-out", exitOK, "explain", "git.acme.dev")
	t.Setenv("CLERK_HELPER_TOKEN", "sk_live_0")
	t.Setenv("PATH", "/usr/bin:/bin")
	w.Clerk.SetIssuer("https://elsewhere.acme.dev")
	show("doctor-broken", exitFailed, "doctor")
}

// oldToken is a JWT that ended long ago. Nobody signed it.
func oldToken(issuer string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"at+jwt"}`)) + "." + encode(fmt.Appendf(nil, `{"iss":%q,"exp":1}`, issuer)) + ".x"
}
