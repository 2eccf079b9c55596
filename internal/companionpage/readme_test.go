package companionpage

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTroubleshooting holds the words that companion/README.md explains to those that the page and the program say.
func TestTroubleshooting(t *testing.T) {
	root := os.DirFS(filepath.Join("..", ".."))
	var said strings.Builder
	for _, folder := range []string{"companion/app", "companion/lib", "internal/companionpage", "cmd/clerk-credential-helper"} {
		err := fs.WalkDir(root, folder, func(name string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && e.Name() == "testdata" {
				return fs.SkipDir
			}
			if !slices.Contains([]string{".go", ".ts", ".tsx"}, path.Ext(name)) || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			text, err := fs.ReadFile(root, name)
			said.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := fs.ReadFile(root, "companion/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Troubleshooting\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := 0
	for row := range strings.Lines(section) {
		cells := strings.Split(row, "|")
		if len(cells) < 4 {
			continue
		}
		for _, words := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			if rows++; !strings.Contains(said.String(), words[1]) {
				t.Errorf("nothing says %q", words[1])
			}
		}
	}
	if rows < 15 {
		t.Errorf("%d rows: is the table where it was?", rows)
	}
}
