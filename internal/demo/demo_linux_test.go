package demo

import (
	"context"
	"testing"
	"time"

	"clerk-credential-helper/internal/testworld"
)

// TestDemoOfHungProgram: a demo that is stopped does not wait for what its programs have started.
func TestDemoOfHungProgram(t *testing.T) {
	testworld.Long(t, "what has been killed is waited for")
	testworld.Hang(t, "git")
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
