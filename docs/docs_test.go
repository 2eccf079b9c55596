package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clerk-credential-helper/docs"
)

// TestPages: every page of this folder is in the program, as it is here, with a title, under a name and a last part that no
// other page has.
func TestPages(t *testing.T) {
	embedded := map[string]string{}
	parts := map[string]bool{}
	for _, p := range docs.Pages() {
		embedded[p.Name] = p.Title
		if p.Title == "" {
			t.Errorf("%s has no title", p.Name)
		}
		if part := strings.ToLower(path.Base(p.Name)); parts[part] {
			t.Errorf("two pages are called %s", part)
		} else {
			parts[part] = true
		}
	}
	seen := 0
	err := filepath.WalkDir(".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(file, ".md") && !strings.HasSuffix(file, ".schema.json") {
			return err
		}
		seen++
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.ToSlash(file), ".md")
		if _, ok := embedded[name]; !ok {
			t.Errorf("%s is not in the program", file)
		}
		for _, by := range []string{name, path.Base(name), filepath.ToSlash(file), "docs/" + filepath.ToSlash(file) + "#part"} {
			if got, err := docs.Read(by); err != nil || !bytes.Equal(got, text) {
				t.Errorf("Read(%q): %d bytes of %s, which has %d; %v", by, len(got), file, len(text), err)
			}
		}
		return nil
	})
	if err != nil || seen != len(embedded) {
		t.Errorf("%d pages are here, and %d in the program (%v)", seen, len(embedded), err)
	}
}

// TestUnknownPage: what is no page leads to those with the nearest names, and never out of the folder.
func TestUnknownPage(t *testing.T) {
	for asked, want := range map[string]string{
		"":                         "README",
		"gti":                      "tools/git",
		"bazle":                    "tools/bazel",
		"key":                      "keychains",
		"tools":                    "tools/",
		"relibility":               "reliability",
		"../README.md":             "", // the README of this folder: nothing lies above it
		"../../etc/passwd":         "the nearest are",
		strings.Repeat("x", 1<<20): "the nearest are",
	} {
		text, err := docs.Read(asked)
		switch {
		case want == "" && (err != nil || !bytes.HasPrefix(text, []byte("# Documentation\n"))):
			t.Errorf("Read(%q): %.40q, %v", asked, text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300):
			t.Errorf("Read(%.20q): %.40q, %v", asked, text, err)
		}
	}
}

// TestLinks: a link from one page to another, to the README or to a file of the tree leads to what is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pages := []string{"../README.md", "../CONTRIBUTING.md", "../SECURITY.md", "../companion/README.md"}
	for _, pattern := range []string{"*.md", "tools/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, files...)
	}
	seen := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllSubmatch(text, -1) {
			target := string(found[1])
			if strings.Contains(target, "://") {
				continue
			}
			seen++
			file, heading, _ := strings.Cut(target, "#")
			to := page
			if file != "" {
				to = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
			}
			read, err := os.ReadFile(to)
			if info, statErr := os.Stat(to); statErr != nil || err != nil && !info.IsDir() {
				t.Errorf("%s: %s leads nowhere", page, target)
			} else if heading != "" && !strings.Contains(anchors(string(read)), "\n"+heading+"\n") {
				t.Errorf("%s: %s is no heading of %s", page, target, to)
			}
		}
	}
	if seen < 80 {
		t.Errorf("only %d links", seen)
	}
}

// anchors are the names of a page's headings, each on a line of its own, as GitHub makes them.
func anchors(page string) string {
	all := "\n"
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		kept := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all += strings.ReplaceAll(kept, " ", "-") + "\n"
	}
	return all
}
