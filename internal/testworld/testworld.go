// Package testworld is for the tests of several packages.
//
// A test's folder comes in; a [World] goes out: a stand-in for Clerk, servers that accept its tokens, and a home that is
// configured for them. The package also has the commands and conditions of scripts, checks for installed programs, and
// golden files. Nothing that ships may import it.
package testworld

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing/fstest"

	"clerk-credential-helper/internal/sandbox"
)

// World is what programs under test run against: a stand-in for Clerk, and servers that accept its tokens.
type World struct {
	Clerk        *sandbox.Server
	page         *sandbox.Companion
	told         map[string]int // what "asked" has counted so far
	certificate  tls.Certificate
	repositories string // the folder of the repositories that git servers serve
}

// The worlds of one test binary share what takes long to create.
var (
	signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })
	repository = sync.OnceValues(newRepository)
)

// newRepository returns the files of the bare repository that is served, or none if git does not run.
func newRepository() (fs.FS, error) {
	files := fstest.MapFS{}
	if _, err := Run(context.Background(), nil, "git", "--version"); err != nil {
		return files, nil
	}
	dir, err := os.MkdirTemp("", "testworld")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := sandbox.NewRepository(context.Background(), dir, map[string]string{"hello.txt": "hello\n"}); err != nil {
		return nil, err
	}
	return files, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if name == "hooks" {
			return fs.SkipDir // half of the files, and all of them samples
		}
		if err != nil || e.IsDir() {
			files[name] = &fstest.MapFile{Mode: fs.ModeDir | 0o700}
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = &fstest.MapFile{Data: text, Mode: 0o600}
		return err
	})
}

// New starts the servers, creates a home below dir, and returns the environment that programs must run in, except for PATH.
// browser is the path of the program that follows a sign-in by itself; $BIN is its folder. atEnd registers what stops the
// servers, as t.Cleanup does.
func New(dir, browser string, atEnd func(func())) (*World, map[string]string, error) {
	w := &World{Clerk: sandbox.New(sandbox.Options{Auto: true, Key: signingKey}), told: map[string]int{}}
	server := httptest.NewServer(w.Clerk)
	atEnd(server.Close)
	w.Clerk.SetIssuer(server.URL)

	certificate, ca, err := sandbox.Certificate("127.0.0.1", "localhost")
	if err != nil {
		return nil, nil, err
	}
	home, roots := filepath.Join(dir, "home"), filepath.Join(dir, "ca.pem")
	w.certificate, w.repositories = certificate, filepath.Join(dir, "repositories")
	for _, folder := range []string{home, w.repositories} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, nil, err
		}
	}
	if err := os.WriteFile(roots, ca, 0o600); err != nil {
		return nil, nil, err
	}
	if hello, err := repository(); err != nil {
		return nil, nil, err
	} else if err := os.CopyFS(filepath.Join(w.repositories, "hello.git"), hello); err != nil {
		return nil, nil, err
	}
	serve := func(h http.Handler) string { return w.Serve(h, atEnd) }
	git, foreign := serve(w.Clerk.Git(w.repositories)), serve(w.Clerk.Git(w.repositories))
	basic, token := serve(w.Clerk.Registry(sandbox.RegistryBasic)), serve(w.Clerk.Registry(sandbox.RegistryToken))
	other := serve(w.Clerk.Registry(sandbox.RegistryBasic))
	tools := serve(toolServer(w.Clerk))
	if err := furnish(home, server.URL, []string{git, basic, token, tools}); err != nil {
		return nil, nil, err
	}
	return w, map[string]string{
		// Windows finds the same files through these.
		"USERPROFILE": home, "APPDATA": filepath.Join(home, ".config"), "LOCALAPPDATA": filepath.Join(home, ".local", "state"),
		"HOME": home, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": "",
		"DBUS_SESSION_BUS_ADDRESS": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "CI": "", "DOCKER_CONFIG": "",
		"GORACE":                   os.Getenv("GORACE"),
		"BROWSER":                  browser,
		"CLERK_HELPER_STORE":       "file",
		"CLERK_HELPER_INTERACTIVE": "always", // a script has no terminal
		"GIT_CONFIG_NOSYSTEM":      "1",
		"GIT_TERMINAL_PROMPT":      "0",
		"GIT_SSL_CAINFO":           roots,
		"SSL_CERT_FILE":            roots, // docker, skopeo
		"ISSUER":                   server.URL,
		"GIT":                      git,
		"FOREIGN":                  foreign,
		"BASIC":                    basic,
		"REGISTRY":                 token,
		"TOOLS":                    tools,
		"BIN":                      filepath.Dir(browser),
		"OTHER":                    other, // a registry of no profile
	}, nil
}

// Serve serves over TLS, with the certificate that programs of this world trust, and returns the host with its port. atEnd
// registers what stops it, as t.Cleanup does.
func (w *World) Serve(h http.Handler, atEnd func(func())) string {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.certificate}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	atEnd(s.Close)
	return s.Listener.Addr().String()
}

// furnish writes the files of a user who has followed the README.
func furnish(home, issuer string, hosts []string) error {
	quoted, err := json.Marshal(append(hosts, "git.acme.dev", "*.pkg.acme.dev", "registry.acme.dev"))
	if err != nil {
		return err
	}
	docker, err := json.Marshal(map[string]any{"credHelpers": map[string]string{hosts[1]: "clerk", hosts[2]: "clerk"}})
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		".config/clerk-credential-helper/config.toml": fmt.Sprintf("[profiles.acme]\nissuer = %q\nclient_id = \"sandbox-client\"\nhosts = %s\n", issuer, quoted),
		".gitconfig":          "[credential]\n\thelper =\n\thelper = clerk\n",
		".docker/config.json": string(docker),
	} {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// WebApp starts a web app with a companion page, which keeps sign-ins if store is set, and returns its origin.
func (w *World) WebApp(store bool, atEnd func(func())) string {
	server := httptest.NewUnstartedServer(nil)
	origin := "http://" + server.Listener.Addr().String()
	w.page = w.Clerk.Companion(origin, store)
	server.Config.Handler = w.page
	server.Start()
	atEnd(server.Close)
	return origin
}

// CI starts a stand-in for a CI with a job of repository, whose tokens the web app exchanges if it is acme/app. It returns the
// job's own variables.
func (w *World) CI(repository string, atEnd func(func())) map[string]string {
	server := httptest.NewUnstartedServer(nil)
	ci := w.Clerk.CI("http://" + server.Listener.Addr().String())
	server.Config.Handler = ci
	server.Start()
	atEnd(server.Close)
	job := ci.Job(sandbox.JobKinds(repository)[0].Claims)
	w.page.Trust(ci, sandbox.JobKinds("acme/app")[0])
	return map[string]string{"CI": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": ci.RequestURL(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": job.RequestToken}
}

// Trust has the web app exchange tokens of the CI's jobs of that kind.
func (w *World) Trust(ci *sandbox.CI, kind sandbox.JobKind) { w.page.Trust(ci, kind) }

// Toolchains returns variables that tell launchers in the PATH (rustup, pyenv) where the programs are that they launch:
// otherwise they would look in the home that a script has.
func Toolchains() map[string]string {
	vars := map[string]string{}
	home, err := os.UserHomeDir()
	if err != nil {
		return vars
	}
	for name, folder := range map[string]string{"RUSTUP_HOME": ".rustup", "PYENV_ROOT": ".pyenv"} {
		path := os.Getenv(name)
		if path == "" {
			path = filepath.Join(home, folder)
		}
		if _, err := os.Stat(path); err == nil {
			vars[name] = path
		}
	}
	return vars
}
