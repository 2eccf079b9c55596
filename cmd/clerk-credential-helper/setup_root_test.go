package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSetupUnderSudo is the same with real files, where the test may give some to another user.
func TestSetupUnderSudo(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can play sudo")
	}
	_, home := wellSetUp(t)
	const other = 4242
	write(t, filepath.Join(home, ".gitconfig"), "[user]\n\tname = Ada\n")
	err := filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, other, other))
	})
	if err != nil {
		t.Fatal(err)
	}
	// The configuration is the other's and is not read by root; the environment brings one.
	t.Setenv("CLERK_HELPER_CONFIG", filepath.Join(t.TempDir(), "config.toml"))
	write(t, os.Getenv("CLERK_HELPER_CONFIG"), "[profiles.acme]\nissuer=\"https://clerk.acme.dev\"\nclient_id=\"x\"\nhosts=[\"git.acme.dev\"]\n")
	t.Setenv("KUBECONFIG", "")
	t.Setenv("SUDO_UID", "4242")
	before, err := os.ReadFile(filepath.Join(home, ".gitconfig"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"setup", "git", "--yes"}, {"setup", "kubectl", "--yes"}, {"setup", "pip", "--yes"}, {"setup", "bazel", "--yes"}} {
		status, _, words := runHere(args...)
		if status != exitUsage || !strings.Contains(words, "would be root's") || !strings.Contains(words, "hint: run it without sudo") {
			t.Errorf("%q: %d %s", args, status, words)
		}
	}
	if status, out, words := runHere("setup", "git", "--dry-run"); status != exitOK || !strings.Contains(out, "+    helper = clerk") {
		t.Errorf("a look is free: %d %s", status, words)
	}
	if after, err := os.ReadFile(filepath.Join(home, ".gitconfig")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it was changed: %v\n%s", err, after)
	}
	for _, name := range []string{".kube", ".bazelrc", ".gitconfig.clerk-backup"} {
		if _, err := os.Lstat(filepath.Join(home, name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	t.Setenv("SUDO_UID", "")
	t.Setenv("GITHUB_ACTIONS", "")
	if status, _, words := runHere("setup", "kubectl", "--yes"); status != exitUsage || !strings.Contains(words, "would be root's") {
		t.Errorf("without sudo, with the HOME of a person: %d %s", status, words)
	}
	t.Setenv("CI", "true") // a build service mounts a home of its own user's
	if status, _, words := runHere("setup", "kubectl", "--yes"); status != exitOK {
		t.Errorf("as a job: %d %s", status, words)
	}
}
