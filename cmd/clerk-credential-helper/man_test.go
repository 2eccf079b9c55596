package main

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"

	"github.com/alecthomas/kong"
)

// TestMan holds the manual page to a file, and to the programs that read such pages. -update accepts what has
// changed.
func TestMan(t *testing.T) {
	status, page, words := runHere("man")
	if status != exitOK || words != "" {
		t.Fatal(status, words)
	}
	file := filepath.Join("testdata", "clerk-credential-helper.1")
	testworld.Golden(t, file, page)

	parser, err := kong.New(&commands{}, grammar()...)
	if err != nil {
		t.Fatal(err)
	}
	bold := func(words string) string { return `\fB` + strings.ReplaceAll(words, "-", `\-`) + `\fP` }
	for _, node := range parser.Model.Children {
		if there := strings.Contains(page, "\n.SS "+bold(node.Name)); there == node.Hidden {
			t.Errorf("%s is hidden: %v; it is on the page: %v", node.Name, node.Hidden, there)
		}
		for _, flag := range node.Flags {
			if flag.Name != "help" && !node.Hidden && !strings.Contains(page, bold("--"+flag.Name)) {
				t.Errorf("%s --%s is not on the page", node.Name, flag.Name)
			}
		}
	}
	readable(t, page, "clerk-credential-helper token api.acme.dev --format header", "--with-token", "EXIT STATUS")
}

// TestManConfig holds the page of the configuration file to the programs that read such pages. Its keys are compared in
// internal/config.
func TestManConfig(t *testing.T) {
	status, page, words := runHere("man", "config")
	if status != exitOK || words != "" {
		t.Fatal(status, words)
	}
	readable(t, page, "[profiles.acme]", "publishable_key = ", "~/.config/clerk-credential-helper/config.toml")
}

// readable shows a page with each program, none of which may complain, and looks for some of its text.
func readable(t *testing.T, page string, wanted ...string) {
	t.Run("mandoc", func(t *testing.T) {
		// The day of the commit is not known to a test's binary, and a word is not broken.
		out := reads(t, page, "mandoc", "-Tlint", "-Wall")
		for line := range strings.Lines(out) {
			if !strings.Contains(line, "missing date") && !strings.Contains(line, "longer than 80 bytes") {
				t.Errorf("mandoc: %s", line)
			}
		}
	})
	t.Run("groff", func(t *testing.T) {
		if out := reads(t, page, "groff", "-man", "-ww", "-z", "-Tutf8"); out != "" {
			t.Errorf("groff: %s", out)
		}
	})
	t.Run("man", func(t *testing.T) {
		t.Setenv("MANWIDTH", "80")
		t.Setenv("LC_ALL", "C.UTF-8")
		out := reads(t, page, "man", "-l", "-P", "cat", "-")
		for _, want := range wanted {
			if !strings.Contains(out, want) {
				t.Errorf("man does not show %q:\n%s", want, out)
			}
		}
	})
}

// reads gives the page to a program on standard input, and what the program says.
func reads(t *testing.T, page, name string, args ...string) string {
	t.Helper()
	testworld.Need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(page)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) { // mandoc's status counts what it says
		t.Fatal(err)
	}
	return out.String()
}
