package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
)

// TestDocumentedHosts: every host in a command of README.md, of docs and of the manual page is one of the hosts of the
// configuration that stands there: in the same block, or else in README.md.
func TestDocumentedHosts(t *testing.T) {
	root := filepath.Join("..", "..")
	readme := readFile(t, filepath.Join(root, "README.md"))
	profiles := blocks(readme, "[profiles.")
	if len(profiles) != 2 {
		t.Fatalf("README.md has %d configurations, not that of an OAuth application and that of a companion page", len(profiles))
	}
	ofReadme := parseHosts(t, profiles[0])
	pages := map[string]string{"README.md": readme, "the manual page": strings.ReplaceAll(readFile(t,
		filepath.Join(root, "internal", "console", "manual", "after.roff")), `\-`, "-")}
	for _, pattern := range []string{"docs/*.md", "docs/tools/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			pages[strings.TrimPrefix(filepath.ToSlash(file), "../../")] = readFile(t, file)
		}
	}
	if len(pages) < 20 {
		t.Fatalf("only %d pages", len(pages))
	}
	// The issuer and the web app, where people sign in, get no token, nor does a registry's own service, which has its word, the
	// address at which the company publishes its file, the pattern of a policy, or a proxy.
	elsewhere := []string{"clerk.acme.dev", "app.acme.dev", "tokens.acme.dev", "acme.dev", "*.acme.dev", "proxy.acme.dev:3128"}
	host := regexp.MustCompile(`[A-Za-z0-9*.-]*\bacme\.dev(:[0-9]+)?`)
	variable := regexp.MustCompile(`CLERK_HELPER_HOSTS(?:: | = '|, value: ")([^\n'"]*)`)
	seen := 0
	for name, page := range pages {
		texts := blocks(page, "")
		if name == "the manual page" {
			texts = regexp.MustCompile(`(?m)^\$ .*`).FindAllString(page, -1)
		}
		for _, text := range append(texts, spans(page)...) {
			cfg := ofReadme
			if set := variable.FindStringSubmatch(text); set != nil {
				var err error
				if cfg, err = config.FromEnvironment(func(name string) string {
					return map[string]string{"CLERK_HELPER_ISSUER": "https://clerk.acme.dev", "CLERK_HELPER_CLIENT_ID": "x", "CLERK_HELPER_HOSTS": set[1]}[name]
				}); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			for _, asked := range host.FindAllString(text, -1) {
				if slices.Contains(elsewhere, asked) || strings.Contains(text, "@"+asked) && !strings.Contains(text, "://") {
					continue
				}
				seen++
				wildcard := slices.ContainsFunc(cfg.Hosts(), func(h config.Host) bool { return h.String() == asked })
				if !wildcard && len(cfg.Match("https", asked)) == 0 {
					t.Errorf("%s names %s, which is a host of no profile of its configuration:\n%s", name, asked, text)
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d hosts were found", seen)
	}
}

// blocks returns the fenced blocks of a page that hold a text.
func blocks(page, holding string) []string {
	var all []string
	for i, part := range strings.Split(page, "\n```") {
		if i%2 == 1 && strings.Contains(part, holding) {
			_, text, _ := strings.Cut(part, "\n")
			all = append(all, text)
		}
	}
	return all
}

// spans returns the commands within the sentences of a page.
func spans(page string) []string {
	var all []string
	for i, part := range strings.Split(page, "\n```") {
		if i%2 == 0 {
			for _, span := range regexp.MustCompile("`[^`\n]+`").FindAllString(part, -1) {
				if strings.Contains(span, " ") {
					all = append(all, span)
				}
			}
		}
	}
	return all
}

func parseHosts(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("README.md", []byte(text))
	if err == nil {
		cfg, err = config.Merge(cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
