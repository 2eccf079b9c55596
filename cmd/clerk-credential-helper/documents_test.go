package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"clerk-credential-helper/internal/companionpage"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// schemaOf compiles a schema of docs/schemas. A member that it does not name is an error here, and none for those who use it.
func schemaOf(t *testing.T, name string) (compiled *jsonschema.Schema, text any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "schemas", name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(name, err)
	}
	closeObjects(text)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, text); err != nil {
		t.Fatal(err)
	}
	if compiled, err = c.Compile(name); err != nil {
		t.Fatal(err)
	}
	return compiled, text
}

// closeObjects forbids further members in each object whose members a schema names.
func closeObjects(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if s["type"] == "object" && s["properties"] != nil {
			s["additionalProperties"] = false
		}
		for _, v := range s {
			closeObjects(v)
		}
	case []any:
		for _, v := range s {
			closeObjects(v)
		}
	}
}

// checkDocument validates what a command has printed, and returns its overall state.
func checkDocument(t *testing.T, name, out string) (state string) {
	t.Helper()
	schema, _ := schemaOf(t, name)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(out))
	if err == nil {
		err = schema.Validate(document)
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
		return ""
	}
	state, _ = document.(map[string]any)["state"].(string)
	return state
}

// TestDocuments: what each --json prints is one object that its schema describes, whatever state the machine is in.
func TestDocuments(t *testing.T) {
	const own = ".config/clerk-credential-helper/config.toml"
	login := func(t *testing.T, _ *world, _ string) {
		if status, _, words := runHere("login"); status != exitOK {
			t.Fatal(words)
		}
	}
	machine := func(t *testing.T, home string) {
		rewrite(t, filepath.Join(home, own), `client_id = "sandbox-client"`, "machine = true")
		t.Setenv("CLERK_API_URL", os.Getenv("ISSUER"))
	}
	sessionFile := func(t *testing.T, home string) string {
		files, err := filepath.Glob(filepath.Join(home, ".local/state/clerk-credential-helper/session-*.json"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		return files[0]
	}
	inJob := func(t *testing.T, w *world, home, repository string) {
		rewrite(t, filepath.Join(home, own), `client_id = "sandbox-client"`, "")
		rewrite(t, filepath.Join(home, own), `issuer = "`+os.Getenv("ISSUER")+`"`, `companion = "`+w.WebApp(true, t.Cleanup)+`"`)
		for name, value := range w.CI(repository, t.Cleanup) {
			t.Setenv(name, value)
		}
		if status, _, words := runHere("token"); (status == exitOK) != (repository == "acme/app") {
			t.Fatal(words)
		}
		for _, command := range []string{"status", "explain", "history"} {
			args := []string{command, "--json"}
			if command == "explain" {
				args = append(args, "git.acme.dev")
			}
			if _, out, words := runHere(args...); !strings.Contains(out, `"ci": "GitHub Actions"`) || !strings.Contains(out, `"sub": "repo:`+repository+`:ref:refs/heads/main"`) {
				t.Errorf("%q: %s%s", args, out, words)
			}
		}
	}
	const failed = "failure " // begins the state of a command that could make no document of its own
	// The states in the order of the commands: status, status --check, explain, doctor, token, logout.
	for _, tt := range []struct {
		reason                                           string
		prepare                                          func(t *testing.T, w *world, home string)
		status, check, explain, doctor, token, loggedOut string
	}{
		{"signed in", login, "ok", "ok", "", "ok", "", "ok"},
		{"expired, and refreshed by those who may", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			if err := testworld.Age(home, 25*time.Hour); err != nil {
				t.Fatal(err)
			}
		}, "ok", "ok", "", "ok", "", "ok"},
		{"expired, and the issuer refreshes nothing", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			if err := testworld.Age(home, 25*time.Hour); err != nil {
				t.Fatal(err)
			}
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.TokenStatus = 503 })
		}, "ok", "failed", "", "ok", failed + "1", "ok"},
		{"signed out", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			if status, _, words := runHere("logout"); status != exitOK {
				t.Fatal(words)
			}
		}, "warning", "warning", "", "warning", failed + "4", "ok"},
		{"never signed in, and nobody to ask", func(t *testing.T, _ *world, _ string) {
			t.Setenv("CLERK_HELPER_INTERACTIVE", "never")
		}, "warning", "warning", "", "warning", failed + "4", "ok"},
		{"in the cool-down", func(t *testing.T, w *world, _ string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
			if status, _, _ := runHere("token"); status == exitOK {
				t.Fatal("it was not refused")
			}
		}, "warning", "warning", "", "warning", failed + "1", "ok"},
		{"a session that is damaged", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			write(t, sessionFile(t, home), "{")
			t.Setenv("CLERK_HELPER_INTERACTIVE", "never")
		}, "failed", "failed", "", "failed", failed + "4", "ok"},
		{"an injected token", func(t *testing.T, _ *world, _ string) {
			t.Setenv("CLERK_HELPER_TOKEN_ACME", "opaque-token-of-the-environment")
		}, "ok", "ok", "", "ok", "", "ok"},
		{"an injected token that is none", func(t *testing.T, _ *world, _ string) {
			t.Setenv("CLERK_HELPER_TOKEN_ACME", `{"access_token": "x"}`)
		}, "failed", "failed", "", "failed", failed + "1", "ok"},
		{"a machine's secret key", func(t *testing.T, _ *world, home string) {
			machine(t, home)
			t.Setenv("CLERK_MACHINE_SECRET_KEY", "ak_sandbox_machine")
		}, "ok", "ok", "", "ok", "", "ok"},
		{"a CI job", func(t *testing.T, w *world, home string) { inJob(t, w, home, "acme/app") }, "ok", "ok", "", "ok", "", "ok"},
		{"a CI job that the page refuses", func(t *testing.T, w *world, home string) { inJob(t, w, home, "evil/fork") },
			"ok", "failed", "", "failed", failed + "1", "ok"},
		{"a machine without a key", func(t *testing.T, _ *world, home string) { machine(t, home) },
			"failed", "failed", "", "failed", failed + "1", "ok"},
		{"two profiles, signed in to one", func(t *testing.T, w *world, home string) {
			login(t, w, home)
			rewrite(t, filepath.Join(home, own), "[profiles.acme]", "[profiles.rival]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"x\"\nhosts = [\"git.rival.dev\"]\n\n[profiles.acme]")
		}, "warning", "warning", "", "failed", failed + "2", "ok"},
		{"the issuer does not answer", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), os.Getenv("ISSUER"), "http://127.0.0.1:1")
			t.Setenv("CLERK_HELPER_INTERACTIVE", "never")
		}, "warning", "warning", "", "failed", failed + "4", "ok"},
		{"the store is switched off", func(t *testing.T, _ *world, _ string) {
			t.Setenv("CLERK_HELPER_STORE", "none")
			t.Setenv("CLERK_HELPER_INTERACTIVE", "never")
		}, "warning", "warning", "", "warning", failed + "4", "failed"},
		{"no such store", func(t *testing.T, _ *world, _ string) { t.Setenv("CLERK_HELPER_STORE", "drawer") },
			failed + "2", failed + "2", failed + "2", "failed", failed + "2", failed + "2"},
		{"no configuration", func(t *testing.T, _ *world, home string) { write(t, filepath.Join(home, own), "") },
			failed + "2", failed + "2", "", "failed", failed + "2", failed + "2"},
		{"a configuration with a mistake", func(t *testing.T, _ *world, home string) {
			write(t, filepath.Join(home, own), "[profiles.acme]\nissuers = 1\n")
		},
			failed + "2", failed + "2", failed + "2", "failed", failed + "2", failed + "2"},
		{"a policy where none may be", func(t *testing.T, _ *world, home string) {
			rewrite(t, filepath.Join(home, own), "[profiles.acme]", "[policy]\nstores = [\"keychain\"]\n\n[profiles.acme]")
		}, failed + "2", failed + "2", failed + "2", "failed", failed + "2", failed + "2"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			w, home := wellSetUp(t)
			tt.prepare(t, w, home)
			for _, call := range []struct {
				schema, state string
				args          []string
			}{
				{"status", tt.status, []string{"status", "--json"}},
				{"status", tt.check, []string{"status", "--check", "--json"}},
				{"explain", tt.explain, []string{"explain", "--json", "https://git.acme.dev/team/repo"}},
				{"explain", tt.explain, []string{"explain", "git.foreign.dev", "--json"}},
				{"doctor", tt.doctor, []string{"doctor", "--json"}},
				{"last-error", "", []string{"last-error", "--json"}},
				{"version", "", []string{"version", "--json"}},
				{"history", "", []string{"history", "--json", "--since", "24h"}},
				{"token", tt.token, []string{"token", "--format", "json"}},
				{"logout", tt.loggedOut, []string{"logout", "--all", "--json"}},
			} {
				status, out, words := runHere(call.args...)
				schema, state := call.schema, call.state
				if of, ok := strings.CutPrefix(state, failed); ok {
					if schema, state = "failure", "failed"; status != int(of[0]-'0') || !strings.Contains(out, `"exit_status": `+of) {
						t.Errorf("%q: exit status %d, not %s", call.args, status, of)
					}
				}
				if got := checkDocument(t, schema, out); got != state {
					t.Errorf("%q: its state is %q, not %q\n%s%s", call.args, got, state, out, words)
				}
				if call.schema == "doctor" && (state == "failed") != (status == exitFailed) {
					t.Errorf("%q: state %s and exit status %d", call.args, state, status)
				}
			}
		})
	}
}

// TestDocumentOfPolicy: what an administrator forbids is a document as well.
func TestDocumentOfPolicy(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root can make a file of the machine, in a mount namespace of Linux")
	}
	testworld.Need(t, "bwrap")
	_, home := wellSetUp(t)
	machine := filepath.Join(home, "machine.toml")
	write(t, machine, "[policy]\nprofiles = \"machine\"\n")
	chmod(t, machine, 0o644)
	for name, args := range map[string][]string{"failure": {"status", "--json"}, "doctor": {"doctor", "--json"}} {
		cmd := exec.Command("bwrap", slices.Concat([]string{"--dev-bind", "/", "/", "--tmpfs", "/etc", "--ro-bind", "/etc/passwd", "/etc/passwd",
			"--ro-bind", machine, "/etc/clerk-credential-helper/config.toml", "clerk-credential-helper"}, args)...)
		out, err := cmd.Output()
		if state := checkDocument(t, name, string(out)); state != "failed" || err == nil || !strings.Contains(string(out), "the policy of this machine does not allow it") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

// TestDocumentsWithoutOne: what asks for no document gets none, and one is never printed twice.
func TestDocumentsWithoutOne(t *testing.T) {
	wellSetUp(t)
	t.Setenv("CLERK_HELPER_INTERACTIVE", "never")
	for _, args := range [][]string{{"status", "--check"}, {"token"}, {"exec", "--env", "X", "--", "clerk-credential-helper", "--json"}, {"companion", "check", "http://127.0.0.1:1"}} {
		if status, out, _ := runHere(args...); status == exitOK || strings.Contains(out, "{") {
			t.Errorf("%q: status %d, %s", args, status, out)
		}
	}
	status, out, _ := runHere("companion", "check", "--json", "http://127.0.0.1:1")
	if state := checkDocument(t, "companion-check", out); state != "failed" || status != exitFailed {
		t.Errorf("status %d\n%s", status, out)
	}
}

// TestSchemas: each schema has the members that are printed, refuses what is no document of its kind, and is in docs/json.md.
func TestSchemas(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]any{"failure": console.Failure{}, "doctor": doctor.Report{}, "status": doctor.StatusReport{}, "explain": doctor.Explanation{}, "logout": logoutReport{},
		"last-error": lastErrorReport{}, "companion-check": companionpage.Report{}, "version": doctor.Build{}, "token": tokenDocument{}, "history": historyReport{}}
	files, err := filepath.Glob(filepath.Join("..", "..", "docs", "schemas", "*.schema.json"))
	if err != nil || len(files) != len(kinds) {
		t.Errorf("%d schemas, not %d, %v", len(files), len(kinds), err)
	}
	for name, kind := range kinds {
		compiled, text := schemaOf(t, name)
		checkMembers(t, name, text, text, reflect.TypeOf(kind))
		for _, bad := range []string{`[]`, `{}`, `{"schema": 2}`, `{"schema": 1, "state": "good"}`} {
			document, _ := jsonschema.UnmarshalJSON(strings.NewReader(bad))
			if compiled.Validate(document) == nil {
				t.Errorf("%s: %s is taken", name, bad)
			}
		}
		if !strings.Contains(string(page), "(schemas/"+name+".schema.json)") {
			t.Errorf("docs/json.md has no link to the schema of %s", name)
		}
	}
}

// checkMembers compares the members of a type's JSON form with those that a schema describes.
func checkMembers(t *testing.T, path string, root, schema any, of reflect.Type) {
	t.Helper()
	s := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		s = root.(map[string]any)["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	switch {
	case of == reflect.TypeFor[time.Time]():
		if s["pattern"] == nil {
			t.Errorf("%s is not described as a time", path)
		}
	case of.Kind() == reflect.Slice:
		checkMembers(t, path, root, s["items"], of.Elem())
	case of.Kind() == reflect.Struct:
		properties := s["properties"].(map[string]any)
		described := len(properties)
		if root != nil && path == strings.Split(path, ".")[0] {
			described-- // "schema" is put there by console
		}
		members := 0
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || name == "-" {
				continue
			}
			members++
			if properties[name] == nil {
				t.Error(errors.New(path + "." + name + " is not described"))
				continue
			}
			checkMembers(t, path+"."+name, root, properties[name], f.Type)
		}
		if members != described {
			t.Errorf("%s: %d members, %d are described", path, members, described)
		}
	}
}
