package companionpage

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBackendsPage: on docs/backends.md each 401 names WWW-Authenticate, without which git and curl send no token. That
// its servers let git, curl and skopeo in is tested in companion/testing and docs/backend.
func TestBackendsPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "backends.md"))
	if err != nil {
		t.Fatal(err)
	}
	const challenge = `Basic realm="Acme", Bearer realm="Acme"`
	found := 0
	for _, m := range regexp.MustCompile("(?ms)^```(ts|go|rust)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(m[2], "401") {
			continue
		}
		found++
		if !strings.Contains(m[2], "'WWW-Authenticate'") || !strings.Contains(m[2], challenge) || !strings.Contains(m[2], `error="invalid_token"`) {
			t.Errorf("a snippet answers 401 without %s:\n%s", challenge, m[2])
		}
		if !strings.Contains(m[2], "503") || !strings.Contains(m[2], "Retry-After") {
			t.Errorf("a snippet answers 401 where Clerk does not answer:\n%s", m[2])
		}
	}
	if found != 2 {
		t.Errorf("%d snippets answer 401, not those of Next.js and Express", found)
	}
	_, rust, _ := strings.Cut(string(page), "\n## Rust\n")
	if words, _, _ := strings.Cut(rust, "```"); !strings.Contains(words, "WWW-Authenticate: "+challenge) {
		t.Error("the section on Rust does not say what a 401 carries")
	}
}
