// Package docs holds the pages of this folder, for those who have only the program: "clerk-credential-helper docs" prints
// them, as Markdown. Pictures and the sample server stay out.
package docs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed *.md tools/*.md *.schema.json schemas/*.schema.json
var files embed.FS

// ErrNoPage is wrapped by the error about a name that no page has.
var ErrNoPage = errors.New("there is no page of that name")

// Command is "docs list" and "docs show NAME", for the grammar of the command line.
type Command struct {
	Action string `arg:"" optional:"" enum:"list,show" default:"list" help:"list, or show."`
	Name   string `arg:"" optional:"" default:"README" help:"For show: the name of a page, or its last part: tools/git, or git."`
}

// Run prints the names of all pages with their titles, or one page as it is.
func (c Command) Run(w io.Writer) error {
	if c.Action == "list" {
		for _, p := range Pages() {
			if _, err := fmt.Fprintf(w, "%-28s %s\n", p.Name, p.Title); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := Read(c.Name)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// Page is one page.
type Page struct {
	Name  string // its path without ".md", such as "tools/git"
	Title string // its first heading, or the title of a JSON Schema
}

// Pages are all pages, sorted by name.
func Pages() []Page {
	var pages []Page
	for _, pattern := range []string{"*", "tools/*", "schemas/*"} {
		names, _ := fs.Glob(files, pattern) // the patterns are well-formed
		for _, name := range names {
			if text, err := files.ReadFile(name); err == nil { // not the folder
				pages = append(pages, Page{Name: strings.TrimSuffix(name, ".md"), Title: title(text)})
			}
		}
	}
	slices.SortFunc(pages, func(a, b Page) int { return strings.Compare(a.Name, b.Name) })
	return pages
}

func title(text []byte) string {
	for line := range bytes.Lines(text) {
		heading, ok := bytes.CutPrefix(line, []byte("# "))
		if !ok {
			heading, ok = bytes.CutPrefix(bytes.TrimSpace(line), []byte(`"title": `))
			heading = bytes.Trim(heading, `",`)
		}
		if ok {
			return string(bytes.TrimSpace(heading))
		}
	}
	return ""
}

// Read returns the text of a page, by its name, by the last part of its name, or by its path as links on other pages have it.
// The error names the pages with the nearest names.
func Read(name string) ([]byte, error) {
	wanted, _, _ := strings.Cut(name, "#")
	wanted = strings.TrimSuffix(strings.ToLower(path.Clean("/" + wanted))[1:], ".md")
	wanted = strings.TrimPrefix(wanted, "docs/")
	pages := Pages()
	for _, p := range pages {
		if known := strings.ToLower(p.Name); known == wanted || path.Base(known) == wanted {
			if text, err := files.ReadFile(p.Name); err == nil {
				return text, nil
			}
			return files.ReadFile(p.Name + ".md")
		}
	}
	return nil, fmt.Errorf("%w: %.80q; the nearest are %s", ErrNoPage, name, strings.Join(nearest(wanted, pages), ", "))
}

// nearest are the three names that the fewest changes of one letter lead to. A part of a name is near it.
func nearest(wanted string, pages []Page) []string {
	if wanted = wanted[:min(len(wanted), 80)]; wanted == "" {
		wanted = "readme"
	}
	distance := func(p Page) int {
		known := strings.ToLower(p.Name)
		if strings.Contains(known, wanted) || strings.Contains(wanted, path.Base(known)) {
			return 0
		}
		return min(changes(wanted, known), changes(wanted, path.Base(known)))
	}
	slices.SortStableFunc(pages, func(a, b Page) int { return distance(a) - distance(b) })
	var names []string
	for _, p := range pages[:3] {
		names = append(names, p.Name)
	}
	return names
}

// changes is the Levenshtein distance of two words.
func changes(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
