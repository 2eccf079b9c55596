package companionpage

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	companionfiles "clerk-credential-helper/companion"
)

// pageFiles are all files that can be copied, by their names.
func pageFiles(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{layoutName: companionfiles.Layout, proxyName: companionfiles.Proxy}
	files := companionfiles.Files()
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, name)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// appWith is a Next.js app with files.
type appWith struct {
	*testing.T
	dir string
}

func newApp(t *testing.T, files map[string]string) appWith {
	t.Helper()
	a := appWith{t, t.TempDir()}
	a.write("package.json", `{"dependencies":{"next":"16.4.6","@clerk/nextjs":"7.9.17","jose":"6.2.18"},"devDependencies":{"typescript":"5.9.3"}}`)
	a.write("app/layout.tsx", "<html>{children}</html>\n")
	for name, text := range files {
		a.write(name, text)
	}
	return a
}

func (a appWith) write(name, text string) {
	a.Helper()
	at := filepath.Join(a.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		a.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
		a.Fatal(err)
	}
}

// read returns a file's text, "" if there is none.
func (a appWith) read(name string) string {
	a.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, filepath.FromSlash(name)))
	if err != nil && !os.IsNotExist(err) {
		a.Fatal(err)
	}
	return string(text)
}

// changes are files by their names.
type changes map[string]File

func (c changes) String() (lines string) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		lines += c[name].Line(false)
	}
	return lines
}

// run does what companion add does, and returns the files that are not Unchanged.
func (a appWith) run(way Way) (changes, error) {
	a.Helper()
	app, err := ReadApp(a.dir)
	if err != nil {
		return nil, err
	}
	drafts, err := app.Files(way)
	if err != nil {
		return nil, err
	}
	changed := changes{}
	for _, d := range drafts {
		if err := d.Write(); err != nil {
			a.Fatal(err)
		}
		name, err := filepath.Rel(a.dir, d.Path)
		if err != nil {
			a.Fatal(err)
		}
		if d.State != Unchanged {
			changed[filepath.ToSlash(name)] = d
		}
	}
	return changed, nil
}

// firstVersion are the files of 1.0.0, which have no stamp.
func firstVersion(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for name := range pageFiles(t) {
		if text := companionfiles.Shipped("1.0.0", name); text != nil {
			files[name] = string(text)
		}
	}
	if len(files) < 30 {
		t.Fatalf("1.0.0 has %q only", slices.Sorted(maps.Keys(files)))
	}
	return files
}

// TestUpgradeFromFirst: an app has the files of 1.0.0, two of them edited. One of these has not changed since and
// stays; of the other the present one is beside it. All others are as they are shipped now.
func TestUpgradeFromFirst(t *testing.T) {
	files := firstVersion(t)
	const edit = "// an edit of the app's own\n"
	now := pageFiles(t)
	var mine, page string // the same as in 1.0.0, and changed since
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case name == proxyName: // an edited one is the app's own
		case files[name] == now[name]:
			mine = name
		case now[name] != "" && !slices.Contains(edited, name):
			page = name
		}
	}
	files[mine] += edit
	files[page] += edit
	for name, text := range files {
		if name != mine && name != page && len(name)%2 == 0 { // git may have changed the line ends of some
			files[name] = strings.ReplaceAll(text, "\n", "\r\n")
		}
	}
	files["lib/cli-auth/ours.ts"] = "export {};\n"
	a := newApp(t, files)

	// Without a word about them, edited files are only named.
	changed, err := a.run(Add)
	if err != nil || changed[page].State != Differs {
		t.Fatalf("%v, %v", changed, err)
	}

	a = newApp(t, files)
	if changed, err = a.run(Upgrade); err != nil {
		t.Fatal(err)
	}
	for name, text := range now {
		there := a.read(name)
		switch name {
		case mine, page:
			if there != files[name] {
				t.Errorf("%s was edited, and is now\n%s", name, there)
			}
		case layoutName:
			if there != "" {
				t.Error("a layout in an app that has one")
			}
		default:
			if there != string(stamped(name, []byte(text))) || changed[name].State != Replaced && changed[name].State != Written {
				t.Errorf("%s is %s, and not as shipped now", name, changed[name].State)
			}
		}
	}
	if d := changed[mine]; d.State != Kept || d.Note != "edited since 1.0.0, and "+companionfiles.Version+" has nothing new for it" {
		t.Errorf("%s: %q", mine, d.Line(false))
	}
	if a.read(mine+".new") != "" || a.read("lib/cli-auth/ours.ts") != "export {};\n" {
		t.Error("a file beside one without news, or the app's own was touched")
	}
	d := changed[page]
	line := d.Line(false)
	if d.State != Beside || a.read(page+".new") != string(stamped(page, []byte(now[page]))) {
		t.Errorf("%s: %s", page, line)
	}
	theirs, ours, _ := strings.Cut(d.Diff, "+++ "+d.Path+".new")
	if !strings.HasPrefix(theirs, "--- "+d.Path+" of 1.0.0\n+++ "+d.Path+"\n@@ -") || strings.Count(theirs, "\n+") != 2 || !strings.Contains(theirs, "\n+"+edit) {
		t.Errorf("what the app has changed is\n%s", theirs)
	}
	if strings.Contains(ours, edit) || !strings.Contains(ours, "\n@@ -") || strings.Contains(d.Diff, "sha256") {
		t.Errorf("what the page has changed is\n%s", ours)
	}

	// Again: nothing but the one that is still to be merged.
	if changed, err = a.run(Upgrade); err != nil || len(changed) != 2 || changed[page].State != Beside || changed[mine].State != Kept {
		t.Errorf("a second time: %v, %v", changed, err)
	}
	// Merged, with its first line: it is known as edited since the present version, and the one beside is of no use.
	stamp, _, _ := strings.Cut(a.read(page+".new"), "\n")
	a.write(page, stamp+"\n"+now[page]+edit)
	if changed, err = a.run(Upgrade); err != nil || changed[page].State != Kept || changed[page+".new"].State != Removed || len(changed) != 3 {
		t.Errorf("after merging: %v, %v", changed, err)
	}
	if a.read(page+".new") != "" || !strings.HasSuffix(a.read(page), edit) {
		t.Error("after merging, the file beside is there still, or the merged one is not")
	}
}

// TestUpgradeStamped: what counts as an edit of a file that a later version than 1.0.0 has written.
func TestUpgradeStamped(t *testing.T) {
	const name = "lib/cli-auth/version.ts" // 1.0.0 had none
	old := func(text string) string {      // as 1.0.5 would have written it
		return strings.Replace(string(stamped(name, []byte(text))), " "+companionfiles.Version+" ", " 1.0.5 ", 1)
	}
	const was = "const a = 'a';\nexport const b = a;\n"
	stamp, body, _ := strings.Cut(old(was), "\n")
	now := pageFiles(t)[name]
	for _, tt := range []struct {
		reason, there string
		want          Writing
	}{
		{"untouched", old(was), Replaced},
		{"line ends of Windows", strings.ReplaceAll(old(was), "\n", "\r\n"), Replaced},
		{"a byte order mark", "\ufeff" + old(was), Replaced},
		{"the stamp moved by an import sorter", body + stamp + "\n", Replaced},
		{"the stamp without what is for biome", strings.Replace(old(was), "biome-ignore-all format: ", "", 1), Replaced},
		{"the present text with an old stamp", old(now), Replaced},
		{"the present text without a stamp", now, Replaced},
		{"the present text and stamp", string(stamped(name, []byte(now))), Unchanged},
		{"a formatter's quotes", strings.ReplaceAll(old(was), "'", `"`), Beside},
		{"a line more", old(was) + "\n", Beside},
		{"no line end at the end", strings.TrimSuffix(old(was), "\n"), Beside},
		{"all of it gone", stamp + "\n", Beside},
		{"an empty file", "", Beside},
		{"no stamp, and not of 1.0.0", was, Beside},
		{"a hash that is cut off", strings.Replace(old(was), stamp, stamp[:len(stamp)-1], 1), Beside},
		{"edited, and nothing new", string(stamped(name, []byte(now))) + "// ours\n", Kept},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			a := newApp(t, map[string]string{name: tt.there})
			changed, err := a.run(Upgrade)
			state := Unchanged
			if d, ok := changed[name]; ok {
				state = d.State
			}
			if err != nil || state != tt.want {
				t.Fatalf("it is %s: %v\n%s", state, err, changed[name].Line(false))
			}
			fresh := string(stamped(name, []byte(now)))
			if there := a.read(name); tt.want == Replaced && there != fresh || tt.want != Replaced && there != tt.there {
				t.Errorf("it is now %q", there)
			}
			if beside := a.read(name + ".new"); (beside == fresh) != (tt.want == Beside) {
				t.Errorf("beside it is %q", beside)
			}
		})
	}

	// What makes the whole upgrade stop, before anything is written.
	for _, tt := range []struct{ reason, file, text, want string }{
		{"a later version", name, strings.Replace(string(stamped(name, []byte(was))), " "+companionfiles.Version+" ", " 9.0.0 ", 1),
			"is of version 9.0.0 of the page, and this program has " + companionfiles.Version + ": upgrade the program first"},
		{"a place that is taken", "app/cli-auth/page.tsx.new", "mine\n", "page.tsx.new: it is not of this program"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			a := newApp(t, map[string]string{tt.file: tt.text, "app/cli-auth/page.tsx": "edited\n"})
			if _, err := a.run(Upgrade); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
			if a.read(tt.file) != tt.text || a.read("lib/cli-auth/token.ts") != "" {
				t.Error("something was written")
			}
		})
	}
}

// TestUpgradeObsolete: files of an earlier version that the page has no more.
func TestUpgradeObsolete(t *testing.T) {
	const text = "export {};\n"
	stamp := func(name string) string { return string(stamped(name, []byte(text))) }
	a := newApp(t, map[string]string{
		"lib/cli-auth/old.ts":       stamp("old.ts"),
		"app/cli-auth/old.css":      stamp("old.css"),
		"app/cli-auth/layout.tsx":   stamp("layout.tsx"), // the app has one above now
		"lib/cli-auth/edited.ts":    stamp("edited.ts") + "// ours\n",
		"lib/cli-auth/ours.ts":      text,
		"app/.well-known/x/page.ts": text,
		"lib/elsewhere.ts":          stamp("elsewhere.ts"),
	})
	for _, way := range []Way{Add, Force} {
		if changed, err := a.run(way); err != nil || slices.ContainsFunc(slices.Collect(maps.Values(changed)), func(d File) bool { return d.State == Removed }) {
			t.Errorf("without upgrade: %v, %v", changed, err)
		}
	}
	changed, err := a.run(Upgrade)
	if err != nil || len(changed) != 4 {
		t.Fatalf("%v, %v", changed, err)
	}
	for name, want := range map[string]Writing{"lib/cli-auth/old.ts": Removed, "app/cli-auth/old.css": Removed, "app/cli-auth/layout.tsx": Removed, "lib/cli-auth/edited.ts": Kept} {
		if changed[name].State != want || (a.read(name) == "") != (want == Removed) {
			t.Errorf("%s: %s", name, changed[name].Line(false))
		}
	}
	for _, name := range []string{"lib/cli-auth/ours.ts", "app/.well-known/x/page.ts", "lib/elsewhere.ts"} {
		if a.read(name) == "" {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestForce: what is made to be edited is replaced only as long as it is as it was copied.
func TestForce(t *testing.T) {
	for _, name := range edited {
		old := string(stamped(name, []byte("export {};\n")))
		for there, want := range map[string]Writing{old: Replaced, old + "// ours\n": Kept, "// ours alone\n": Kept} {
			a := newApp(t, map[string]string{name: there})
			if changed, err := a.run(Force); err != nil || changed[name].State != want || (a.read(name) == there) != (want == Kept) {
				t.Errorf("%s, %q: %v, %v", name, there, changed[name].State, err)
			}
		}
	}
	const other = "lib/cli-auth/seal.ts"
	a := newApp(t, map[string]string{other: "edited\n"})
	if changed, err := a.run(Force); err != nil || changed[other].State != Replaced {
		t.Errorf("%v, %v", changed, err)
	}
}

// TestStamps: a stamp is known again in each file, whatever becomes of its line ends, and names the one version there
// is.
func TestStamps(t *testing.T) {
	for name, text := range pageFiles(t) {
		whole := stamped(name, []byte(text))
		line, _, _ := bytes.Cut(whole, []byte("\n"))
		if len(line) > 120 || bytes.Contains([]byte(text), []byte("clerk-credential-helper companion "+companionfiles.Version)) {
			t.Errorf("%s: %s", name, line)
		}
		c := readCopied(name, bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n")))
		if !c.stamped || !c.untouched() || c.version != companionfiles.Version || string(c.text) != text || c.newer() {
			t.Errorf("%s: %+v", name, c)
		}
	}
	var manifest struct{ Version string }
	described, err := os.ReadFile(filepath.Join("..", "..", "companion", "package.json"))
	if err != nil || json.Unmarshal(described, &manifest) != nil || manifest.Version != companionfiles.Version {
		t.Errorf("package.json has version %q, %v", manifest.Version, err)
	}
	if !strings.Contains(pageFiles(t)["lib/cli-auth/version.ts"], `"`+companionfiles.Version+`"`) {
		t.Error("version.ts has another version")
	}
	if companionfiles.Shipped(companionfiles.Version, proxyName) != nil {
		t.Errorf("%s is in the archive of earlier versions: raise Version", companionfiles.Version)
	}
}

func TestDiff(t *testing.T) {
	lines := func(from, to int) (text string) {
		for n := from; n <= to; n++ {
			text += string(rune('a'+n)) + "\n"
		}
		return text
	}
	for _, tt := range []struct{ reason, old, fresh, want string }{
		{"a line changes", "a\nb\nc\n", "a\nB\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"},
		{"three lines around", lines(0, 9), strings.Replace(lines(0, 9), "f\n", "", 1), "@@ -3,7 +3,6 @@\n c\n d\n e\n-f\n g\n h\n i\n"},
		{"near changes share a hunk", lines(0, 9), "A\n" + lines(1, 6) + "H\n" + lines(8, 9), "@@ -1,10 +1,10 @@\n-a\n+A\n b\n c\n d\n e\n f\n g\n-h\n+H\n i\n j\n"},
		{"far changes do not", lines(0, 9), "A\n" + lines(1, 7) + "I\n" + lines(9, 9), "@@ -1,4 +1,4 @@\n-a\n+A\n b\n c\n d\n@@ -6,5 +6,5 @@\n f\n g\n h\n-i\n+I\n j\n"},
		{"to nothing", "a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
		{"from nothing", "", "a\n", "@@ -0,0 +1,1 @@\n+a\n"},
		{"no line end", "a\nb", "a\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n+b\n"},
		{"a terminal's own characters", "a\n", "\x1b[2J\tb\u202e\n", "@@ -1,1 +1,1 @@\n-a\n+\\x1b[2J    b\\u202e\n"},
		{"too long", strings.Repeat("a\n", 3000), strings.Repeat("b\n", 3000), "(too long to be compared here)\n"},
	} {
		if got := diff("old", "new", []byte(tt.old), []byte(tt.fresh)); got != "--- old\n+++ new\n"+tt.want {
			t.Errorf("%s:\n%s", tt.reason, got)
		}
	}
}

// TestLayout: which apps get a layout of the page's own.
func TestLayout(t *testing.T) {
	const html, passes = "return (\n<html><body>{children}</body></html>\n)", "return children;"
	for _, tt := range []struct {
		reason string
		files  map[string]string
		want   bool
	}{
		{"one in app", map[string]string{"app/layout.tsx": html}, false},
		{"one in app, in JavaScript", map[string]string{"app/layout.js": html}, false},
		{"one that a component of the app makes", map[string]string{"app/layout.tsx": "return <Shell>{children}</Shell>"}, false},
		{"an empty one", map[string]string{"app/layout.tsx": ""}, false},
		{"none", nil, true},
		{"below [locale] alone", map[string]string{"app/[locale]/layout.tsx": html}, true},
		{"one that passes on", map[string]string{"app/layout.tsx": passes}, true},
		{"one that passes on, by an arrow", map[string]string{"app/layout.jsx": "export default ({ children }) => children"}, true},
		{"one that passes on, in a fragment", map[string]string{"app/layout.tsx": "return <>{children}</>"}, true},
		{"providers, and the document below [locale]", map[string]string{"app/layout.tsx": "return <Providers>{children}</Providers>", "app/[locale]/layout.tsx": html}, true},
		{"route groups", map[string]string{"app/(a)/layout.tsx": html, "app/(b)/layout.tsx": html}, true},
		{"the app's own beside the page", map[string]string{"app/cli-auth/layout.jsx": html}, false},
		{"ours, written before", map[string]string{layoutName: string(stamped(layoutName, []byte(companionfiles.Layout)))}, true},
	} {
		a := newApp(t, tt.files)
		if _, own := tt.files["app/layout.tsx"]; !own {
			if err := os.Remove(filepath.Join(a.dir, "app", "layout.tsx")); err != nil {
				t.Fatal(err)
			}
		}
		app, err := ReadApp(a.dir)
		if err != nil {
			t.Fatalf("%s: %v", tt.reason, err)
		}
		if got := app.layout && app.ownLayout(); got != tt.want {
			t.Errorf("%s: %v", tt.reason, got)
		}
	}
}

// TestMoved: 1.0.0 had people move the page into a route group, which two pages at one address would be now.
func TestMoved(t *testing.T) {
	a := newApp(t, map[string]string{"app/(site)/cli-auth/page.tsx": "", "app/(site)/layout.tsx": "<html>"})
	if _, err := a.run(Upgrade); err == nil || !strings.HasSuffix(err.Error(), "where the page needs no layout above it any more") {
		t.Error(err)
	}
	if a.read("lib/cli-auth/token.ts") != "" {
		t.Error("something was written")
	}
}

// TestConfiguration: what next.config may not say, and what only looks like it.
func TestConfiguration(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"export default {};", ""},
		{`export default { basePath: "" };`, ""},
		{`export default { basePath: undefined, output: "standalone" };`, ""},
		{"// basePath: \"/docs\"\nexport default {\n  poweredByHeader: false, // output: \"export\"\n};", ""},
		{"/*\n * basePath: \"/docs\"\n */\nexport default { /* trailingSlash: true */ };", ""},
		{`export default { images: { path: "https://acme.dev/basePath" }, myBasePath: "/x" };`, ""},
		{"export default { trailingSlash: false };", ""},
		{"export default { trailingSlash: true, skipTrailingSlashRedirect: true };", ""},
		{"export default {\n  skipTrailingSlashRedirect: true,\n  trailingSlash: true,\n};", ""},
		{`export default { basePath: "/docs" };`, "sets basePath"},
		{`export default {basePath:'/docs'};`, "sets basePath"},
		{"module.exports = {\n  \"basePath\": process.env.BASE,\n};", "sets basePath"},
		{"export default {\r\n  output: `export`,\r\n};", `has output: "export"`},
		{"export default { trailingSlash: true };", "has trailingSlash: true"},
		{"export default { trailingSlash: true, skipTrailingSlashRedirect: false };", "has trailingSlash: true"},
	} {
		for _, ending := range []string{"ts", "mjs"} {
			a := newApp(t, map[string]string{"next.config." + ending: tt.text})
			if _, err := ReadApp(a.dir); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s\n%v", tt.text, err)
			}
		}
	}
}

// TestCommand: whose lock file it is, and what it says then.
func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		reason       string
		files        []string
		plain, types string
	}{
		{"none", nil, "npm install jose", "npm install --save-dev jose"},
		{"npm's, below another of a folder above", []string{"w/apps/web/package-lock.json", "w/yarn.lock"}, "npm install jose", "npm install --save-dev jose"},
		{"pnpm's workspace", []string{"w/pnpm-lock.yaml"}, "pnpm add jose", "pnpm add --save-dev jose"},
		{"yarn's workspace", []string{"w/yarn.lock"}, "yarn add jose", "yarn add --dev jose"},
		{"bun's workspace", []string{"w/bun.lock"}, "bun add jose", "bun add --dev jose"},
		{"outside of the repository", []string{"yarn.lock", "w/.git"}, "npm install jose", "npm install --save-dev jose"},
	} {
		a := newApp(t, nil)
		for _, file := range append(tt.files, "w/apps/web/package.json") {
			a.write(file, "")
		}
		app := &App{dir: filepath.Join(a.dir, "w", "apps", "web")}
		if plain, types := app.command("jose", false), app.command("jose", true); plain != tt.plain || types != tt.types {
			t.Errorf("%s: %q, %q", tt.reason, plain, types)
		}
	}
}
