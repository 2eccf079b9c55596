package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be called by every name that the program answers to, so that real clients start it.
func TestMain(m *testing.M) {
	testscript.Main(ownTools{m}, map[string]func(){
		"clerk-credential-helper":     main,
		"git-credential-clerk":        main,
		"docker-credential-clerk":     main,
		"cargo-credential-clerk":      main,
		"terraform-credentials-clerk": main,
		"bazel-credential-clerk":      main,
		"keyring":                     main,
		demo.Browser:                  main,
		renewName:                     main,
		"alone":                       runAlone,
	})
}

// ownTools runs the tests without the variables that name the configuration files of tools: HOME is each test's own, but
// these would lead to the files of the person who runs the tests.
type ownTools struct{ *testing.M }

func (m ownTools) Run() int {
	for _, name := range []string{"CARGO_HOME", "CLERK_HELPER_CONFIG", "DOCKER_CONFIG", "GIT_CONFIG_GLOBAL", "GOENV", "KUBECONFIG",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "BITBUCKET_STEP_OIDC_TOKEN", "BUILDKITE_AGENT_ACCESS_TOKEN", "SYSTEM_ACCESSTOKEN",
		"NPM_CONFIG_USERCONFIG", "npm_config_userconfig", "PIP_CONFIG_FILE", "TF_CLI_CONFIG_FILE", "XDG_CONFIG_HOME"} {
		os.Unsetenv(name)
	}
	return m.M.Run()
}

// TestScripts runs the program as tools and people do. Each script has a home of its own, the file store, and a
// browser that follows the sign-in by itself; "asked" counts what reached Clerk.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               furnish,
		Condition:           testworld.Condition(t),
		Cmds:                testworld.Commands(lockIn),
	})
}

// lockIn is a [testworld.Lock].
func lockIn(ctx context.Context, dir, name string) (release func(), err error) {
	return platform.Locks{Dir: dir}.Lock(ctx, name)
}

func furnish(env *testscript.Env) error {
	browser, err := exec.LookPath(demo.Browser)
	if err != nil {
		return err
	}
	if _, _, err = testworld.Setup(env, browser); err != nil {
		return err
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	env.Setenv("ROOT", root)
	return err
}

type world = testworld.World

var write, rewrite, chmod = testworld.Write, testworld.Rewrite, testworld.Chmod

// newWorld makes a world in which this program is the browser that follows a sign-in.
func newWorld(dir string, atEnd func(func())) (*world, map[string]string, error) {
	browser, err := exec.LookPath(demo.Browser)
	if err != nil {
		return nil, nil, err
	}
	return testworld.New(dir, browser, atEnd)
}

// runAlone runs a command where the home folder and the run-time folder of the user database are empty ones of its own:
// what belongs to a native keychain is found through them, whatever HOME says. Linux.
func runAlone() {
	cmd := exec.Command("unshare", append([]string{"--user", "--map-root-user", "--mount", "sh", "-c",
		`mount -t tmpfs none /root && mount -t tmpfs none /run && exec "$@"`, "alone"}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}
