package doctor

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/internal/toolconfig"
)

// TestDoctorOfHungGit: the limit of a check also holds for what git has started.
func TestDoctorOfHungGit(t *testing.T) {
	testworld.Long(t, "what has been killed is waited for")
	testworld.Hang(t, "git")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	d := &doctor{env: Env{Tools: toolconfig.Env{Getenv: os.Getenv, LookPath: exec.LookPath}}}
	began := time.Now()
	d.git(ctx, &config.Config{Profiles: []*config.Profile{{Name: "acme"}}})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(d.findings) != 1 || d.findings[0].State != Failing || !strings.Contains(d.findings[0].Detail, "in time") {
		t.Errorf("found %+v", d.findings)
	}
}
