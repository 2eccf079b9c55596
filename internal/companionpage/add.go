package companionpage

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
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
	proxy      string
	wraps      bool
	workspaces bool       // package.json is the root of a workspace
	newProxy   string     // the name of the file to write if there is none
	layout     bool       // the page needs a root layout of its own
	install    [][]string // missing packages, and those for development
	notes      []string
	store      string // see UseStore
}

// ReadApp examines the Next.js app in dir and changes nothing. It is an error if the page cannot be added: dir has no
// package.json of at most 1 MiB, names no next, has no App Router, uses a version that is too old, or has a
// configuration under which the page cannot answer at its addresses.
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
		Workspaces      json.RawMessage   `json:"workspaces"` // of npm, yarn and bun: a list or an object
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
	app := &App{dir: dir, workspaces: described.Workspaces != nil}
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
	if app.newProxy == "proxy.ts" && app.plugAndPlay() && !bytes.Contains(text, []byte("--webpack")) {
		app.notes = append(app.notes, "The packages are in .pnp.cjs (Plug'n'Play), where Turbopack finds none of them, and Next.js 16 builds with Turbopack: "+
			"run \"next build --webpack\" and \"next dev --webpack\", or have your package manager write node_modules.")
	}
	if err := app.configuration(); err != nil {
		return nil, err
	}
	folders, _ := os.ReadDir(filepath.Join(app.root, "app"))
	for _, group := range folders {
		moved := filepath.Join(app.root, "app", group.Name(), "cli-auth")
		if strings.HasPrefix(group.Name(), "(") && isDir(moved) {
			return nil, fmt.Errorf("%s: move this folder into %s, where the page needs no layout above it any more", moved, filepath.Join(app.root, "app"))
		}
	}
	app.proxyFile()
	app.layout = !app.hasLayout()
	return app, nil
}

// layoutEndings are those of a layout, as Next.js has them by default.
var layoutEndings = []string{"tsx", "jsx", "ts", "js"}

// hasLayout reports whether a layout above app/cli-auth makes the document. One that only passes its children on does
// not, nor one without <html> where a layout in a folder beside the page has it: apps with a folder for each language
// are like that.
func (app *App) hasLayout() bool {
	top, there := app.layoutIn("")
	if !there || strings.Contains(top, "<html") {
		return there
	}
	passes := regexp.MustCompile(`return\s*\(?\s*children\b|=>\s*\(?\s*children\b|<>\s*\{\s*children\s*\}\s*</>`)
	folders, _ := os.ReadDir(filepath.Join(app.root, "app"))
	return !passes.MatchString(top) && !slices.ContainsFunc(folders, func(e fs.DirEntry) bool {
		text, _ := app.layoutIn(e.Name())
		return e.Name() != "cli-auth" && strings.Contains(text, "<html")
	})
}

// layoutIn returns the layout in a folder below app, and whether there is one, which may be unreadable.
func (app *App) layoutIn(folder string) (text string, there bool) {
	for _, ending := range layoutEndings {
		text, err := platform.ReadPlain(filepath.Join(app.root, "app", folder, "layout."+ending), maxSource)
		if err != nil || text != nil {
			return string(text), true
		}
	}
	return "", false
}

// configuration refuses what next.config may say against the page. It reads lines, not JavaScript: what is computed
// there is found out by companion check.
func (app *App) configuration() error {
	for _, ending := range []string{"ts", "mts", "mjs", "js"} {
		file := filepath.Join(app.dir, "next.config."+ending)
		text, err := platform.ReadPlain(file, maxSource)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		said := map[string]string{}
		comment := regexp.MustCompile(`(^|\s)(//|/\*|\*).*`)
		setting := regexp.MustCompile(`(?:^|[{,\s])["']?(basePath|output|trailingSlash|skipTrailingSlashRedirect)["']?:\s*["'` + "`" + `]?([^"'` + "`" + `,\s}]*)`)
		for line := range strings.Lines(string(text)) {
			for _, found := range setting.FindAllStringSubmatch(comment.ReplaceAllString(line, ""), -1) {
				said[found[1]] = found[2]
			}
		}
		switch {
		case said["basePath"] != "" && said["basePath"] != "undefined":
			return fmt.Errorf("%s sets basePath: the page's addresses are at the root of an origin (RFC 8414), so it needs an app without one", file)
		case said["output"] == "export":
			return fmt.Errorf("%s has output: \"export\": the page needs a server, and an exported app has none", file)
		case said["trailingSlash"] == "true" && said["skipTrailingSlashRedirect"] != "true":
			return fmt.Errorf("%s has trailingSlash: true: Next.js redirects the page's addresses then, unless skipTrailingSlashRedirect: true is there too", file)
		}
	}
	return nil
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

// around yields the app's folder and each folder above it.
func (app *App) around() iter.Seq[string] {
	return func(yield func(string) bool) {
		folder, err := filepath.Abs(app.dir)
		for last := ""; err == nil && folder != last && yield(folder); last, folder = folder, filepath.Dir(folder) {
		}
	}
}

// plugAndPlay reports whether Plug'n'Play takes the place of node_modules.
func (app *App) plugAndPlay() bool {
	for folder := range app.around() {
		if platform.IsPlain(filepath.Join(folder, pnpFile)) {
			return true
		}
		if isDir(filepath.Join(folder, "node_modules", "next")) || isRepository(folder) {
			break
		}
	}
	return false
}

// pnpFile says where Plug'n'Play has the packages of the app in its folder, and of those below.
const pnpFile = ".pnp.cjs"

func isRepository(folder string) bool {
	_, err := os.Lstat(filepath.Join(folder, ".git"))
	return err == nil
}

// version returns the version of the installed package, found as Node.js finds it. If none is installed, or the packages
// are in archives (Plug'n'Play), it is the newest that package.json allows, with 999 for what may be any.
func (app *App) version(name, wanted string) (v version, known bool) {
	for folder := range app.around() {
		if platform.IsPlain(filepath.Join(folder, pnpFile)) {
			break
		}
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

// command returns the command that installs packages, by the package manager that the lock file belongs to: the app's,
// or that of a workspace around it.
func (app *App) command(packages string, develop bool) string {
	program, dev := "npm install", " --save-dev"
	for folder := range app.around() {
		found := false
		for _, other := range []struct{ lock, program, dev string }{
			{"package-lock.json", "npm install", " --save-dev"}, {"bun.lockb", "bun add", " --dev"}, {"bun.lock", "bun add", " --dev"},
			{"yarn.lock", "yarn add", " --dev"}, {"pnpm-lock.yaml", "pnpm add", " --save-dev"},
		} {
			if platform.IsPlain(filepath.Join(folder, other.lock)) {
				program, dev, found = other.program+app.rootFlag(filepath.Join(folder, other.lock)), other.dev, true
			}
		}
		if found || isRepository(folder) {
			break
		}
	}
	if !develop {
		dev = ""
	}
	return program + dev + " " + packages
}

// rootFlag returns the flag without which pnpm and yarn 1 add nothing to the root of a workspace, if the app is there.
func (app *App) rootFlag(lock string) string {
	if folder, err := filepath.Abs(app.dir); err != nil || folder != filepath.Dir(lock) {
		return ""
	}
	switch filepath.Base(lock) {
	case "pnpm-lock.yaml":
		text, _ := platform.ReadPlain(filepath.Join(app.dir, "pnpm-workspace.yaml"), maxSource)
		if regexp.MustCompile(`(?m)^packages\s*:`).Match(text) { // else it has settings only
			return " -w"
		}
	case "yarn.lock":
		file, err := os.Open(lock)
		if err != nil {
			return ""
		}
		defer file.Close()
		start := make([]byte, 256)
		n, _ := io.ReadFull(file, start)
		if app.workspaces && bytes.Contains(start[:n], []byte("# yarn lockfile v1")) { // later ones know no such flag
			return " -W"
		}
	}
	return ""
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
	Kept      Writing = "kept"      // another text is there, and stays
	Beside    Writing = "beside"    // another text is there, and the page's is written beside it
	Removed   Writing = "removed"   // the page has no such file any more
	Differs   Writing = "differs"   // another text is there, and the Way does not say what becomes of it
)

// Way says what becomes of a file that is there with another text.
type Way int

const (
	Add     Way = iota // it stays, and is [Differs], unless it is made to be edited
	Upgrade            // it is replaced if it is as it was copied; what was edited stays, with the page's file beside it
	Force              // it is replaced, unless it is made to be edited and was
)

// edited are the files with a company's own code: the policy for CI jobs, the languages, the rate limit, and the store.
var edited = []string{"lib/cli-auth/ci.ts", "lib/cli-auth/language.ts", "lib/cli-auth/limit.ts", "lib/cli-auth/store.ts"}

// File is a file of the page, to be written into an app.
type File struct {
	Path  string
	State Writing // compared with the existing file
	Note  string  // on State, for people; with foreign text
	// Diff, for people and escaped for a terminal, is what was changed in the app, and what the page has changed, both
	// since the version that was copied. If that version is not known, it is from the app's file to the page's.
	Diff string
	text []byte
}

// Files returns the files of the page, and the proxy file and the layout that the app needs, compared with what is in
// the app. With Upgrade they are followed by those of an earlier version that the page has no more. It is an error if
// an existing file cannot be read, is larger than 1 MiB, or, without Force, is of a later version than this program's.
func (app *App) Files(way Way) ([]File, error) {
	var drafts []File
	draft := func(name, at string, text []byte) error {
		d, err := settle(name, filepath.Join(app.root, filepath.FromSlash(at)), text, way)
		drafts = append(drafts, d)
		return err
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
		return draft(name, name, text)
	})
	if err == nil && app.layout && app.ownLayout() {
		err = draft(layoutName, layoutName, []byte(companionfiles.Layout))
	}
	switch {
	case err != nil:
	case app.proxy == "":
		err = draft(proxyName, app.newProxy, []byte(companionfiles.Proxy))
	default: // one that was edited is the app's own
		if there, _ := platform.ReadPlain(app.proxy, maxSource); readCopied(proxyName, there).untouched() {
			err = draft(proxyName, filepath.Base(app.proxy), []byte(companionfiles.Proxy))
		}
	}
	if err != nil || way != Upgrade {
		return drafts, err
	}
	gone, err := app.obsolete(drafts)
	return append(drafts, gone...), err
}

// The names of the two files that only some apps get.
const (
	layoutName = "app/cli-auth/layout.tsx"
	proxyName  = "proxy.ts"
)

// ownLayout reports whether the layout beside the page, if there is one, is what we have written.
func (app *App) ownLayout() bool {
	text, there := app.layoutIn("cli-auth")
	return !there || readCopied(layoutName, []byte(text)).stamped
}

// settle decides what becomes of the file at the path at, which is to have a text.
func settle(name, at string, text []byte, way Way) (File, error) {
	d := File{Path: at, text: stamped(name, text), State: Written}
	there, err := platform.ReadPlain(at, maxSource)
	if err != nil {
		return d, fmt.Errorf("%s: %w", at, err)
	}
	if there == nil {
		return d, nil
	}
	theirs, now := readCopied(name, there), hash(text)
	if theirs.newer() && way != Force {
		return d, fmt.Errorf("%s is of version %s of the page, and this program has %s: upgrade the program first", at, theirs.version, companionfiles.Version)
	}
	same, ours := hash(theirs.text) == now, slices.Contains(edited, name)
	switch {
	case same && (way == Add || theirs.hash == now && theirs.stamped && theirs.version == companionfiles.Version):
		d.State = Unchanged
	case same, theirs.untouched() && way == Upgrade:
		d.State = Replaced
	case way == Upgrade && theirs.hash == now:
		d.State = Kept
		d.Note = fmt.Sprintf("edited since %s, and %s has nothing new for it", theirs.version, companionfiles.Version)
	case way == Upgrade:
		d.State = Beside
		d.Note = fmt.Sprintf("%s was edited since %s", filepath.Base(at), cmp.Or(theirs.version, "it was copied"))
		if then := companionfiles.Shipped(theirs.version, name); then != nil && hash(then) == theirs.hash {
			d.Diff = diff(at+" of "+theirs.version, at, then, theirs.text) + diff(at+" of "+theirs.version, at+besideEnding, then, text)
		} else { // of a build between two releases
			d.Diff = diff(at, at+besideEnding, theirs.text, text)
		}
		other, err := platform.ReadPlain(at+besideEnding, maxSource)
		if err == nil && other != nil && !readCopied(name, other).stamped {
			err = errors.New("it is not of this program, and its place is needed")
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", at+besideEnding, err)
		}
	case ours && (way == Add || !theirs.untouched()):
		d.State = Kept
	case way == Force:
		d.State = Replaced
	default:
		d.State = Differs
		d.Note = "edited"
		if theirs.untouched() {
			d.Note = "as " + theirs.version + " has it"
		}
	}
	return d, nil
}

// besideEnding is what the name of a file has in addition that is written beside an edited one. Next.js takes no notice
// of it.
const besideEnding = ".new"

// obsolete returns the files of earlier versions that drafts has not: to be removed, or kept because they were edited.
func (app *App) obsolete(drafts []File) ([]File, error) {
	var gone []File
	for _, folder := range []string{"app/cli-auth", "app/api/cli-auth", "app/.well-known", "lib/cli-auth"} {
		err := fs.WalkDir(os.DirFS(app.root), folder, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			at := filepath.Join(app.root, filepath.FromSlash(name))
			if slices.ContainsFunc(drafts, func(d File) bool { return at == d.Path || d.State == Beside && at == d.Path+besideEnding }) {
				return nil
			}
			text, err := platform.ReadPlain(at, maxSource)
			if err != nil {
				return nil // too large for one of ours
			}
			switch theirs := readCopied(name, text); {
			case theirs.hash == "":
			case theirs.untouched():
				gone = append(gone, File{Path: at, State: Removed})
			default:
				gone = append(gone, File{Path: at, State: Kept, Note: "edited; the page has no such file any more"})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// Line returns the line for people, escaped for a terminal; dry is of what would be done.
func (d File) Line(dry bool) string {
	words, at := string(d.State), d.Path
	if d.State == Beside {
		words, at = string(Written), d.Path+besideEnding
	}
	if dry && d.State != Differs {
		words = "would be " + words
	}
	words += ": " + at
	if d.Note != "" {
		words += " (" + d.Note + ")"
	}
	return console.Escape(words) + "\n" + d.Diff
}

// Write does what the file's State says. It creates folders, writes with mode 0644, and writes nothing in an app of
// another user's, who could not change it then: see [platform.CheckPlace].
func (d File) Write() error {
	at := d.Path
	switch d.State {
	case Unchanged, Kept, Differs:
		return nil
	case Beside:
		at += besideEnding
	}
	if err := platform.CheckPlace(at); errors.Is(err, platform.ErrForeign) {
		return err
	}
	if d.State == Removed {
		return os.Remove(at)
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := platform.WriteFile(at, d.text); err != nil {
		return err
	}
	return os.Chmod(at, 0o644) // a source file, which a build by another user reads too
}

// Next returns the steps that are left to do by hand, for people, with foreign text escaped; after an Upgrade those of
// a page that runs are left out. origin is the address of the app, as [config.ParseCompanion] returns it.
func (app *App) Next(origin string, way Way) string {
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
cover all paths below /cli-auth and /api/cli-auth:

    import { withCliAuth } from "./lib/cli-auth/proxy";

    export default withCliAuth(clerkMiddleware(/* as before */));`, console.Escape(app.proxy)))
	}
	switch {
	case way != Upgrade:
		steps = append(steps, fmt.Sprintf(`Set in the app's environment, besides Clerk's own keys:

    CLI_AUTH_ORIGIN=%s
    CLI_AUTH_SECRET=...        # a secret of its own: openssl rand -base64 33
    %s`, origin, app.storeLines()))
	case app.store != "": // the page runs, and gets a store now
		steps = append(steps, "Set in the app's environment:\n\n    "+app.storeLines())
	}
	if tables := app.migration(); tables != "" {
		steps = append(steps, tables)
	}
	steps = append(steps, fmt.Sprintf(`Build and deploy, then:

    clerk-credential-helper companion check %s`, origin))
	if way == Upgrade { // people use it
		return app.list(steps)
	}
	steps = append(steps, fmt.Sprintf(`People write into their configuration:

    [profiles.app]
    companion = %q
    hosts     = ["api.acme.dev"]   # who may have the token`, origin))
	return app.list(steps)
}

// list returns the notes and steps for people.
func (app *App) list(steps []string) string {
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
