package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

// TestSecurityPage: docs/security.md names only tests that are there, and has a row for each claim of README.md and
// SECURITY.md.
func TestSecurityPage(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(code, -1) {
			tests[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(text), -1) {
		if !tests[name] {
			t.Errorf("there is no test %s", name)
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
