// Darwincheck type-checks packages as macOS with cgo would compile them, without a C compiler or an SDK for macOS: the
// go command lists the files, go/types checks them, and declarations from C are not checked. The standard library's
// function bodies are skipped.
//
//	go build -o darwincheck .ci/darwincheck/main.go
//	GOARCH=arm64 ./darwincheck ./...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

type listed struct {
	ImportPath, Dir   string
	GoFiles, CgoFiles []string
	ImportMap         map[string]string
	DepOnly, Standard bool
	Error             *struct{ Err string }
}

// imports resolves what one package imports among those checked before it.
type imports struct {
	checked map[string]*types.Package
	renamed map[string]string
}

func (i imports) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if to, ok := i.renamed[path]; ok {
		path = to
	}
	if p := i.checked[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s is not loaded", path)
}

func main() {
	checked, faults, err := check(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "darwincheck:", err)
		os.Exit(1)
	}
	for _, f := range faults {
		fmt.Println(f)
	}
	fmt.Printf("darwin/%s: %d packages type-checked, %d errors\n", arch(), checked, len(faults))
	if len(faults) > 0 || checked == 0 {
		os.Exit(1)
	}
}

func arch() string {
	if a := os.Getenv("GOARCH"); a != "" {
		return a
	}
	return runtime.GOARCH
}

func check(patterns []string) (checked int, faults []error, err error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,ImportMap,DepOnly,Standard,Error"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH="+arch(), "CGO_ENABLED=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	files := token.NewFileSet()
	done := map[string]*types.Package{}
	for d := json.NewDecoder(out); ; { // dependencies come first
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, nil, err
		}
		fault := func(err error) {
			if !p.Standard {
				faults = append(faults, err)
			}
		}
		if p.Error != nil {
			fault(fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err))
		}
		var parsed []*ast.File
		for _, name := range append(p.GoFiles, p.CgoFiles...) {
			f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				fault(err)
			}
			parsed = append(parsed, f)
		}
		conf := types.Config{
			Importer:         imports{done, p.ImportMap},
			FakeImportC:      true,
			IgnoreFuncBodies: p.Standard,
			Sizes:            types.SizesFor("gc", arch()),
			Error:            fault,
		}
		done[p.ImportPath], _ = conf.Check(p.ImportPath, files, parsed, nil) // its error went to fault
		if !p.DepOnly {
			checked++
		}
	}
	return checked, faults, cmd.Wait()
}
