package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
)

// TestTokenInPipe: a token that comes through a pipe comes once, and is there for every question of one run. One that does
// not come is not waited for after Ctrl-C.
func TestTokenInPipe(t *testing.T) {
	for _, row := range []struct{ reason, writes, want string }{
		{"a token", "oat_123\n", "oat_123"},
		{"no process writes", "", ""},
	} {
		t.Run(row.reason, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(file, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("CLERK_HELPER_TOKEN_FILE", file)
			p := &config.Profile{Name: "acme"}
			injected := new(environmentTokens).of(os.Getenv, &config.Config{Profiles: []*config.Profile{p}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.writes == "" {
				time.AfterFunc(50*time.Millisecond, cancel) // Ctrl-C while it waits
			} else {
				go os.WriteFile(file, []byte(row.writes), 0)
			}
			type answer struct {
				token string
				err   error
			}
			answers := make(chan answer, 3)
			go func() {
				for range cap(answers) {
					token, _, err := injected(ctx, p)
					answers <- answer{token, err}
				}
			}()
			limit := time.After(10 * time.Second)
			for range cap(answers) {
				select {
				case a := <-answers:
					if a.token != row.want || (a.err == nil) != (row.want != "") || a.err != nil && !strings.Contains(a.err.Error(), "cancelled") {
						t.Errorf("got %q, %v", a.token, a.err)
					}
				case <-limit:
					t.Fatal("it waits for a token that does not come")
				}
			}
			// A process that waits for the pipe still finds its end.
			if w, err := os.OpenFile(file, os.O_RDWR, 0); err == nil {
				w.Close()
			}
		})
	}
}
