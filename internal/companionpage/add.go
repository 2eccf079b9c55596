package companionpage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	companionfiles "clerk-credential-helper/companion"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

// App is a Next.js app, as ReadApp found it.
type App struct {
	dir string
	// root is the folder of app, lib and the proxy file: dir, or src below it.
	root string
	// proxy is the existing proxy file, "" for none; wraps reports whether it calls withCliAuth.
	proxy    string
	wraps    bool
	newProxy string     // the name of the file to write if there is none
	install  [][]string // missing packages, and those for development
	notes    []string
}

// ReadApp examines the Next.js app in dir and changes nothing. It is an error if the page cannot be added: dir has no
// package.json of at most 1 MiB, names no next, has no App Router, or uses a version that is too old.
func ReadApp(dir string) (*App, error) {
	file := filepath.Join(dir, "package.json")
	text, err := platform.ReadPlain(file, maxSource)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if text == nil {
		return nil, fmt.Errorf("%s does not exist: name the folder of a Next.js app", file)
	}
	var described struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &described); err != nil {
		return nil, fmt.Errorf("%s is not JSON", file)
	}
	named := func(name string) (string, bool) {
		version, ok := described.Dependencies[name]
		if !ok {
			version, ok = described.DevDependencies[name]
		}
		return version, ok
	}
	if _, ok := named("next"); !ok {
		return nil, fmt.Errorf("%s does not name next: this is not a Next.js app", file)
	}
	app := &App{dir: dir}
	// Next.js looks into src only if there is nothing beside package.json.
	for _, root := range []string{dir, filepath.Join(dir, "src")} {
		if isDir(filepath.Join(root, "app")) {
			app.root = root
			break
		}
		if isDir(filepath.Join(root, "pages")) {
			return nil, fmt.Errorf("%s has pages and no app folder: the page needs the App Router, which can be used beside pages", root)
		}
	}
	if app.root == "" {
		return nil, fmt.Errorf("%s has neither an app nor a src/app folder", dir)
	}
	if err := app.packages(named); err != nil {
		return nil, err
	}
	app.proxyFile()
	if !slices.ContainsFunc([]string{"tsx", "jsx", "ts", "js"}, func(ending string) bool {
		return platform.IsPlain(filepath.Join(app.root, "app", "layout."+ending))
	}) {
		app.notes = append(app.notes, "There is no layout directly in "+filepath.Join(app.root, "app")+": move app/cli-auth into the route group that has one.")
	}
	return app, nil
}

// packages compares the app's packages with those that the page's files need.
func (app *App) packages(named func(string) (string, bool)) error {
	var install, develop []string
	for _, need := range []struct {
		name, upgrade string
		least         version
	}{
		{"next", "next@16", version{15, 2, 8}},
		{"@clerk/nextjs", "@clerk/nextjs@7", version{7, 0, 0}},
		{"jose", "jose@6", version{6, 0, 0}},
	} {
		wanted, ok := named(need.name)
		if !ok {
			install = append(install, need.upgrade)
			continue
		}
		at, known := app.version(need.name, wanted)
		if !known {
			app.notes = append(app.notes, fmt.Sprintf("The version of %s is not clear from %q; %s or later is needed.", need.name, wanted, need.least))
			continue
		}
		if slices.Compare(at[:], need.least[:]) < 0 {
			return fmt.Errorf("%s %s is too old: the page needs %s or later, as with: %s", need.name, strings.ReplaceAll(at.String(), ".999", ".x"), need.least, app.command(need.upgrade, false))
		}
	}
	app.newProxy = "proxy.ts"
	wanted, _ := named("next")
	if at, known := app.version("next", wanted); known && at[0] < 16 {
		app.newProxy = "middleware.ts"
	}
	if _, ok := named("typescript"); !ok {
		develop = []string{"typescript", "@types/node", "@types/react"}
		app.notes = append(app.notes, "The files are TypeScript. Next.js compiles them in a JavaScript app too, if the package typescript is there.")
	}
	app.install = [][]string{install, develop}
	return nil
}

// maxSource, in bytes, is more than any source file has.
const maxSource = 1 << 20

// version is major, minor and patch.
type version [3]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// version returns the version of the installed package, found as Node.js finds it. If none is installed, it is the newest
// that package.json allows, with 999 for what may be any.
func (app *App) version(name, wanted string) (v version, known bool) {
	folder, err := filepath.Abs(app.dir)
	for last := ""; err == nil && folder != last; last, folder = folder, filepath.Dir(folder) {
		text, err := platform.ReadPlain(filepath.Join(folder, "node_modules", filepath.FromSlash(name), "package.json"), maxSource)
		var installed struct {
			Version string `json:"version"`
		}
		if err == nil && text != nil && json.Unmarshal(text, &installed) == nil {
			return parseVersion(installed.Version)
		}
	}
	v, known = parseVersion(strings.TrimLeft(wanted, "^~>=v "))
	if known && (wanted[0] == '^' || wanted[0] == '>') {
		v[1], v[2] = 999, 999
	}
	if known && wanted[0] == '~' {
		v[2] = 999
	}
	return v, known
}

// parseVersion parses "16", "16.0" or "16.0.10-canary.1". A part that is left out is 999.
func parseVersion(text string) (v version, ok bool) {
	text, _, _ = strings.Cut(text, "-")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if len(parts) > len(v) {
		return v, false
	}
	v = version{0, 999, 999}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if (part == "x" || part == "*") && i > 0 {
			break
		}
		if err != nil || n < 0 || n > 9999 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// command returns the command that installs packages, by the package manager that the lock file belongs to.
func (app *App) command(packages string, develop bool) string {
	program, dev := "npm install", " --save-dev"
	for _, other := range []struct{ lock, program string }{
		{"bun.lockb", "bun add"}, {"bun.lock", "bun add"}, {"yarn.lock", "yarn add"}, {"pnpm-lock.yaml", "pnpm add"},
	} {
		if platform.IsPlain(filepath.Join(app.dir, other.lock)) {
			program, dev = other.program, " --dev"
		}
	}
	if !develop {
		dev = ""
	}
	return program + dev + " " + packages
}

// proxyFile finds the file that Next.js runs before every request: proxy, or middleware before Next.js 16.
func (app *App) proxyFile() {
	names := []string{"middleware"}
	if app.newProxy == "proxy.ts" {
		names = []string{"proxy", "middleware"}
	}
	for _, name := range names {
		for _, ending := range []string{"ts", "tsx", "js", "jsx"} {
			file := filepath.Join(app.root, name+"."+ending)
			if platform.IsPlain(file) && app.proxy == "" {
				text, err := platform.ReadPlain(file, maxSource)
				app.proxy, app.wraps = file, err == nil && bytes.Contains(text, []byte("withCliAuth"))
			}
			if stray := filepath.Join(app.dir, name+"."+ending); app.root != app.dir && platform.IsPlain(stray) {
				app.notes = append(app.notes, stray+" does nothing: Next.js looks for it in src, where the app is.")
			}
		}
	}
}

// Writing is what Write does, or did, to a file.
type Writing string

const (
	Unchanged Writing = "unchanged" // the same text, but perhaps for CRLF line ends
	Written   Writing = "written"   // a new file
	Replaced  Writing = "replaced"  // another text was there
	Kept      Writing = "kept"      // another text was there, in a file that is made to be edited
)

// edited are the files with a company's own code: the policy for CI jobs, and the rate limit.
var edited = []string{"lib/cli-auth/ci.ts", "lib/cli-auth/limit.ts"}

// File is a file of the page, to be written into an app.
type File struct {
	Path  string
	State Writing // compared with the existing file
	text  []byte
}

// Files returns the files of the page, and a proxy file if the app has none, compared with what is in the app. It is an
// error if an existing file cannot be read or is larger than 1 MiB.
func (app *App) Files() ([]File, error) {
	var drafts []File
	draft := func(name string, text []byte) error {
		d := File{Path: filepath.Join(app.root, filepath.FromSlash(name)), text: text, State: Written}
		there, err := platform.ReadPlain(d.Path, maxSource)
		if err != nil {
			return fmt.Errorf("%s: %w", d.Path, err)
		}
		switch {
		case there == nil:
		case bytes.Equal(bytes.ReplaceAll(there, []byte("\r\n"), []byte("\n")), text): // git on Windows changes line ends
			d.State = Unchanged
		case slices.Contains(edited, name):
			d.State = Kept
		default:
			d.State = Replaced
		}
		drafts = append(drafts, d)
		return nil
	}
	files := companionfiles.Files()
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return draft(name, text)
	})
	if err == nil && app.proxy == "" {
		err = draft(app.newProxy, []byte(companionfiles.Proxy))
	}
	return drafts, err
}

// Write writes the file, with mode 0644, and creates its folder. It overwrites an existing file, except one that is Kept,
// and writes nothing in an app of another user's, who could not change it then: see [platform.CheckPlace].
func (d File) Write() error {
	if d.State == Kept {
		return nil
	}
	if err := platform.CheckPlace(d.Path); errors.Is(err, platform.ErrForeign) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o755); err != nil {
		return err
	}
	if err := platform.WriteFile(d.Path, d.text); err != nil {
		return err
	}
	return os.Chmod(d.Path, 0o644) // a source file, which a build by another user reads too
}

// Next returns the steps that are left to do by hand, for people, with foreign text escaped. origin is the address of the
// app, as [config.ParseCompanion] returns it.
func (app *App) Next(origin string) string {
	var steps []string
	var commands []string
	for i, packages := range app.install {
		if packages != nil {
			commands = append(commands, "    "+app.command(strings.Join(packages, " "), i == 1))
		}
	}
	if commands != nil {
		steps = append(steps, "Install what is missing:\n\n"+strings.Join(commands, "\n"))
	}
	if app.proxy != "" && !app.wraps {
		steps = append(steps, fmt.Sprintf(`In %s, put withCliAuth around what it exports, and let its matcher
cover /cli-auth and /api/cli-auth/approve:

    import { withCliAuth } from "./lib/cli-auth/proxy";

    export default withCliAuth(clerkMiddleware(/* as before */));`, console.Escape(app.proxy)))
	}
	steps = append(steps, fmt.Sprintf(`Set in the app's environment, besides Clerk's own keys:

    CLI_AUTH_ORIGIN=%s
    CLI_AUTH_SECRET=...        # a secret of its own: openssl rand -base64 33
    CLI_AUTH_STORE=...         # see companion/README.md: without one, a code or a
                               # refresh token can be used twice, and revoke does nothing`, origin))
	steps = append(steps, fmt.Sprintf(`Build and deploy, then:

    clerk-credential-helper companion check %s`, origin))
	steps = append(steps, fmt.Sprintf(`People write into their configuration:

    [profiles.app]
    companion = %q
    hosts     = ["api.acme.dev"]   # who may have the token`, origin))

	var out strings.Builder
	for _, note := range app.notes {
		fmt.Fprintf(&out, "\n%s\n", console.Escape(note))
	}
	for i, step := range steps {
		fmt.Fprintf(&out, "\n%d. %s\n", i+1, step)
	}
	return out.String()
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
