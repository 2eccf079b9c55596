package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// bullets are the items of a list below a heading, each on one line.
func bullets(t *testing.T, file, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no %q", file, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for _, item := range strings.Split("\n"+section, "\n- ")[1:] {
		item, _, _ = strings.Cut(item, "\n\n")
		all = append(all, strings.Join(strings.Fields(item), " "))
	}
	return all
}

// unheld returns why a name of a test, alone or as package.Test, holds nothing. tests has the packages of each test. A test of
// internal/sandbox shows what the stand-in for Clerk does, not what the program does.
func unheld(name string, tests map[string][]string) string {
	pkg, test, named := strings.Cut(name, ".")
	if !named {
		pkg, test = "", name
	}
	in := tests[test]
	switch {
	case len(in) == 0, named && !slices.Contains(in, pkg):
		return "there is no such test"
	case !named && len(in) > 1:
		return "it is in " + strings.Join(in, ", ") + ": write the package before it"
	case pkg == "sandbox", len(in) == 1 && in[0] == "sandbox":
		return "it tests the sandbox alone"
	}
	return ""
}

func TestUnheld(t *testing.T) {
	tests := map[string][]string{"TestVerify": {"clerk"}, "TestFaults": {"sandbox"}, "TestRevoke": {"clerk", "sandbox"}}
	for name, want := range map[string]string{
		"TestVerify": "", "clerk.TestVerify": "", "clerk.TestRevoke": "",
		"TestMissing": "there is no such test", "broker.TestVerify": "there is no such test",
		"TestRevoke": "it is in clerk, sandbox: write the package before it",
		"TestFaults": "it tests the sandbox alone", "sandbox.TestFaults": "it tests the sandbox alone", "sandbox.TestRevoke": "it tests the sandbox alone",
	} {
		if got := unheld(name, tests); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
}

// testsOf returns the packages of each test of the tree, by their folders' names.
func testsOf(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..")
	tests := map[string][]string{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(code, -1) {
			name, pkg := string(found[1]), filepath.Base(filepath.Dir(path))
			if !slices.Contains(tests[name], pkg) { // it may be there once for each system
				tests[name] = append(tests[name], pkg)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// TestSecurityPage: docs/security.md names only tests of the program that are there, and has a row for each claim of README.md
// and SECURITY.md.
func TestSecurityPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testsOf(t)
	for _, name := range regexp.MustCompile(`\b(?:[a-z][\w-]*\.)?(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(text), -1) {
		if why := unheld(name, tests); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
	for kind, folder := range map[string]string{"script ": "testdata/script", "companion: ": "../../companion/testing"} {
		for _, found := range regexp.MustCompile(kind+`([a-z][a-z-]+)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(folder, found[1]+".txtar")); err != nil {
				if _, err := os.Stat(filepath.Join(folder, found[1])); err != nil {
					t.Errorf("there is no %s%s", kind, found[1])
				}
			}
		}
	}
	var claims []string
	_, table, _ := strings.Cut(string(text), "| claim | held by |")
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(row, " | ")
		if claim, ok := strings.CutPrefix(cells[0], "| "); ok && len(cells) == 2 && strings.ContainsAny(cells[1], "TF") || ok && strings.Contains(row, "script ") {
			claims = append(claims, claim)
		}
	}
	made := append(bullets(t, "README.md", "## Security"), bullets(t, "SECURITY.md", "## What is promised")...)
	used := map[string]bool{}
	for _, bullet := range made {
		held := strings.Contains(bullet, "(SECURITY.md)") // not a claim
		for _, claim := range claims {
			if strings.HasPrefix(bullet, claim) {
				held, used[claim] = true, true
			}
		}
		if !held {
			t.Errorf("docs/security.md has no row for the claim %q", bullet)
		}
	}
	for _, claim := range claims {
		if !used[claim] {
			t.Errorf("neither README.md nor SECURITY.md claims %q", claim)
		}
	}
}
