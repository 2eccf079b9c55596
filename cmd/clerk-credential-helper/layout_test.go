package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "clerk-credential-helper"

// rooms is a statement of policy: which of our packages each may import directly, and what it must never import. A
// change here is a change of the design.
var rooms = map[string]struct {
	may     []string
	never   []string
	program bool // owns its streams and its exit
	reason  string
}{
	"cmd/clerk-credential-helper": {
		may:     []string{"docs", "internal/broker", "internal/clerk", "internal/companionpage", "internal/config", "internal/console", "internal/demo", "internal/doctor", "internal/sandbox", "internal/setup", "internal/toolconfig", "platform", "protocol"},
		never:   []string{"testing"},
		program: true,
		reason:  "it puts the parts together, and ships no test code",
	},
	"docs": {never: []string{"net/http", "os", "os/exec"}, reason: "it holds pages, and reads nothing else"},
	"internal/companionpage": {
		may:    []string{"companion", "internal/clerk", "internal/config", "internal/console", "internal/loopback", "platform"},
		never:  []string{"os/exec"},
		reason: "it writes and asks a page, and keeps no session",
	},
	"internal/demo": {
		may:    []string{"internal/sandbox", "platform"},
		reason: "it runs the program, and is no part of it",
	},
	"internal/doctor": {
		may: []string{"internal/broker", "internal/clerk", "internal/config", "internal/console", "internal/toolconfig", "platform"},
		// os/exec for one question to git: what it makes of its configuration.
		reason: "it looks, and repairs after a yes",
	},
	"internal/setup": {
		may:    []string{"internal/clerk", "internal/config", "internal/console", "internal/toolconfig", "platform", "protocol"},
		never:  []string{"net/http", "os/exec"},
		reason: "it makes profiles, and others fetch and write",
	},
	"internal/console": {
		may:    []string{"platform", "protocol"},
		never:  []string{"net/http", "os/exec"},
		reason: "it speaks with a person, and with nothing else",
	},
	"internal/toolconfig": {
		may:    []string{"internal/config", "platform", "protocol"},
		never:  []string{"os/exec", "net/http"},
		reason: "it edits files, and runs nothing",
	},
	"internal/broker": {
		may:    []string{"protocol", "internal/config", "internal/clerk", "platform"},
		never:  []string{"net/http", "os/exec"},
		reason: "it decides, others act",
	},
	"internal/broker/stormtest": {
		may:     []string{"internal/broker", "internal/clerk", "internal/config", "internal/sandbox", "platform", "protocol"},
		never:   []string{"testing"},
		program: true,
		reason:  "it puts the parts together with ends between them, and does not ship",
	},
	"internal/clerk": {
		may:    []string{"internal/config", "internal/loopback"},
		never:  []string{"os/exec"},
		reason: "it speaks to the issuer and knows neither tools nor keychains",
	},
	"internal/loopback": {never: []string{"os/exec"}, reason: "it knows no provider and starts nothing"},
	"internal/config":   {never: []string{"os", "os/exec", "net/http"}, reason: "bytes in, values out"},
	"internal/sandbox":  {reason: "a stand-in that shared the client's code would prove nothing"},
	"protocol":          {never: []string{"os", "os/exec", "net/http", "log"}, reason: "a wire is a reader and a writer"},
	"platform":          {may: []string{"platform/bus"}, never: []string{"net/http"}, reason: "it knows operating systems and nothing else"},
	"platform/bus":      {never: []string{"net/http", "os/exec"}, reason: "it speaks to a bus, and knows no service"},
	"platform/platformtest": {
		may:    []string{"platform"},
		reason: "the contract names platform's sentinels",
	},
	"internal/testworld": {
		may:    []string{"internal/sandbox"},
		reason: "tests share it, those of platform as well, so it knows little, and nothing that ships imports it",
	},
}

type listed struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
	CgoFiles        []string
}

func listPackages(t *testing.T, goos string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,GoFiles,CgoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cgo := "0"
	if goos == "darwin" {
		cgo = "1" // the keychain's file is a cgo one
	}
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED="+cgo)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list for %s: %v", goos, err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// The limits of a house in which people find their way. Tests do not count.
const (
	packagesMost = 18   // beside docs: its pages are part of the program, and only a package can embed them
	linesMost    = 4500 // of one package
	methodsMost  = 30   // of one type
)

// TestSizes holds what a package and a type may grow to.
func TestSizes(t *testing.T) {
	for _, p := range listPackages(t, "linux") {
		lines, methods := 0, map[string]int{}
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			file := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte("\n"))
			f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Recv == nil {
					continue
				}
				of := fn.Recv.List[0].Type
				if pointer, ok := of.(*ast.StarExpr); ok {
					of = pointer.X
				}
				if named, ok := of.(*ast.Ident); ok {
					methods[named.Name]++
				}
			}
		}
		if lines > linesMost {
			t.Errorf("%s has %d lines; %d are the limit", p.ImportPath, lines, linesMost)
		}
		for name, n := range methods {
			// The stand-in's server is one handler for each endpoint.
			if n > methodsMost && p.ImportPath+"."+name != module+"/internal/sandbox.Server" {
				t.Errorf("%s.%s has %d methods; %d are the limit", p.ImportPath, name, n, methodsMost)
			}
		}
	}
}

func TestRooms(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		packages := listPackages(t, goos)
		if len(packages) > packagesMost+1 {
			t.Errorf("%s: %d packages; %d are the limit", goos, len(packages), packagesMost)
		}
		for _, p := range packages {
			room := strings.TrimPrefix(p.ImportPath, module+"/")
			rule, ok := rooms[room]
			if !ok {
				t.Errorf("%s: package %s has no row in the table", goos, room)
			}
			for _, path := range p.Imports {
				ours, isOurs := strings.CutPrefix(path, module+"/")
				if ours == "internal/testworld" {
					t.Errorf("%s: %s imports %s, which is for tests alone", goos, room, path)
				}
				if isOurs && !slices.Contains(rule.may, ours) || slices.Contains(rule.never, path) {
					t.Errorf("%s: %s imports %s: %s", goos, room, path, rule.reason)
				}
				if room == "protocol" && strings.Contains(path, ".") {
					t.Errorf("%s: protocol imports %s: the standard library is enough for a wire", goos, path)
				}
			}
		}
	}
}

// TestPlaces holds what must stay in one room: operating systems in platform, the standard streams and the exit in cmd.
// It also asks every package for one doc comment, in the file named after it.
func TestPlaces(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range listPackages(t, goos) {
			room := strings.TrimPrefix(p.ImportPath, module+"/")
			docs := 0
			for _, name := range append(p.GoFiles, p.CgoFiles...) {
				file := filepath.Join(p.Dir, name)
				f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
				if err != nil {
					t.Fatal(err)
				}
				if f.Doc != nil {
					docs++
					if base := filepath.Base(room) + ".go"; name != base && name != "main.go" {
						t.Errorf("%s: the package comment stands in %s, not in %s", room, name, base)
					}
				}
				if room != "platform" {
					for _, g := range f.Comments {
						if strings.HasPrefix(g.List[0].Text, "//go:build") {
							t.Errorf("%s/%s has a build tag: what differs by system belongs into platform", room, name)
						}
					}
				}
				ast.Inspect(f, func(n ast.Node) bool {
					s, ok := n.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					x, ok := s.X.(*ast.Ident)
					if !ok {
						return true
					}
					switch use := x.Name + "." + s.Sel.Name; {
					case use == "runtime.GOOS" && room != "platform":
						t.Errorf("%s/%s uses runtime.GOOS: what differs by system belongs into platform", room, name)
					case !rooms[room].program && (use == "os.Stdout" || use == "os.Exit" ||
						x.Name == "fmt" && strings.HasPrefix(s.Sel.Name, "Print")):
						t.Errorf("%s/%s uses %s: only cmd touches the standard streams and the exit", room, name, use)
					}
					return true
				})
				for _, d := range f.Decls {
					if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
						t.Errorf("%s/%s has an init function: work at start-up slows every get", room, name)
					}
				}
			}
			if docs != 1 {
				t.Errorf("%s (%s) has %d package comments, not one", room, goos, docs)
			}
		}
	}
}

// TestTimes holds that what a token's times mean is decided in internal/broker alone: others ask its Plan or its Session.
func TestTimes(t *testing.T) {
	times := func(e ast.Expr) bool {
		s, ok := e.(*ast.SelectorExpr)
		return ok && slices.Contains([]string{"ExpiresAt", "ReceivedAt", "Expires"}, s.Sel.Name)
	}
	for _, p := range listPackages(t, "linux") {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		if room == "internal/broker" || room == "internal/clerk" { // which makes them of what the issuer says
			continue
		}
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				use, ok := call.Fun.(*ast.SelectorExpr)
				if ok && slices.Contains([]string{"After", "Before", "Compare", "Equal", "Sub", "Until", "Since"}, use.Sel.Name) &&
					(times(use.X) || slices.ContainsFunc(call.Args, times)) {
					t.Errorf("%s/%s compares a token's times: internal/broker does", room, name)
				}
				return true
			})
		}
	}
}

// TestWordsOfWindows: what the program for Windows can print names no command or place that only Unix has. A text that is never
// printed there has its reason.
func TestWordsOfWindows(t *testing.T) {
	unix := regexp.MustCompile(`(?:^|[^\w-])(?:ln -s|ln -|mkdir -p|chmod|chown|chgrp|sudo|rm -|rm /|ulimit|dmesg|loginctl|command -v|export [A-Z]+=)|~/|\$\(|install\.sh|/\.local/`)
	never := map[string]string{
		"internal/clerk/form.go:$(":                                                                  "what a token may not have in it",
		"internal/clerk/form.go:~/":                                                                  "what a token may not have in it",
		"internal/doctor/installed.go:install.sh":                                                    "what has installed a program on Unix, as its list of files says",
		"internal/doctor/version.go:install.sh":                                                      "the same",
		"internal/doctor/version.go:run install.sh again, with --version latest":                     "said where install.sh has installed it",
		"internal/doctor/hint.go:run it without sudo, in a session of the user whose keychain it is": "sudo is found only where there is one",
		"internal/doctor/hint.go:CLERK_HELPER_STORE=file keeps the session and its locks below HOME; on Linux a login session makes /run/user/UID, and loginctl enable-linger keeps it": "Windows always has a place for locks",
	}
	used := map[string]bool{}
	for _, p := range listPackages(t, "windows") {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		switch room {
		case "docs/backend", "internal/testworld", "internal/broker/stormtest", "companion":
			continue // they do not ship, or are for a server
		}
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil || !unix.MatchString(text) || strings.HasPrefix(text, "(?") || strings.HasPrefix(text, "[") || strings.HasPrefix(text, "^") {
					return true // the rest are regular expressions
				}
				key := room + "/" + name + ":" + text
				if used[key] = true; never[key] == "" {
					t.Errorf("%s: %q", files.Position(literal.Pos()), text)
				}
				return true
			})
		}
	}
	for key := range never {
		if !used[key] {
			t.Errorf("%q is not there any more", key)
		}
	}
}
