package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
)

// hung is a program of that name in a folder that is now first in the PATH. It starts another, which stays and has its
// streams, as a script does that stands in the place of the program.
func hung(t *testing.T, name string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nsleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// TestDoctorOfHungGit: the limit of a check also holds for what git has started.
func TestDoctorOfHungGit(t *testing.T) {
	hung(t, "git")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	d := &doctor{sys: &system{getenv: os.Getenv}}
	began := time.Now()
	d.git(ctx, &config.Config{Profiles: []*config.Profile{{Name: "acme"}}})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(d.findings) != 1 || d.findings[0].State != failing || !strings.Contains(d.findings[0].Detail, "in time") {
		t.Errorf("found %+v", d.findings)
	}
}

// TestDemoOfHungProgram: a demo that is stopped does not wait for what its programs have started.
func TestDemoOfHungProgram(t *testing.T) {
	hung(t, "git")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := (&demo{dir: t.TempDir()}).command(ctx, "", "git"); err == nil {
		t.Error("it has ended well")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}
