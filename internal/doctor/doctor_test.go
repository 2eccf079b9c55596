package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/clerk"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// TestStoreRemedy: each cause has a remedy of its own, and none advises to lose sessions where something else helps.
func TestStoreRemedy(t *testing.T) {
	const folder = "/home/ada/.local/state/clerk-credential-helper"
	for _, row := range []struct {
		reason string
		err    error
		want   string
		not    []string
	}{
		{"mounted read-only", &fs.PathError{Op: "open", Path: folder + "/x", Err: syscall.EROFS},
			"the file system is mounted read-only: mount it for writing, or name a folder elsewhere with XDG_STATE_HOME", []string{"chmod", "remove", "lost"}},
		{"not ours to write", &fs.PathError{Op: "mkdir", Path: folder, Err: fs.ErrPermission},
			"let this user write to that folder: chmod u+rwx", []string{"0700", "remove", "lost"}},
		{"the disk is full", &fs.PathError{Op: "write", Path: folder + "/x", Err: syscall.ENOSPC},
			"make room", []string{"chmod", "remove", "lost"}},
		{"the quota is used up", &fs.PathError{Op: "write", Path: folder + "/x", Err: syscall.EDQUOT},
			"this user's quota is used up", []string{"chmod", "remove", "lost"}},
		{"NFS without locks", &fs.PathError{Op: "lock", Path: folder + "/x.lock", Err: syscall.ENOLCK},
			"mount it with locks, or keep sessions elsewhere, with CLERK_HELPER_STORE=kernel", []string{"chmod", "remove", "lost"}},
		{"a file system without locks at all", &fs.PathError{Op: "lock", Path: folder + "/x.lock", Err: syscall.EOPNOTSUPP},
			"the file system has no locks", []string{"chmod", "remove", "lost"}},
		{"the disk fails", &fs.PathError{Op: "read", Path: folder + "/x", Err: syscall.EIO},
			"see the system's log (dmesg)", []string{"chmod", "remove", "lost"}},
		{"an NFS server has replaced the file", &fs.PathError{Op: "read", Path: folder + "/x", Err: syscall.ESTALE},
			"the server of a network's file system", []string{"chmod", "remove", "lost"}},
		{"too many files are open", &fs.PathError{Op: "open", Path: folder + "/x", Err: syscall.EMFILE},
			"ulimit -n", []string{"chmod", "remove", "lost"}},
		{"open to others", fmt.Errorf("%s %w (mode 0755)", folder, platform.ErrOpen), "chmod 0700", []string{"remove", "lost"}},
		{"another user's", fmt.Errorf("%s %w (1000)", folder, platform.ErrForeign), "sudo chown", []string{"remove", "lost"}},
		{"no folder", fmt.Errorf("%s %w", folder, platform.ErrNoFolder), "move away", []string{"chmod", "lost"}},
		{"no default keyring", fmt.Errorf("signing in: %w", platform.ErrNoKeyring), "CLERK_HELPER_STORE=kernel", []string{"unlock", "chmod", "lost"}},
		{"the session's bus is not there", &platform.UnseenError{Elsewhere: true}, "run it outside the sandbox", []string{"sudo", "login"}},
		{"another bus is", &platform.UnseenError{Elsewhere: true, Bus: "/run/user/1000/bus"}, "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus", []string{"sudo", "login"}},
		{"a Flatpak", &platform.UnseenError{Elsewhere: true, Flatpak: "dev.acme.Editor"}, "flatpak override --user --talk-name=org.freedesktop.secrets dev.acme.Editor", []string{"sudo", "login", "CLERK"}},
		{"root by sudo", &platform.UnseenError{Elsewhere: true, Caller: "1000"}, "run it without sudo", []string{"chown", "login"}},
		{"no sign of another store", &platform.UnseenError{}, "if the session is a desktop's, run it there", []string{"sudo"}},
		{"a sandbox", fmt.Errorf("%w: bus: %w", platform.ErrUnavailable, syscall.EACCES), "let it reach the session's keychain", []string{"chmod", "lost"}},
		{"a home that is read-only, in a message of ours", fmt.Errorf("locking: %w", &fs.PathError{Op: "mkdir", Path: folder, Err: syscall.EROFS}), "the file system is mounted read-only", []string{"chmod"}},
		{"no HOME", fmt.Errorf("finding the state folder: %w", platform.ErrNoHome), "set HOME", []string{"chmod"}},
		{"a user of no database", fmt.Errorf("finding a place for locks: %w", platform.ErrNoUser), "CLERK_HELPER_STORE=file", []string{"chmod", "sudo"}},
		{"locked", platform.ErrLocked, "unlock the keychain", []string{"chmod", "lost"}},
		{"each access is confirmed", fmt.Errorf("reading: %w", platform.ErrConfirm), "Confirm when passwords are retrieved by clients", []string{"unlock", "chmod", "lost"}},
		{"no keyring", fmt.Errorf("signing in: %w, and the prompt was dismissed", platform.ErrNoKeyring), "CLERK_HELPER_STORE=kernel", []string{"unlock", "lost"}},
		{"any other error", errors.New("input/output error"), "CLERK_HELPER_STORE", []string{"chmod", "remove", "lost"}},
	} {
		got := storeRemedyTo(false, row.err)
		if !strings.Contains(got, row.want) {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
		for _, not := range row.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: %q holds %q", row.reason, got, not)
			}
		}
	}
}

// TestFaultHints: a command that meets a fault says what ends it, and not that a sign-in would, which does not.
func TestFaultHints(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.ENOLCK, syscall.EMFILE} {
		fault := &fs.PathError{Op: "write", Path: "session.json", Err: errno}
		for reason, err := range map[string]error{
			"a refresh":                          &broker.RefreshError{Profile: "acme", Err: fault},
			"a refresh of another process":       &broker.RefreshError{Profile: "acme", Err: platform.FaultOf(errno)},
			"a sign-in":                          &broker.SignInError{Profile: "acme", Err: fault},
			"a sign-in that another process has": &broker.SignInError{Profile: "acme", Err: fmt.Errorf("the keychain failed: %w", platform.FaultOf(errno))},
			"a logout":                           fmt.Errorf("locking the session of profile %q: %w", "acme", fault),
			"a machine's token":                  fmt.Errorf("waiting for the machine's token of profile %q: %w", "acme", fault),
		} {
			if got := Hint(err); got != faultRemedy(platform.FaultOf(errno)) || strings.Contains(got, "login") {
				t.Errorf("%s, %v: %q", reason, errno, got)
			}
		}
	}
}

// TestRootTakesNothing: root, who could take any file from any person, is never told to.
func TestRootTakesNothing(t *testing.T) {
	const folder = "/home/ada/.local/state/clerk-credential-helper"
	for _, row := range []struct {
		reason string
		err    error
	}{
		{"a folder of a person's", fmt.Errorf("%s %w (1000)", folder, platform.ErrForeign)},
		{"what would be made below one", &platform.PlaceError{Path: "/home/ada", Owner: 1000}},
		{"in a message of ours", fmt.Errorf("keeping the session of profile %q: %w", "acme", &platform.PlaceError{Path: "/home/ada", Owner: 1000})},
		{"a configuration of a person's", &config.Error{Err: fmt.Errorf("/home/ada/.config %w (1000)", platform.ErrForeign)}},
	} {
		for _, got := range []string{storeRemedyTo(true, row.err), hintTo(true, row.err)} {
			if !strings.HasPrefix(got, "run it without sudo") || strings.Contains(got, "chown") || strings.Contains(got, "chmod") {
				t.Errorf("%s: %q", row.reason, got)
			}
		}
	}
	if got := hintTo(false, &platform.PlaceError{Path: "/home/ada", Owner: 1000, User: 1001}); !strings.HasPrefix(got, "set HOME to") {
		t.Errorf("a user with the HOME of another: %q", got)
	}
}

// TestHintOnBadGround: what keeps a sign-in or a refresh from the issuer has a remedy in each place where it is met.
func TestHintOnBadGround(t *testing.T) {
	post := func(err error) error {
		return fmt.Errorf("token endpoint: %w", &url.Error{Op: "Post", URL: "https://clerk.acme.dev/oauth/token", Err: err})
	}
	for _, row := range []struct {
		reason string
		err    error
		want   string
	}{
		{"a proxy that wants a password", &clerk.ProxyError{Status: 407}, "http://USER:PASSWORD@"},
		{"a proxy that refuses", &clerk.ProxyError{Status: 302}, "correct HTTPS_PROXY"},
		{"no address of a proxy", &clerk.ProxyError{Err: clerk.ErrProxyAddress}, "write it as http://proxy.acme.dev:3128"},
		{"a caller whose time is over", broker.ErrStillWaiting, "try again in a moment"},
		{"no answer", post(errors.New("no answer in time")), "doctor tries it"},
		{"a certificate of another time", x509.CertificateInvalidError{Reason: x509.Expired}, "if this machine's clock is wrong"},
		{"a certificate of another host", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "clerk.acme.dev"}, "captive portal"},
		{"a clock that is wrong", clerk.ErrClock, "set this machine's clock"},
	} {
		for _, err := range []error{
			&broker.SignInError{Profile: "acme", Err: post(row.err)}, &broker.RefreshError{Profile: "acme", Err: row.err},
			fmt.Errorf("getting a machine's token for profile %q: %w", "acme", post(row.err)),
		} {
			if row.reason == "no answer" {
				if _, sent := errors.AsType[*broker.SignInError](err); sent {
					continue // it is ErrUnreachable there
				}
			}
			if hint := Hint(err); !strings.Contains(hint, row.want) {
				t.Errorf("%s: the hint for %q is %q, want %q", row.reason, err, hint, row.want)
			}
		}
	}
}

// TestHintNamesProfile: where the profile is known, the command that helps names it: with two profiles the bare one is
// refused.
func TestHintNamesProfile(t *testing.T) {
	for reason, err := range map[string]error{
		"damaged":           &broker.ItemError{Profile: "acme", Err: broker.ErrDamaged},
		"of another format": fmt.Errorf("logging out: %w", &broker.ItemError{Profile: "acme", Err: broker.ErrUnreadable}),
		"a sign-in":         &broker.NeedsSignInError{Profile: "acme", Reason: errors.New("CI is set")},
		"signed out":        &broker.NeedsSignInError{Profile: "acme", Reason: broker.ErrSignedOut},
		"no browser":        &broker.SignInError{Profile: "acme", Err: platform.ErrNoBrowser},
		"came to nothing":   &broker.SignInError{Profile: "acme", Err: errors.New("access was denied")},
	} {
		if got := Hint(err); !strings.HasSuffix(got, "clerk-credential-helper login acme") {
			t.Errorf("%s: %q", reason, got)
		}
	}
}

// TestFixLink makes the link that install.sh makes, where nothing is in its place.
func TestFixLink(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "clerk-credential-helper")
	if err := os.WriteFile(self, []byte(""), 0o600); err != nil {
		t.Fatal(err)
	}
	_, repairs := notInPath(self, "git-credential-clerk")
	if len(repairs) != 1 || repairs[0].do() != nil {
		t.Fatalf("%+v", repairs)
	}
	link := filepath.Join(dir, "git-credential-clerk")
	if to, err := os.Readlink(link); err != nil || to != "clerk-credential-helper" {
		t.Errorf("it leads to %q, %v", to, err)
	}
	remedy, repairs := notInPath(self, "git-credential-clerk")
	if repairs != nil || !strings.Contains(remedy, `export PATH="`+dir+`:$PATH"`) {
		t.Errorf("the folder is all that is missing in the PATH: %q, %+v", remedy, repairs)
	}
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-clerk"), []byte("the user's own"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, repairs := notInPath(self, "docker-credential-clerk"); repairs != nil {
		t.Errorf("the user's own program would be replaced: %+v", repairs)
	}
	if _, repairs := notInPath(filepath.Join(dir, "another-name"), "cargo-credential-clerk"); repairs != nil {
		t.Errorf("a link to nothing would be made: %+v", repairs)
	}
}

// TestRemedyHere: where the keychain cannot ask, or may not be asked, there is another remedy than at a desktop.
func TestRemedyHere(t *testing.T) {
	denied := fmt.Errorf("%w: bus: %w", platform.ErrUnavailable, fs.ErrPermission)
	for _, row := range []struct {
		reason  string
		err     error
		flatpak string
		ssh     bool
		want    string // part of it; empty: the usual remedy is right
	}{
		{"locked, over SSH", fmt.Errorf("reading: %w", platform.ErrLocked), "", true, "CLERK_HELPER_STORE=kernel clerk-credential-helper login"},
		{"no keyring, over SSH", platform.ErrNoKeyring, "", true, "CLERK_HELPER_STORE=kernel clerk-credential-helper login"},
		{"a Flatpak that may see the service and not talk to it", denied, "dev.acme.Editor", false, "flatpak override --user --talk-name=org.freedesktop.secrets dev.acme.Editor"},

		{"confirmed, over SSH", platform.ErrConfirm, "", true, "Confirm when passwords are retrieved by clients"},

		{"locked, at the desktop", platform.ErrLocked, "", false, ""},
		{"another sandbox", denied, "", false, ""},
		{"not there, in a Flatpak", platform.ErrUnavailable, "dev.acme.Editor", false, ""},
		{"another error, over SSH", platform.ErrUnavailable, "", true, ""},
	} {
		got := remedyHere(row.err, row.flatpak, row.ssh)
		if !strings.Contains(got, row.want) || (got == "") != (row.want == "") {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
	}
	t.Setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
	if got := Hint(platform.ErrLocked); !strings.HasPrefix(got, "over SSH") {
		t.Errorf("Hint over SSH: %q", got)
	}
	t.Setenv("SSH_CONNECTION", "")
	if got := Hint(platform.ErrLocked); !strings.HasPrefix(got, "unlock the keychain") {
		t.Errorf("Hint at a desktop: %q", got)
	}
}
