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

	companionfiles "clerk-credential-helper/companion"
)

// TestCompanionFiles holds what is copied into other people's apps: all of the page, nothing else, and nothing that such an
// app would have to install besides next, react, @clerk/nextjs and jose.
func TestCompanionFiles(t *testing.T) {
	root := filepath.Join("..", "..", "companion")
	folders := []string{"app/cli-auth", "app/api/cli-auth", "app/.well-known", "lib/cli-auth"}
	var there, copied []string
	for _, folder := range folders {
		err := fs.WalkDir(os.DirFS(root), folder, func(name string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				there = append(there, name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	files := companionfiles.Files()
	imports := regexp.MustCompile(`(?m)(?:\bfrom|\bimport|\brequire\()\s*["']([^"']+)["']`)
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		copied = append(copied, name)
		if strings.Contains(name, "test") || !slices.Contains([]string{".ts", ".tsx", ".css", ".svg"}, path.Ext(name)) {
			t.Errorf("%s is no part of the page", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		checkImports(t, files, name, imports.FindAllSubmatch(text, -1))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(there)
	slices.Sort(copied)
	if !slices.Equal(there, copied) || len(copied) < 15 {
		t.Errorf("there are %q\ncopied are %q", there, copied)
	}
	_, wrapped, _ := strings.Cut(companionfiles.Proxy, "export default withCliAuth(")
	if !strings.Contains(companionfiles.Proxy, `from "./lib/cli-auth/proxy"`) || wrapped == "" {
		t.Errorf("proxy.ts is not what the printed lines say:\n%s", companionfiles.Proxy)
	}
}

func checkImports(t *testing.T, files fs.FS, name string, found [][][]byte) {
	t.Helper()
	for _, match := range found {
		module := string(match[1])
		if strings.HasPrefix(module, ".") {
			at := path.Join(path.Dir(name), module)
			if !slices.ContainsFunc([]string{"", ".ts", ".tsx"}, func(ending string) bool {
				info, err := fs.Stat(files, at+ending)
				return err == nil && !info.IsDir()
			}) {
				t.Errorf("%s imports %s, which is not copied", name, module)
			}
			continue
		}
		first, second, _ := strings.Cut(module, "/")
		if strings.HasPrefix(first, "@") {
			second, _, _ = strings.Cut(second, "/")
			first += "/" + second
		}
		if !slices.Contains([]string{"next", "react", "@clerk/nextjs", "jose"}, first) && !strings.HasPrefix(module, "node:") {
			t.Errorf("%s imports %s, which an app may not have", name, module)
		}
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]string{
		"16.4.5": "16.4.5", "16.0.10-canary.1": "16.0.10", "15.2.8+build": "15.2.8", "16": "16.999.999", "16.1": "16.1.999", "16.x": "16.999.999", "15.2.*": "15.2.999",
		"": "", "latest": "", "workspace:*": "", "1.2.3.4": "", "-1.0.0": "", "16.0.10000": "", "*": "", "x.1.2": "",
	} {
		got, ok := parseVersion(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	app := &App{dir: t.TempDir()}
	for wanted, want := range map[string]string{
		"15.2.7": "15.2.7", "^15.0.0": "15.999.999", "~15.2.0": "15.2.999", ">=14": "14.999.999", "v16.4.5": "16.4.5", "": "", "catalog:": "",
	} {
		got, ok := app.version("next", wanted)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("package.json wants %q: %v, %v", wanted, got, ok)
		}
	}
	file := filepath.Join(app.dir, "node_modules", "next", "package.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`{"version":"15.1.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := &App{dir: filepath.Join(app.dir, "apps/web")}
	if got, ok := inner.version("next", "^15.0.0"); !ok || got.String() != "15.1.0" {
		t.Errorf("installed in a folder above: %v, %v", got, ok)
	}
}
