package main

import (
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/console"

	"github.com/alecthomas/kong"
)

// TestExamples: the help of each command ends with an example, and each is one that the grammar takes.
func TestExamples(t *testing.T) {
	parser, err := kong.New(&commands{}, grammar()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Leaves(true) {
		examples := console.Examples(node.Path())
		if node.Hidden != (examples == nil) {
			t.Errorf("%s has the examples %q", node.Path(), examples)
		}
		for _, example := range examples {
			_, rest, ok := strings.Cut(example, "clerk-credential-helper")
			words := strings.Fields(rest)
			if end := slices.IndexFunc(words, func(word string) bool {
				return word == "|" || word == ">" || strings.HasSuffix(word, ")") || strings.HasSuffix(word, "'")
			}); end >= 0 {
				words = append(words[:end:end], strings.TrimRight(words[end], "|>)'"))
			}
			words = slices.DeleteFunc(words, func(word string) bool { return word == "" })
			if _, err := parser.Parse(words); !ok || err != nil {
				t.Errorf("%s: %q: %v", node.Path(), words, err)
			}
		}
	}
}

// TestWhereHelpIs: a mistake in a command leads to the help of that command.
func TestWhereHelpIs(t *testing.T) {
	const all = "clerk-credential-helper help --all lists the commands"
	for _, row := range []struct {
		reason string
		args   []string
		hint   string
	}{
		{"a flag", []string{"status", "--jsn"}, "clerk-credential-helper status --help"},
		{"a flag of a command below another", []string{"companion", "add", "--nope"}, "clerk-credential-helper companion add --help"},
		{"the second word is missing", []string{"companion"}, "clerk-credential-helper companion --help"},
		{"an argument is missing", []string{"explain"}, "clerk-credential-helper explain --help"},
		{"flags that exclude each other", []string{"doctor", "--yes"}, "clerk-credential-helper doctor --help"},
		{"a word of no command", []string{"frobnicate"}, all},
		{"a flag of none", []string{"--frobnicate"}, all},
	} {
		status, out, words := runHere(row.args...)
		if status != exitUsage || out != "" || !strings.HasSuffix(words, "\nhint: "+row.hint+"\n") {
			t.Errorf("%s: status %d\n%s%s", row.reason, status, out, words)
		}
	}
}

// TestHelpAll: the first screen is for a small terminal, and leads to the rest.
func TestHelpAll(t *testing.T) {
	_, first, _ := runHere()
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		if status, out, words := runHere(args...); status != exitOK || out != first || words != "" {
			t.Errorf("%q: status %d\n%s%s", args, status, out, words)
		}
	}
	if rows := strings.Count(first, "\n"); rows > 23 || strings.Contains(first, "For tools") || !strings.Contains(first, "help --all") {
		t.Errorf("the first screen has %d rows:\n%s", rows, first)
	}
	for _, args := range [][]string{{"help", "--all"}, {"--help", "--all"}} {
		if _, out, words := runHere(args...); !strings.Contains(out, "For tools:") || !strings.Contains(out, "\n  companion add ") || words != "" {
			t.Errorf("%q\n%s%s", args, out, words)
		}
	}
	if status, out, words := runHere("login", "--all"); status != exitUsage || out != "" || !strings.Contains(words, "--all") {
		t.Errorf("--all is no flag of login: status %d\n%s%s", status, out, words)
	}
}
