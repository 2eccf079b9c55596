package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"clerk-credential-helper/internal/testworld"
)

// section is a part of errors.md, and the packages whose messages it has.
type section struct {
	heading string
	folders []string
}

var sections = []section{
	{"Signing in, and tokens", []string{"internal/broker", "internal/loopback"}},
	{"The issuer", []string{"internal/clerk"}},
	{"The configuration", []string{"internal/config"}},
	{"Keychains, files and locks", []string{"platform", "platform/bus"}},
	{"Commands", []string{"cmd/clerk-credential-helper", "docs", "internal/console", "internal/doctor", "internal/setup"}},
	{"Files of tools", []string{"internal/toolconfig"}},
	{"What a tool asks", []string{"protocol"}},
	{"The companion page", []string{"internal/companionpage"}},
}

// left are the packages that are in no section, with the reason.
var left = map[string]string{
	"internal/sandbox":          "the stand-in for Clerk",
	"internal/demo":             "what runs the stand-in",
	"internal/testworld":        "for tests alone",
	"platform/platformtest":     "for tests alone",
	"internal/broker/stormtest": "for tests alone",
}

const (
	hintSection   = "Hints"
	defectSection = "Defects of the program"
)

// message is what a person may read. named is one that other code asks for: a variable, or a type with a method Error.
type message struct {
	text  string
	named bool
}

// TestErrorsPage holds errors.md to the source: each message and each hint is on the page, and no other. -update writes the page
// anew, with the causes and cures that it has; a named message or a hint without one is a failure afterwards.
//
// A message is a text that is given to errors.New or fmt.Errorf, or to a function that gives it to them, or that stands in a
// method Error or in the broker's list of the issuer's refusals. A text without a word of its own, such as "%w: %w", is none.
func TestErrorsPage(t *testing.T) {
	const file = "errors.md"
	before, err := os.ReadFile(file)
	if err != nil && !testworld.Updating() {
		t.Fatal(err)
	}
	page := readErrors(string(before))
	for _, folder := range packages(t) {
		listed := left[folder] != "" || slices.ContainsFunc(sections, func(s section) bool { return slices.Contains(s.folders, folder) })
		if !listed {
			t.Errorf("the messages of %s are in no section", folder)
		}
	}
	gone := maps.Clone(page.cells)
	var out strings.Builder
	out.WriteString(page.intro)
	write := func(heading string, messages []message, all bool) {
		prose := strings.TrimSpace(page.prose[heading])
		if prose == "" {
			t.Errorf("%q has no text of its own", heading)
		}
		fmt.Fprintf(&out, "## %s\n\n%s\n\n", heading, prose)
		var rows, rest []string
		for _, m := range messages {
			cell, there := page.cells[m.text]
			if !there && !testworld.Updating() {
				t.Errorf("%q is in the source, and not on the page: -update puts it there", m.text)
			}
			delete(gone, m.text)
			switch {
			case cell != "" || m.named || all:
				if cell == "" && !testworld.Updating() {
					t.Errorf("%q has no cause and cure: write them in its row", m.text)
				}
				rows = append(rows, fmt.Sprintf("| %s | %s |\n", quoted(m.text), cell))
			default:
				rest = append(rest, "- "+quoted(m.text)+"\n")
			}
		}
		if rows != nil {
			out.WriteString("| message | cause, and what helps |\n|---|---|\n" + strings.Join(rows, "") + "\n")
		}
		if rest != nil {
			out.WriteString(strings.Join(rest, "") + "\n")
		}
	}
	var hints []message
	for _, text := range hintsOf(t) {
		hints = append(hints, message{text: text})
	}
	write(hintSection, hints, true)
	seen := map[string]bool{}
	var defects []message
	for _, s := range sections {
		var messages []message
		for _, folder := range s.folders {
			for _, m := range messagesOf(t, folder) {
				switch {
				case seen[m.text]:
				case page.defects[m.text]:
					defects = append(defects, m)
				default:
					messages = append(messages, m)
				}
				seen[m.text] = true
			}
		}
		write(s.heading, messages, false)
	}
	for i := range defects {
		defects[i].named = false
	}
	write(defectSection, defects, false)
	for text := range gone {
		if !testworld.Updating() {
			t.Errorf("%q is on the page, and not in the source: -update takes it away", text)
		}
	}
	if t.Failed() {
		return
	}
	if len(seen) < 400 || len(hints) < 40 {
		t.Errorf("only %d messages and %d hints were found", len(seen), len(hints))
	}
	testworld.Golden(t, file, strings.TrimRight(out.String(), "\n")+"\n")
}

// packages are the folders of the module that hold Go files beside tests.
func packages(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	for _, pattern := range []string{"../*/*.go", "../*/*/*.go", "../*/*/*/*.go"} {
		files, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), "../")
			other := slices.ContainsFunc([]string{".ci/", "companion", "docs/backend", "packaging"}, func(s string) bool { return strings.HasPrefix(folder, s) })
			if !strings.HasSuffix(file, "_test.go") && !other { // those are modules of their own, or no part of the program
				found[folder] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// errorsPage is what is kept of the page: the rest comes from the source.
type errorsPage struct {
	intro   string
	prose   map[string]string // by heading
	cells   map[string]string // by message
	defects map[string]bool
}

func readErrors(text string) errorsPage {
	page := errorsPage{prose: map[string]string{}, cells: map[string]string{}, defects: map[string]bool{}}
	intro, rest, _ := strings.Cut(text, "\n## ")
	page.intro = strings.TrimRight(intro, "\n") + "\n\n"
	quotes := regexp.MustCompile("^(?:\\| |- )(`+) ?(.*?) ?(`+)(?: \\| (.*) \\|)?$")
	for section := range strings.SplitSeq(rest, "\n## ") {
		heading, body, _ := strings.Cut(section, "\n")
		inProse := true
		for line := range strings.Lines(body) {
			found := quotes.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
			switch {
			case found != nil:
				inProse = false
				said := strings.ReplaceAll(found[2], `\|`, "|")
				page.cells[said] = found[4]
				if heading == defectSection {
					page.defects[said] = true
				}
			case strings.HasPrefix(line, "|"):
				inProse = false
			case inProse:
				page.prose[heading] += line
			}
		}
	}
	return page
}

// quoted is a message as code in a cell of a table.
func quoted(text string) string {
	text = strings.ReplaceAll(text, "|", `\|`)
	if strings.Contains(text, "`") {
		return "`` " + text + " ``"
	}
	return "`" + text + "`"
}

// parsed are the files of a folder of the tree, for every system, without tests.
func parsed(t *testing.T, folder string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", folder, len(names), err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// messagesOf are the messages of a package, in the order of its files.
func messagesOf(t *testing.T, folder string) []message {
	t.Helper()
	files := parsed(t, folder)
	makers := makersOf(files)
	var all []message
	add := func(e ast.Expr, named bool) {
		if text, ok := literal(e); ok {
			if text = shown(text); text != "" && !slices.ContainsFunc(all, func(m message) bool { return m.text == text }) {
				all = append(all, message{text: text, named: named})
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, isFunc := d.(*ast.FuncDecl)
			inError := isFunc && (fn.Name.Name == "Error" && fn.Recv != nil || folder == "internal/broker" && fn.Name.Name == "reasons")
			ast.Inspect(d, func(n ast.Node) bool {
				switch e := n.(type) {
				case *ast.CallExpr:
					if at, ok := makers[called(e)]; ok && at < len(e.Args) {
						add(e.Args[at], !isFunc)
					}
				case *ast.BasicLit:
					if text, ok := literal(e); inError && ok && len(strings.Fields(text)) > 1 {
						add(e, true)
					}
				}
				return true
			})
		}
	}
	return all
}

// called is the name of a called function: "name", or "package.name", or ".name" of a method.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && (x.Name == "errors" || x.Name == "fmt") {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	}
	return ""
}

// makersOf are the functions that make an error of a text, and which of their arguments it is: those of the standard library,
// and those of the package that hand a parameter of theirs on to one.
func makersOf(files []*ast.File) map[string]int {
	makers := map[string]int{"errors.New": 0, "fmt.Errorf": 0}
	for found := true; found; {
		found = false
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				name := fn.Name.Name
				if fn.Recv != nil {
					name = "." + name
				}
				if _, known := makers[name]; known {
					continue
				}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					at, made := makers[called(call)]
					if !made || at >= len(call.Args) {
						return true
					}
					if handed, ok := call.Args[at].(*ast.Ident); ok {
						if i := parameter(fn, handed.Name); i >= 0 {
							makers[name], found = i, true
						}
					}
					return true
				})
			}
		}
	}
	return makers
}

// parameter is the place of a string parameter of that name, -1 if there is none.
func parameter(fn *ast.FuncDecl, name string) int {
	at := 0
	for _, field := range fn.Type.Params.List {
		kind, _ := field.Type.(*ast.Ident)
		for _, n := range field.Names {
			if n.Name == name && kind != nil && kind.Name == "string" {
				return at
			}
			at++
		}
	}
	return -1
}

// literal is the text of a literal, or of several that are added. What else is added shows as "%v".
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		left, inLeft := literal(e.X)
		right, inRight := literal(e.Y)
		if !inLeft {
			left = "%v"
		}
		if !inRight {
			right = "%v"
		}
		return left + right, e.Op == token.ADD && (inLeft || inRight)
	case *ast.ParenExpr:
		return literal(e.X)
	}
	return "", false
}

var verb = regexp.MustCompile(`%[-+# 0]*(?:\d+|\*)?(?:\.\d+)?[a-zA-Z]`)

// shown is a text as it stands on the page: "..." for what differs; empty if it has no word of its own.
func shown(text string) string {
	text = verb.ReplaceAllString(strings.ReplaceAll(text, "%%", "\x00"), "...")
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\x00", "%")), " ")
	letters := 0
	for _, r := range text {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	if letters < 4 {
		return ""
	}
	return text
}

// hintsOf are the hints: what the functions of internal/doctor/hint.go and of the command line's advice return. A name of
// platform stands for what it is on each system.
func hintsOf(t *testing.T) []string {
	t.Helper()
	named := map[string][]string{}
	for _, f := range parsed(t, "platform") {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					if i < len(v.Values) {
						if text, ok := literal(v.Values[i]); ok {
							named["platform."+name.Name] = append(named["platform."+name.Name], text)
						}
					}
				}
			}
		}
	}
	var all []string
	add := func(text string) {
		if text = shown(strings.TrimLeft(text, "; ")); len(strings.Fields(text)) > 2 && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, source := range []struct{ file, only, never string }{
		{"../internal/doctor/hint.go", "", "Asked AskedAgain"}, // parts of a sentence
		{"../cmd/clerk-credential-helper/grammar.go", "advice afterLogin", ""},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(source.file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, isFunc := d.(*ast.FuncDecl)
			if isFunc && slices.Contains(strings.Fields(source.never), fn.Name.Name) ||
				source.only != "" && (!isFunc || !slices.Contains(strings.Fields(source.only), fn.Name.Name)) {
				continue
			}
			ast.Inspect(d, func(n ast.Node) bool {
				switch e := n.(type) {
				case *ast.ImportSpec:
					return false
				case *ast.BinaryExpr:
					if text, ok := literal(e); ok {
						add(text)
						for _, inner := range []ast.Expr{e.X, e.Y} { // a name that stands for a text
							addNamed(inner, named, add)
						}
						return false
					}
				case *ast.BasicLit:
					if text, ok := literal(e); ok {
						add(text)
					}
				case *ast.SelectorExpr:
					addNamed(e, named, add)
				}
				return true
			})
		}
	}
	return all
}

func addNamed(e ast.Expr, named map[string][]string, add func(string)) {
	ast.Inspect(e, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				for _, text := range named[x.Name+"."+s.Sel.Name] {
					add(text)
				}
			}
		}
		return true
	})
}
