package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWriters: where something is written, the place has been checked to be no other user's (platform.CheckPlace). A new
// line here has a reason, and a row in TestRootInAPersonsHome if a call can reach it.
func TestWriters(t *testing.T) {
	const checked = "calls CheckPlace, or is called where that was"
	reasons := map[string]string{
		"platform/dirs.go":                   checked,
		"platform/dirs_unix.go":              checked,
		"platform/dirs_windows.go":           "Windows has no root",
		"platform/rewrite.go":                checked,
		"platform/rewrite_darwin.go":         checked,
		"platform/file.go":                   "in a folder that is this user's",
		"platform/remove.go":                 "what was made by the others",
		"platform/this_program.go":           "in a temporary folder, or beside the program, by doctor --fix",
		"platform/terminal_unix.go":          "a terminal",
		"platform/terminal_windows.go":       "a terminal",
		"internal/toolconfig/secret_file.go": "in a folder that is this user's",
		"internal/toolconfig/edit.go":        "Apply checks each file before its first change",
		"internal/doctor/fix.go":             "for another user there are no repairs",
		"internal/companionpage/add.go":      checked,
		"internal/broker/history.go":         "in a folder that is this user's, as platform.AppendPrivate has seen",
		"internal/demo/demo.go":              "in a temporary folder of its own",
		"internal/sandbox/listen.go":         "in a temporary folder of its own",
	}
	writes := []string{"Chmod", "Chown", "Chtimes", "Create", "CreateTemp", "Lchown", "Link", "Mkdir", "MkdirAll", "MkdirTemp", "OpenFile", "Remove", "RemoveAll",
		"Rename", "Symlink", "Truncate", "WriteFile"}
	found := map[string]bool{}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, p := range listPackages(t, goos) {
			room := strings.TrimPrefix(p.ImportPath, module+"/")
			switch room {
			case "docs/backend", "internal/testworld", "internal/broker/stormtest":
				continue // they do not ship
			}
			for _, name := range append(p.GoFiles, p.CgoFiles...) {
				file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				ast.Inspect(file, func(n ast.Node) bool {
					if call, ok := n.(*ast.SelectorExpr); ok {
						if from, ok := call.X.(*ast.Ident); ok && (from.Name == "os" || from.Name == "root") && slices.Contains(writes, call.Sel.Name) {
							found[room+"/"+name] = true
						}
					}
					return true
				})
			}
		}
	}
	for file := range found {
		if reasons[file] == "" {
			t.Errorf("%s writes files: in whose place?", file)
		}
	}
	for file := range reasons {
		if !found[file] {
			t.Errorf("%s writes no files", file)
		}
	}
}
