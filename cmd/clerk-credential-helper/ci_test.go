package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// recipe is a code block of docs/ci.md with a shell part, under the heading it stands below.
type recipe struct {
	heading, script string
	vars            map[string]string // of the helper, that stand in the block
}

// companion reports whether the recipe is of a job without a stored secret.
func (r recipe) companion() bool {
	return r.vars["CLERK_HELPER_COMPANION"] != "" || strings.Contains(r.script, "CLERK_HELPER_COMPANION=")
}

// withKey is the shell part where a machine's key takes the place of the job's token.
func (r recipe) withKey() string {
	return regexp.MustCompile(`export CLERK_HELPER_(COMPANION|CI_TOKEN)=.*\n`).ReplaceAllString(r.script, "")
}

// recipes takes the shell parts out: what is indented below a line that ends with "|" or three quotes, or what stands
// between "<<EOF" and "EOF".
func recipes(text string) []recipe {
	// As YAML, as Groovy, or as a member of a list of Kubernetes.
	variable := regexp.MustCompile(`^ *(?:- \{ name: )?(CLERK_HELPER_[A-Z_]+)(?:, value)? ?[:=] ["']?([^"'}]+?)["']?(?: \})?$`)
	var all []recipe
	heading, fence, begin, vars := "", false, 0, map[string]string{}
	lines := strings.Split(text, "\n")
	indent := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "```"):
			if fence = !fence; !fence {
				for j := begin; j < len(all); j++ {
					all[j].vars = vars
				}
			}
			begin, vars = len(all), map[string]string{}
			continue
		case !fence && strings.HasPrefix(line, "## "):
			heading = line[3:]
			continue
		case !fence || strings.HasPrefix(line, "#"):
			continue
		}
		if m := variable.FindStringSubmatch(line); m != nil {
			vars[m[1]] = m[2]
		}
		block := strings.HasSuffix(line, ": |") || strings.HasSuffix(line, "- |") || strings.HasSuffix(line, "sh '''")
		document := strings.HasSuffix(line, "<<EOF")
		if !block && !document {
			continue
		}
		var script strings.Builder
		least := indent(lines[i+1])
		for i++; i < len(lines); i++ {
			if document && lines[i] == "EOF" || block && indent(lines[i]) < least || strings.HasPrefix(lines[i], "```") {
				i--
				break
			}
			fmt.Fprintln(&script, strings.TrimSpace(lines[i]))
		}
		all = append(all, recipe{heading: heading, script: script.String()})
	}
	return all
}

// TestCI runs every recipe as its CI would, with no secret in the environment but the CI's own, and looks for tokens in
// what it leaves in logs. What a machine's key needs besides is the same shell part.
func TestCI(t *testing.T) {
	testworld.Long(t, "every recipe clones with git")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "ci.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := recipes(string(text))
	kinds := map[string]sandbox.JobKind{}
	for _, kind := range sandbox.JobKinds("acme/app") {
		heading := kind.CI
		if heading == "GitLab" {
			heading = "GitLab CI"
		}
		kinds[heading] = kind
		if !slices.ContainsFunc(all, func(r recipe) bool { return r.heading == heading && r.companion() }) {
			t.Errorf("no recipe for %s without a stored secret", kind.CI)
		}
	}
	if len(all) != len(kinds)+3 { // Jenkins, docker build, and in the image
		t.Fatalf("%d recipes, not %d", len(all), len(kinds)+3)
	}
	ran := map[string]bool{} // the shell parts that have been run with a machine's key
	for _, r := range all {
		kind, known := kinds[r.heading]
		name := r.heading
		if inImage := strings.Contains(r.script, "/run/secrets"); inImage {
			name += ", in the image"
			r.vars = nil
		}
		if !known {
			kind = kinds["GitHub Actions"]
		}
		if r.companion() {
			t.Run(name, func(t *testing.T) { runRecipe(t, r, &kind) })
		}
		if !ran[r.withKey()] {
			ran[r.withKey()] = true
			t.Run(name+", with a key", func(t *testing.T) { runRecipe(t, r, nil) })
		}
	}
}

// runRecipe runs a recipe in a clean home, with the hosts of the text led to the servers of the test, as a job of that
// kind, or, without one, with a machine's key.
func runRecipe(t *testing.T, r recipe, kind *sandbox.JobKind) {
	for _, program := range []string{"sh", "git", "docker"} {
		if strings.Contains(r.script, program+" ") {
			testworld.Need(t, program)
		}
	}
	dir := t.TempDir()
	w, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".config", ".gitconfig", ".docker"} {
		if err := os.RemoveAll(filepath.Join(vars["HOME"], name)); err != nil {
			t.Fatal(err)
		}
	}
	work, bin, trace := filepath.Join(dir, "work"), filepath.Join(dir, "bin"), filepath.Join(dir, "trace")
	write(t, filepath.Join(work, "deploy.sh"), "#!/bin/sh\ntest ${#API_TOKEN} -gt 20\n")
	chmod(t, filepath.Join(work, "deploy.sh"), 0o755)
	app := w.WebApp(true, t.Cleanup)
	acme := strings.NewReplacer("https://app.acme.dev", app, "https://clerk.acme.dev", vars["ISSUER"], "git.acme.dev", vars["GIT"],
		"registry.acme.dev", vars["BASIC"], "docker manifest inspect", "docker manifest inspect --insecure")
	maps.Copy(vars, map[string]string{"CI": "true", "CLERK_HELPER_INTERACTIVE": "", "CLERK_HELPER_TRACE": trace, "PATH": bin + ":" + os.Getenv("PATH")})
	script := acme.Replace(r.script)
	for name, value := range r.vars {
		vars[name] = acme.Replace(value)
	}
	own := map[string]string{}
	if kind != nil {
		job := newJob(t, w, app, *kind)
		own = job.vars
		for name, value := range job.vars {
			if strings.Contains(r.script, "export "+name+"=") {
				continue // the recipe fetches it
			}
			if _, said := r.vars[name]; !said && strings.HasPrefix(name, "CLERK_HELPER_") && !strings.Contains(r.heading, "GitLab") {
				t.Errorf("the recipe does not set %s", name)
			}
			vars[name] = value
		}
		for name, text := range job.programs {
			write(t, filepath.Join(bin, name), text)
			chmod(t, filepath.Join(bin, name), 0o755)
		}
	} else {
		for _, name := range []string{"CLERK_HELPER_COMPANION", "CLERK_HELPER_CI_TOKEN_FILE"} {
			delete(vars, name)
		}
		maps.Copy(vars, map[string]string{"CLERK_HELPER_ISSUER": vars["ISSUER"], "CLERK_API_URL": vars["ISSUER"], "CLERK_MACHINE_SECRET_KEY": "ak_sandbox_machine"})
		if vars["CLERK_HELPER_HOSTS"] == "" { // of the image, which needs no helper
			vars["CLERK_HELPER_HOSTS"] = vars["GIT"]
		}
		vars["CLERK_HELPER_STORE"] = "file"
		script = acme.Replace(r.withKey())
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
	secret := filepath.Join(dir, "secret")
	if strings.Contains(script, "/run/secrets") {
		// What BuildKit mounts.
		status, token, words := runHere("token")
		if status != exitOK {
			t.Fatal(words)
		}
		write(t, secret, strings.TrimSpace(token))
		script = strings.ReplaceAll(script, "/run/secrets/clerk_token", secret)
	}
	if strings.Contains(script, "docker build") {
		// A daemon is more than a test can ask for; what docker is given is looked at.
		write(t, filepath.Join(bin, "docker"), "#!/bin/sh\ntest \"$1 $2\" = 'build --secret' && test -s \"${3#id=clerk_token,src=}\"\n")
		chmod(t, filepath.Join(bin, "docker"), 0o755)
	}
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Dir = work
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out.String())
	}
	if hello, err := os.ReadFile(filepath.Join(work, "hello", "hello.txt")); strings.Contains(script, "git clone") && (err != nil || string(hello) != "hello\n") {
		t.Errorf("nothing was cloned: %v", err)
	}
	if strings.Contains(script, "docker manifest") && !strings.Contains(out.String(), "schemaVersion") {
		t.Errorf("nothing was read of the registry:\n%s", out.String())
	}
	minted, exchanged := w.Clerk.Count("/v1/m2m_tokens"), w.Clerk.Count(testworld.Exchanged)
	if minted+exchanged != 1 || (minted == 1) != (kind == nil) {
		t.Errorf("%d tokens were minted and %d exchanged, not one", minted, exchanged)
	}
	noSecrets(t, w, vars, own, map[string]string{"the job's log": out.String(), "the trace": readFile(t, trace)})
}

// noSecrets looks for secrets in logs, in the environment but for the CI's own variables, and in the files that the job
// has left in its home but for the store's own.
func noSecrets(t *testing.T, w *world, vars, own, logs map[string]string) {
	t.Helper()
	issued := w.Clerk.Issued()
	if len(issued) == 0 {
		t.Fatal("no token was issued: the recipe proves nothing")
	}
	for name, value := range vars {
		if _, its := own[name]; !its && slices.Contains(issued, value) {
			t.Errorf("%s has a secret", name)
		}
	}
	err := filepath.WalkDir(vars["HOME"], func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.HasPrefix(e.Name(), "machine-") {
			logs[path] = readFile(t, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for name, log := range logs {
		for line := range strings.SplitSeq(log, "\n") {
			for _, secret := range append(issued, "ak_sandbox_machine") {
				if strings.Contains(line, secret) && line != "::add-mask::"+secret && line != "##vso[task.setsecret]"+secret {
					t.Errorf("%s holds a secret: %.40q...", name, line)
				}
			}
		}
	}
}

// ciJob is what a job finds in its environment, and the CI's own programs.
type ciJob struct{ vars, programs map[string]string }

// newJob starts a CI with a job of that kind, which the policy of the app names.
func newJob(t *testing.T, w *world, app string, kind sandbox.JobKind) ciJob {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	ci := w.Clerk.CI("http://" + server.Listener.Addr().String())
	server.Config.Handler = ci
	server.Start()
	t.Cleanup(server.Close)
	w.Trust(ci, kind)
	job := ci.Job(kind.Claims)
	audience := app
	if kind.Audience != "" {
		audience = kind.Audience
	}
	token, err := job.Token(audience)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, token+"\n")
	// It prints the token if it is asked as its documentation says, for the audience of the app.
	program := func(arguments string) string {
		return "#!/bin/sh\ntest \"$*\" = '" + arguments + "' && exec cat " + file + "\n"
	}
	switch kind.CI {
	case "GitHub Actions":
		return ciJob{vars: map[string]string{"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": ci.RequestURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": job.RequestToken}}
	case "GitLab":
		return ciJob{vars: map[string]string{"GITLAB_CI": "true", "CLERK_HELPER_CI_TOKEN": token}}
	case "CircleCI":
		other, err := job.Token("1f2e3d4c-0000-4000-8000-000000000001")
		if err != nil {
			t.Fatal(err)
		}
		return ciJob{map[string]string{"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN_V2": other},
			map[string]string{"circleci": program(`run oidc get --claims {"aud":"` + app + `"}`)}}
	case "Bitbucket Pipelines":
		return ciJob{vars: map[string]string{"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_STEP_OIDC_TOKEN": token}}
	case "Azure Pipelines":
		return ciJob{vars: map[string]string{"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": ci.RequestURL(), "SYSTEM_ACCESSTOKEN": job.RequestToken}}
	case "Buildkite":
		folder := t.TempDir()
		write(t, filepath.Join(folder, "buildkite-agent"), program("oidc request-token --audience "+app))
		chmod(t, filepath.Join(folder, "buildkite-agent"), 0o755)
		return ciJob{vars: map[string]string{"BUILDKITE": "true", "BUILDKITE_BIN_PATH": folder, "BUILDKITE_AGENT_ACCESS_TOKEN": job.RequestToken}}
	case "Kubernetes", "SPIFFE":
		return ciJob{vars: map[string]string{"CLERK_HELPER_CI_TOKEN_FILE": file}}
	}
	t.Fatalf("no such CI: %s", kind.CI)
	return ciJob{}
}

// TestSandboxCI: the lines that "sandbox --ci" prints work as they stand, and the fork's job gets nothing.
func TestSandboxCI(t *testing.T) {
	if filepath.Separator == '\\' {
		t.Skip("the lines are for a shell of Unix")
	}
	testworld.Need(t, "git", "sh")
	wellSetUp(t)
	home := t.TempDir()
	env := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	cmd := exec.CommandContext(t.Context(), "clerk-credential-helper", "sandbox", "--ci")
	cmd.Env = env
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var export, then []string // those after "In a shell of its own"
	screen := bufio.NewScanner(stdout)
	for ci := false; screen.Scan(); {
		line := strings.TrimSpace(screen.Text())
		ci = ci || strings.HasSuffix(line, "In a shell of its own:")
		switch {
		case ci && strings.HasPrefix(line, "export "):
			export = append(export, line)
		case ci && strings.HasPrefix(screen.Text(), "  "):
			then = append(then, line)
		}
		if ci && strings.HasSuffix(line, " history") {
			break // the last line; it serves on
		}
	}
	if len(export) != 4 || len(then) != 4 {
		t.Fatalf("printed %q, %q, %v", export, then, screen.Err())
	}
	run := func(own string) (string, error) {
		lines := []string{"cd \"$(mktemp -d)\"", export[0], own}
		for _, line := range then {
			lines = append(lines, strings.Replace(line, "setup git ", "setup git --yes ", 1))
		}
		cmd := exec.Command("sh", "-e", "-c", strings.Join(lines, "\n"))
		cmd.Env = append(slices.Clone(env), "GIT_TERMINAL_PROMPT=0", "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	const refused = "no policy allows this job"
	for i, want := range []string{`GitHub Actions said: iss "http://127.0.0.1:`, refused, `GitLab said: iss "http://127.0.0.1:`} {
		if out, err := run(export[i+1]); (err != nil) != (want == refused) || !strings.Contains(out, want) {
			t.Errorf("%.60s: %v\n%s", export[i+1], err, out)
		}
	}
}
