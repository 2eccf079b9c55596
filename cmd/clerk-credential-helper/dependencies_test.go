package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// licences are told by sentences that only they have.
func licenceOf(text string) string {
	flat := strings.Join(strings.Fields(text), " ")
	switch {
	case strings.Contains(flat, "Apache License Version 2.0"):
		return "Apache-2.0"
	case strings.Contains(flat, "Permission is hereby granted, free of charge"):
		return "MIT"
	case strings.Contains(flat, "Redistribution and use in source and binary forms") && strings.Contains(flat, "Neither the name"):
		return "BSD-3-Clause"
	case strings.Contains(flat, "Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	}
	return "unknown"
}

// TestDependencies: docs/dependencies.md has a row for each module that go.mod requires directly, and no other, with the
// version in force and the licence that the module brings.
func TestDependencies(t *testing.T) {
	testworld.Need(t, "go")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // module and version to licence
	ours, _, _ := strings.Cut(string(page), "docs/backend")
	for line := range strings.SplitSeq(ours, "\n") {
		cells := strings.Split(line, " | ")
		if name, ok := strings.CutPrefix(cells[0], "| "); ok && len(cells) == 4 && strings.Contains(name, ".") {
			rows[name] = cells[2]
		}
	}
	cmd := exec.Command("go", "list", "-m", "-json", "all")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var m struct {
			Path, Version, Dir string
			Main, Indirect     bool
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Main || m.Indirect {
			continue
		}
		name := strings.TrimPrefix(m.Path, "github.com/")
		for _, major := range []string{"/v2", "/v3", "/v4", "/v5", "/v6"} {
			name = strings.TrimSuffix(name, major)
		}
		name += " " + strings.TrimPrefix(m.Version, "v")
		licence, ok := rows[name]
		delete(rows, name)
		if !ok {
			t.Errorf("%s has no row in docs/dependencies.md", name)
			continue
		}
		var text []byte
		for _, file := range []string{"LICENSE", "LICENSE.md", "LICENSE.txt", "COPYING"} {
			if text, err = os.ReadFile(filepath.Join(m.Dir, file)); err == nil {
				break
			}
		}
		if got := licenceOf(string(text)); got != licence {
			t.Errorf("%s: its licence is %s, and the row says %q", name, got, licence)
		}
	}
	for name := range rows {
		t.Errorf("%q is in docs/dependencies.md, and go.mod does not require it", name)
	}
}

// TestIndirectDependencies: the page also names each module that comes into the program by way of another.
func TestIndirectDependencies(t *testing.T) {
	testworld.Need(t, "go")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, system := range []string{"linux", "windows", "darwin"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Indirect}}{{.Path}} {{.Version}}{{end}}{{end}}", ".")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for line := range strings.Lines(string(out)) {
			if name := strings.Replace(strings.TrimSpace(line), " v", " ", 1); name != "" && !strings.Contains(string(page), name+" (") {
				t.Errorf("%s: docs/dependencies.md does not name %s and its licence", system, name)
			}
		}
	}
}

// TestLockFiles: each package that npm ci installs is compared with a sum of a function that is not broken.
func TestLockFiles(t *testing.T) {
	for _, file := range []string{"companion/package-lock.json", ".ci/issuers/package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Integrity string }
		}
		if err := json.Unmarshal(text, &lock); err != nil || len(lock.Packages) < 2 {
			t.Fatalf("%s: %d packages, %v", file, len(lock.Packages), err)
		}
		for name, p := range lock.Packages {
			if name != "" && !strings.HasPrefix(p.Integrity, "sha512-") {
				t.Errorf("%s: %s has no SHA-512 sum", file, name)
			}
		}
	}
}
