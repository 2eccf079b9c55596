package main

import (
	"clerk-credential-helper/internal/testworld"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree is what is below a folder: of each path the owner, mode, size and time of its last change.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		info, lstat := os.Lstat(path)
		if err := errors.Join(err, lstat); err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		all[path] = fmt.Sprintf("%d:%d %v %d %v", owner.Uid, owner.Gid, info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRootInAPersonsHome: one call as root with a person's HOME, as sudo makes it on many systems, changes nothing there.
func TestRootInAPersonsHome(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can play root")
	}
	_, home := wellSetUp(t)
	for _, name := range []string{"CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "BUILDKITE", "KUBECONFIG"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	text, err := os.ReadFile(filepath.Join(home, ".config/clerk-credential-helper/config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	// Root has a configuration of its own: otherwise nearly every call would end at the person's, which root does not trust.
	ours := filepath.Join(t.TempDir(), "config.toml")
	write(t, ours, string(text)+"[profiles.ci]\nissuer = \""+os.Getenv("ISSUER")+"\"\nmachine = true\nhosts = [\"ci.acme.dev\"]\n")
	if status, _, words := runHere("login"); status != exitOK { // the person has a session
		t.Fatal(words)
	}
	write(t, filepath.Join(home, stateBelow, "failures", "git.json"), "{}")
	write(t, filepath.Join(home, "app", "package.json"), `{"dependencies": {"next": "16.0.0", "@clerk/nextjs": "7.0.0"}}`)
	write(t, filepath.Join(home, "app", "app", "layout.tsx"), "")
	if err := os.Chmod(filepath.Join(home, stateBelow, "failures"), 0o755); err != nil { // for doctor --fix
		t.Fatal(err)
	}
	browser := filepath.Join(filepath.Dir(ours), "browser")
	write(t, browser, "#!/bin/sh\n: >\"$HOME/profile\"\n")
	chmod(t, browser, 0o700)
	const ada = 4242
	given := func() {
		err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(path, ada, ada)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	const gitIn, dockerIn = "protocol=https\nhost=git.acme.dev\n\n", "registry.acme.dev"
	for _, row := range []struct {
		reason string
		args   []string
		env    string
		stdin  string
	}{
		{"a tool's failure is remembered", []string{"git-credential-clerk", "get"}, "CLERK_HELPER_CONFIG=", gitIn},
		{"a session is wanted", []string{"git-credential-clerk", "get"}, "", gitIn},
		{"in the kernel's keyring", []string{"git-credential-clerk", "get"}, "CLERK_HELPER_STORE=none", gitIn},
		{"a token was refused", []string{"git-credential-clerk", "erase"}, "", gitIn},
		{"docker", []string{"docker-credential-clerk", "get"}, "", dockerIn},
		{"docker stores", []string{"docker-credential-clerk", "store"}, "", `{"ServerURL":"https://other.dev","Username":"u","Secret":"s"}`},
		{"bazel", []string{"clerk-credential-helper", "bazel", "get"}, "", `{"uri":"https://git.acme.dev/x"}`},
		{"a machine's token would be kept", []string{"clerk-credential-helper", "token", "ci"}, "CLERK_MACHINE_SECRET_KEY=ak_sandbox_machine", ""},
		{"a trace", []string{"git-credential-clerk", "get"}, "CLERK_HELPER_TRACE=" + home + "/trace", gitIn},
		{"a trace in a file of the person's", []string{"git-credential-clerk", "get"}, "CLERK_HELPER_TRACE=" + home + "/.gitconfig", gitIn},
		{"the person's files of exec", []string{"clerk-credential-helper", "exec", "--file", "F", "--profile", "acme", "--", "true"}, "CLERK_HELPER_TOKEN=opaque", ""},
		{"exec for npm", []string{"clerk-credential-helper", "exec", "--for", "npm", "--profile", "acme", "--", "true"}, "CLERK_HELPER_TOKEN=opaque", ""},
		{"a sign-in", []string{"clerk-credential-helper", "login", "acme"}, "", ""},
		{"a sign-in without a store", []string{"clerk-credential-helper", "login", "acme"}, "CLERK_HELPER_STORE=none", ""},
		{"a sign-in whose session is kept elsewhere, by a browser that writes", []string{"clerk-credential-helper", "login", "--timeout", "1s", "acme"},
			"XDG_STATE_HOME=" + filepath.Dir(ours) + " BROWSER=" + browser, ""},
		{"a given token", []string{"clerk-credential-helper", "login", "--with-token", "acme"}, "", "opaque"},
		{"a sign-out", []string{"clerk-credential-helper", "logout", "acme"}, "", ""},
		{"all sign-outs", []string{"clerk-credential-helper", "logout", "--all"}, "", ""},
		{"a look", []string{"clerk-credential-helper", "status"}, "", ""},
		{"a look at the issuer", []string{"clerk-credential-helper", "status", "--check"}, "", ""},
		{"why", []string{"clerk-credential-helper", "explain", "git.acme.dev"}, "", ""},
		{"the last failures", []string{"clerk-credential-helper", "last-error"}, "", ""},
		{"setup of git", []string{"clerk-credential-helper", "setup", "git", "--yes"}, "", ""},
		{"of docker", []string{"clerk-credential-helper", "setup", "docker", "--yes"}, "", ""},
		{"of kubectl, whose file is new", []string{"clerk-credential-helper", "setup", "kubectl", "--yes"}, "", ""},
		{"of pip", []string{"clerk-credential-helper", "setup", "pip", "--yes"}, "", ""},
		{"its undoing", []string{"clerk-credential-helper", "unset", "git", "--yes"}, "", ""},
		{"a configuration", []string{"clerk-credential-helper", "setup", "--yes"}, "CLERK_HELPER_CONFIG=" + home + "/new.toml", ""},
		{"the companion page", []string{"clerk-credential-helper", "companion", "add", home + "/app"}, "", ""},
		{"its upgrade", []string{"clerk-credential-helper", "companion", "add", "--upgrade", home + "/app"}, "", ""},
		{"repairs", []string{"clerk-credential-helper", "doctor", "--fix", "--yes"}, "", ""},
		{"repairs by sudo", []string{"clerk-credential-helper", "doctor", "--fix", "--yes"}, "SUDO_UID=4242", ""},
		{"repairs of the person's configuration", []string{"clerk-credential-helper", "doctor", "--fix", "--yes"}, "CLERK_HELPER_CONFIG=", ""},
	} {
		for _, state := range []string{"the person's", "missing", "root's"} { // as earlier releases left it
			t.Run(row.reason+", the state is "+state, func(t *testing.T) {
				given()
				switch local := filepath.Join(home, ".local"); state {
				case "root's":
					err := filepath.WalkDir(local, func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(path, 0, 0)) })
					if err != nil {
						t.Fatal(err)
					}
				case "missing":
					if err := os.Rename(local, home+"-kept"); err != nil {
						t.Fatal(err)
					}
					defer func() {
						if err := errors.Join(os.RemoveAll(local), os.Rename(home+"-kept", local)); err != nil {
							t.Fatal(err)
						}
					}()
				}
				t.Setenv("CLERK_HELPER_CONFIG", ours)
				for variable := range strings.FieldsSeq(row.env) {
					name, value, _ := strings.Cut(variable, "=")
					t.Setenv(name, value)
				}
				before := tree(t, home)
				program, err := exec.LookPath(row.args[0])
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(program, row.args[1:]...)
				cmd.Args[0] = row.args[0]
				cmd.Stdin = strings.NewReader(row.stdin)
				out, _ := cmd.CombinedOutput() // the status is another test's
				after := tree(t, home)
				if !maps.Equal(before, after) {
					for path, is := range after {
						if before[path] != is {
							t.Errorf("%s: was %q, is %q", path, before[path], is)
						}
					}
					for path := range before {
						if after[path] == "" {
							t.Errorf("%s is gone", path)
						}
					}
					t.Logf("%s", out)
				}
				if words := string(out); strings.Contains(words, "chown") || strings.Contains(words, "chmod") || strings.Contains(words, "rm /") {
					t.Errorf("root is told to take a person's files:\n%s", words)
				}
				if slices.Contains(row.args, "doctor") && !strings.Contains(string(out), "run it without sudo") {
					t.Errorf("doctor:\n%s", out)
				}
			})
		}
	}
}

// TestOtherUsers: what users hear who are not root, at home and elsewhere.
func TestOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run programs as other users")
	}
	const ada, bob = 4242, 4243
	program := testworld.OpenToAll(t)
	_, home := wellSetUp(t)
	for _, name := range []string{"CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "SUDO_UID", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	for folder := filepath.Dir(home); folder != filepath.Dir(os.TempDir()) && folder != os.TempDir(); folder = filepath.Dir(folder) {
		chmod(t, folder, 0o755)
	}
	owned := func(folder string, uid int) {
		t.Helper()
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(path, uid, uid)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	owned(home, ada)
	as := func(uid int, stdin string, args ...string) string {
		cmd := exec.Command(program, args[1:]...)
		cmd.Args[0], cmd.Dir, cmd.Stdin = args[0], "/", strings.NewReader(stdin)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		out, _ := cmd.CombinedOutput()
		return strings.Join(strings.Fields(string(out)), " ")
	}
	contains := func(what, words string, wanted ...string) {
		t.Helper()
		for _, want := range wanted {
			if is := !strings.HasPrefix(want, "!"); strings.Contains(words, strings.TrimPrefix(want, "!")) != is {
				t.Errorf("%s: want %q in\n%s", what, want, words)
			}
		}
	}
	const self, gitIn = "clerk-credential-helper", "protocol=https\nhost=git.acme.dev\n\n"

	// What earlier releases have left to root, the person is told of.
	local := filepath.Join(home, ".local")
	if err := os.Mkdir(local, 0o700); err != nil {
		t.Fatal(err)
	}
	remedy := `-> sudo chown -R "$(id -un)" ` + local + " "
	contains("root has made ~/.local", as(ada, "", self, "doctor"), "FAILED files: "+local+" belongs to another user", remedy)
	write(t, filepath.Join(home, stateBelow, "failures", "git.json"), "{}")
	owned(local, ada)
	failures := filepath.Join(home, stateBelow, "failures")
	owned(failures, 0)
	contains("root has made the failures' folder", as(ada, "", self, "doctor"), "FAILED files: "+failures+" belongs to another user", failures+" ")
	owned(local, ada)
	contains("all is theirs", as(ada, "", self, "doctor"), "!belongs to another user")

	// One person in the home of another, which is open to all.
	for _, folder := range []string{home, filepath.Join(home, ".config"), filepath.Join(home, stateBelow)} {
		chmod(t, folder, 0o777)
	}
	before := tree(t, home)
	for _, args := range [][]string{{"git-credential-clerk", "get"}, {self, "login"}, {self, "last-error"}, {self, "logout", "--all"}, {self, "setup", "git", "--yes"}} {
		as(bob, gitIn, args...)
	}
	contains("in the home of another", as(bob, "", self, "doctor", "--fix", "--yes"), "FAILED user: HOME is "+home+": "+home+" belongs to another user (4242)", "!chown", "!chmod")
	if after := tree(t, home); !maps.Equal(before, after) {
		t.Errorf("it was changed: %v\n%v", before, after)
	}
	for _, folder := range []string{home, filepath.Join(home, ".config"), filepath.Join(home, stateBelow)} {
		chmod(t, folder, 0o700)
	}

	// A folder that is not the person's to close.
	store := filepath.Join(filepath.Dir(home), "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(home, ".config", self, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(store, "config.toml"), string(text))
	chmod(t, filepath.Join(store, "config.toml"), 0o444)
	chmod(t, store, 0o775)
	t.Setenv("CLERK_HELPER_CONFIG", filepath.Join(store, "config.toml"))
	contains("root's store, which its group may write", as(ada, "", self, "doctor"), "store may be written by others (mode 0775)", "have its administrator look at it", "!chmod go-w")
	chmod(t, store, 0o775|fs.ModeSticky)
	contains("as Nix has it", as(ada, "", self, "doctor", "--verbose"), "ok configuration: acme")
	t.Setenv("CLERK_HELPER_CONFIG", "")

	// A user of no database, without a session of the system.
	t.Setenv("CLERK_HELPER_STORE", "kernel")
	const nowhere = "user 4242 is not in the user database (/usr/bin/getent knows no such user), and there is no /run/user/4242"
	contains("a sign-in", as(ada, "", self, "login"), nowhere, "hint: CLERK_HELPER_STORE=file")
	contains("doctor", as(ada, "", self, "doctor"), "no /run/user/4242", "-> CLERK_HELPER_STORE=file")
}
