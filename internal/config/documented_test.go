package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedKeys holds the documents' tables and the manual page to the keys of a profile and of a policy: each is there, and
// no other.
func TestDocumentedKeys(t *testing.T) {
	for _, doc := range []struct {
		file, from, to string
		key            *regexp.Regexp // its group is a key
		keys           []string
	}{
		{"../../docs/configuration.md", "## Every key of a profile", "\nWithout a file", regexp.MustCompile("(?m)^\\| `([a-z_]+)`(?:(?: or|,) `([a-z_]+)`)?"), keys()},
		{"../console/manual/config.roff", ".SH PROFILES", ".SH DOCKER", regexp.MustCompile(`(?m)^\\fB([a-z_]+)\\fP =`), keys()},
		{"../../docs/rollout.md", "## Policy", "\n## The tools", regexp.MustCompile("(?m)^\\| `([a-z_]+)`"), policyKeys()},
		{"../console/manual/config.roff", ".SH POLICY", ".SH EXAMPLES", regexp.MustCompile(`(?m)^\\fB([a-z_]+)\\fP =`), policyKeys()},
	} {
		text, err := os.ReadFile(doc.file)
		if err != nil {
			t.Fatal(err)
		}
		_, part, _ := strings.Cut(string(text), doc.from)
		part, _, found := strings.Cut(part, doc.to)
		if !found {
			t.Errorf("%s: no part from %q to %q", doc.file, doc.from, doc.to)
		}
		var got []string
		for _, m := range doc.key.FindAllStringSubmatch(part, -1) {
			got = append(got, slices.DeleteFunc(m[1:], func(s string) bool { return s == "" })...)
		}
		want := slices.Sorted(slices.Values(doc.keys))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s has the keys %q\nwant %q", doc.file, got, want)
		}
	}
}

// TestDocumentedVariables holds docs/configuration.md to the variables that the program and its installers read: it names each of them, and
// no other.
func TestDocumentedVariables(t *testing.T) {
	variables := map[string]bool{}
	// What makes a profile without a file is not written out in the source.
	_, _ = FromEnvironment(func(name string) string {
		variables[name] = true
		return map[string]string{"CLERK_HELPER_ISSUER": "https://clerk.acme.dev"}[name]
	})
	delete(variables, TokenVariable("default"))
	delete(variables, MachineKeyVariable("default"))
	find := func(file string, form *regexp.Regexp) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range form.FindAllSubmatch(text, -1) {
			variables[string(m[1])] = true
		}
	}
	literal := regexp.MustCompile(`"(CLERK_(?:HELPER|MACHINE)_[A-Z_]*[A-Z])"`)
	for _, room := range []string{"../../cmd", "../../internal", "../../platform", "../../protocol"} {
		err := filepath.WalkDir(room, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				find(path, literal)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	find("../../install.sh", regexp.MustCompile(`\$\{(CLERK_[A-Z_]+)`))
	find("../../install.ps1", regexp.MustCompile(`\$env:(CLERK_[A-Z_]+)`))
	for _, own := range []string{"CLERK_HELPER_HANDED_OVER", "CLERK_HELPER_FALLBACK_DEPTH"} { // we set them, for ourselves
		if !variables[own] {
			t.Errorf("%s is not read", own)
		}
		delete(variables, own)
	}

	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`CLERK_(?:HELPER|MACHINE)_[A-Z_]*[A-Z]`)
	named := form.FindAllString(string(page), -1)
	for variable := range variables {
		if !slices.Contains(named, variable) {
			t.Errorf("docs/configuration.md does not name %s", variable)
		}
	}
	for _, name := range named {
		if !variables[name] && !strings.HasSuffix(name, "_ACME") { // that of a profile
			t.Errorf("docs/configuration.md names %s, which is not read", name)
		}
	}
}
