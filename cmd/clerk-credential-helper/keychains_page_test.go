package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestKeychainsPage: docs/keychains.md has a row for each keychain, and each row names tests that are there. What was tried with
// each keyring is a test, or a reason.
func TestKeychainsPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "keychains.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testsOf(t)
	named := regexp.MustCompile(`\b(?:[a-z][\w-]*\.)?Test[A-Z]\w+`)
	for _, name := range named.FindAllString(string(text), -1) {
		if why := unheld(name, tests); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
	_, table, ok := strings.Cut(string(text), "| store | who else sees it | what locks it | how long it lives | held by |\n|---|---|---|---|---|\n")
	if !ok {
		t.Fatal("there is no such table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 5 || !named.MatchString(cells[4]) {
			t.Errorf("no cell for each column, or no test: %s", row)
		}
	}
	_, tried, ok := strings.Cut(string(text), "| | GNOME Keyring 42.1")
	if !ok {
		t.Fatal("there is no table of the keyrings that were tried")
	}
	tried, _, _ = strings.Cut(tried, "\n\n")
	for _, row := range strings.Split(tried, "\n")[2:] {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		if len(cells) != 6 {
			t.Errorf("no cell for each keyring: %s", row)
		}
		for _, cell := range cells[1:] {
			if !named.MatchString(cell) && len(strings.Fields(cell)) < 5 {
				t.Errorf("neither a test nor a reason: %q", cell)
			}
		}
	}
	for _, store := range []string{"GNOME Keyring", "kwalletd5", "kwalletd6", "ksecretd", "KeePassXC", "pass", "the kernel's keyring",
		"a file", "macOS keychain", "Windows Credential Manager"} {
		if !strings.Contains(table, store) {
			t.Errorf("there is no row for %s", store)
		}
	}
}
