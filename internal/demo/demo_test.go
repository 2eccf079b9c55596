package demo

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
)

// TestDemoFails: whichever part or step fails, the demo ends with its error, its servers end, and its folder is gone.
func TestDemoFails(t *testing.T) {
	broken := errors.New("it is broken")
	breaks := func(context.Context) error { return broken }
	works := func(context.Context) (string, error) { return "", nil }
	parts := len((&demo{}).parts())
	steps := len((&demo{}).steps())
	for at := range parts + steps {
		temporary := t.TempDir()
		for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
			t.Setenv(name, temporary)
		}
		var said strings.Builder
		d := &demo{Options: Options{Stdout: &said, Getenv: os.Getenv}}
		mine := d.parts()
		mine[parts-1] = func(context.Context) error { return nil } // it would run this test
		if at < parts {
			mine[at] = breaks
		}
		err := d.run(t.Context(), mine, func() []step {
			shown := d.steps()
			for i := range shown {
				if shown[i].run = works; i == at-parts {
					shown[i].run = func(context.Context) (string, error) { return "", broken }
				}
			}
			return shown
		})
		if !errors.Is(err, broken) || at < parts != strings.HasPrefix(err.Error(), "setting up the demo: ") {
			t.Errorf("part or step %d: %v", at, err)
		}
		if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
			t.Errorf("part or step %d: %v is left, %v", at, left, err)
		}
		for _, server := range []string{strings.TrimPrefix(d.issuer, "http://"), d.git, d.registry} {
			if conn, err := net.Dial("tcp", server); server != "" && err == nil {
				conn.Close()
				t.Errorf("part or step %d: %s still answers", at, server)
			}
		}
	}
}

// TestDemoWithoutFolder: there may be no folder for temporary files.
func TestDemoWithoutFolder(t *testing.T) {
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, t.TempDir()+"/missing")
	}
	var said strings.Builder
	err := Run(t.Context(), Options{Stdout: &said, Getenv: os.Getenv})
	if err == nil || !strings.HasPrefix(err.Error(), "setting up the demo: ") {
		t.Errorf("%v, and it said %q", err, said.String())
	}
}
