package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// recipe is the shell part of a code block of docs/ci.md, under the heading it stands below.
type recipe struct{ heading, script string }

// recipes takes the shell parts out: what is indented below a line that ends with "|" or three quotes, or what stands
// between "<<EOF" and "EOF".
func recipes(text string) []recipe {
	var all []recipe
	heading, fence := "", false
	lines := strings.Split(text, "\n")
	indent := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "```"):
			fence = !fence
			continue
		case !fence && strings.HasPrefix(line, "## "):
			heading = line[3:]
			continue
		case !fence || strings.HasPrefix(line, "#"):
			continue
		}
		block := strings.HasSuffix(line, ": |") || strings.HasSuffix(line, "- |") || strings.HasSuffix(line, "sh '''")
		document := strings.HasSuffix(line, "<<EOF")
		if !block && !document {
			continue
		}
		var script strings.Builder
		for i++; i < len(lines); i++ {
			if document && lines[i] == "EOF" || block && indent(lines[i]) <= indent(line) || strings.HasPrefix(lines[i], "```") {
				i--
				break
			}
			fmt.Fprintln(&script, strings.TrimSpace(lines[i]))
		}
		all = append(all, recipe{heading, script.String()})
	}
	return all
}

// TestCI runs every recipe as a build service would, and looks for tokens in what it leaves in the log.
func TestCI(t *testing.T) {
	testworld.Long(t, "every recipe clones with git")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "ci.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := recipes(string(text))
	if len(all) != 10 {
		t.Fatalf("%d recipes, not 10", len(all))
	}
	for i, r := range all {
		name := fmt.Sprintf("%s %d", r.heading, i)
		if strings.Contains(r.script, "/run/secrets") {
			name += ", in the image"
		}
		t.Run(name, func(t *testing.T) {
			for _, program := range []string{"sh", "git", "docker"} {
				if strings.Contains(r.script, program+" ") {
					testworld.Need(t, program)
				}
			}
			job := "" // with a stored key
			if r.heading == "Without a stored secret" {
				job = []string{"GitHub Actions", "GitLab"}[i]
			}
			log, w := runRecipe(t, r.script, job)
			minted, exchanged := w.Clerk.Count("/v1/m2m_tokens"), w.Clerk.Count(testworld.Exchanged)
			if minted+exchanged != 1 || (minted == 1) != (job == "") {
				t.Errorf("%d tokens were minted and %d exchanged, not one", minted, exchanged)
			}
			issued := w.Clerk.Issued()
			if len(issued) == 0 {
				t.Fatal("no token was issued: the recipe proves nothing")
			}
			for line := range strings.SplitSeq(log, "\n") {
				for _, secret := range append(issued, "ak_sandbox_machine") {
					if strings.Contains(line, secret) && line != "::add-mask::"+secret {
						t.Errorf("the log holds a secret: %.40q...", line)
					}
				}
			}
		})
	}
}

// runRecipe runs a recipe in a clean home, with the hosts of the text led to the servers of the test. It is a job of a CI that
// signs tokens for its jobs, or, without a job, one with a stored key.
func runRecipe(t *testing.T, script, job string) (log string, w *world) {
	t.Helper()
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
	work, bin := filepath.Join(dir, "work"), filepath.Join(dir, "bin")
	write(t, filepath.Join(work, "deploy.sh"), "#!/bin/sh\ntest ${#API_TOKEN} -gt 20\n")
	chmod(t, filepath.Join(work, "deploy.sh"), 0o755)
	for name, value := range vars {
		t.Setenv(name, value)
	}
	for name, value := range map[string]string{
		"CI": "true", "GITHUB_ACTIONS": "true", "CLERK_HELPER_INTERACTIVE": "",
		"CLERK_HELPER_ISSUER": vars["ISSUER"], "CLERK_API_URL": vars["ISSUER"],
		"CLERK_HELPER_HOSTS":       vars["GIT"] + " " + vars["BASIC"],
		"CLERK_MACHINE_SECRET_KEY": "ak_sandbox_machine",
		"PATH":                     bin + ":" + os.Getenv("PATH"),
	} {
		t.Setenv(name, value)
	}
	if job != "" {
		t.Setenv("CLERK_HELPER_ISSUER", "")
		t.Setenv("CLERK_MACHINE_SECRET_KEY", "")
		app := w.WebApp(true, t.Cleanup)
		t.Setenv("CLERK_HELPER_COMPANION", app)
		ci := w.CI("acme/app", t.Cleanup)
		if job == "GitLab" {
			token, err := w.JobToken(app)
			if err != nil {
				t.Fatal(err)
			}
			ci = map[string]string{"CLERK_HELPER_CI_TOKEN": token}
		}
		for name, value := range ci {
			t.Setenv(name, value)
		}
	}
	secret := filepath.Join(dir, "secret")
	if strings.Contains(script, "/run/secrets") {
		// What BuildKit mounts.
		status, token, words := runHere("token")
		if status != exitOK {
			t.Fatal(words)
		}
		write(t, secret, strings.TrimSpace(token))
	}
	if strings.Contains(script, "docker build") {
		// A daemon is more than a test can ask for; what docker is given is looked at.
		write(t, filepath.Join(bin, "docker"), "#!/bin/sh\ntest \"$1 $2\" = 'build --secret' && test -s \"${3#id=clerk_token,src=}\"\n")
		chmod(t, filepath.Join(bin, "docker"), 0o755)
	}
	script = strings.NewReplacer("git.acme.dev", vars["GIT"], "registry.acme.dev", vars["BASIC"], "/run/secrets/clerk_token", secret,
		"docker manifest inspect", "docker manifest inspect --insecure").Replace(script)
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
	return out.String(), w
}
