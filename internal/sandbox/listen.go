package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// ClientID is the client that Listen knows.
const ClientID = "sandbox-client"

// Listen serves a stand-in for Clerk on a port of 127.0.0.1, one of the system's choice for 0, until stop is called.
func Listen(port int, o Options) (issuer string, s *Server, stop func(), err error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", nil, nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	o.Issuer, o.ClientID = "http://"+l.Addr().String(), ClientID
	s = New(o)
	return o.Issuer, s, Serve(l, s), nil
}

// Serve serves until the returned function is called.
func Serve(l net.Listener, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			server.Close()
		}
	}()
	return func() {
		server.Close()
		<-done
	}
}

// Jobs are jobs of acme/app, whose tokens the web app with the companion page exchanges, and one that it refuses. Each
// is what the job finds in its environment, as NAME=VALUE without blanks.
type Jobs struct {
	App            string // the origin of the web app
	GitHub, GitLab []string
	Fork           []string // of a pull request from a fork, in GitHub Actions
}

// ListenCI serves a web app with a companion page, and stand-ins for GitHub Actions and for GitLab, on this port of
// 127.0.0.1 and the two next ones, until stop is called; on ports of the system's choice for 0.
func (s *Server) ListenCI(port int) (jobs Jobs, stop func(), err error) {
	var listeners []net.Listener
	var stops []func()
	stop = func() {
		for _, l := range listeners {
			l.Close()
		}
		for _, end := range stops {
			end()
		}
	}
	var origins []string
	for i := range 3 {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port+i*min(port, 1)))
		if err != nil {
			stop()
			return Jobs{}, nil, fmt.Errorf("listening for the sandbox's CI: %w", err)
		}
		listeners, origins = append(listeners, l), append(origins, "http://"+l.Addr().String())
	}
	app, github, gitlab := s.Companion(origins[0], true), s.CI(origins[1]), s.CI(origins[2])
	for i, h := range []http.Handler{app, github, gitlab} {
		stops = append(stops, Serve(listeners[i], h))
	}
	kinds := JobKinds("acme/app")
	app.Trust(github, kinds[0])
	app.Trust(gitlab, kinds[1])
	inGitHub := func(claims map[string]any) []string {
		return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + github.origin + "/job/token", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + github.Job(claims).RequestToken}
	}
	fork := maps.Clone(kinds[0].Claims)
	maps.Copy(fork, map[string]any{"sub": "repo:acme/app:pull_request", "ref": "refs/pull/7/merge", "event_name": "pull_request",
		"head_ref": "main", "base_ref": "main", "actor": "eve"})
	token, err := gitlab.Job(kinds[1].Claims).Token(app.origin)
	if err != nil {
		stop()
		return Jobs{}, nil, err
	}
	return Jobs{app.origin, inGitHub(kinds[0].Claims), []string{"GITLAB_CI=true", "CLERK_HELPER_CI_TOKEN=" + token}, inGitHub(fork)}, stop, nil
}

// ListenServers serves, on another port of 127.0.0.1, what takes the tokens of s, until stop is called: the git repository
// hello.git, which lives in a temporary folder until then; the OCI registry with demo/hello, which has a token service; and
// /me, which says whose the token is. s publishes what people need for them. hasGit is false where git does not run: then there is no repository.
func (s *Server) ListenServers(ctx context.Context, port int) (host string, hasGit bool, stop func(), err error) {
	folder, err := os.MkdirTemp("", "clerk-sandbox-")
	if err != nil {
		return "", false, nil, fmt.Errorf("making a folder for the sandbox's repository: %w", err)
	}
	remove := func() { os.RemoveAll(folder) }
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		remove()
		return "", false, nil, fmt.Errorf("listening for the sandbox's servers: %w", err)
	}
	mux := http.NewServeMux()
	if NewRepository(ctx, filepath.Join(folder, "hello.git"), map[string]string{"hello.txt": "Hello from the sandbox.\n"}) == nil {
		hasGit = true
		mux.Handle("/hello.git/", s.Git(folder))
	}
	registry := s.Registry(RegistryToken)
	mux.Handle("/v2/", registry)
	mux.Handle("/token", registry)
	mux.HandleFunc("GET /.well-known/oauth-protected-resource", s.serveResource)
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		person, err := s.Verify(bearer(r))
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="sandbox"`)
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"id": person.ID, "email": person.Email})
	})
	s.Publish([]string{l.Addr().String()}, []string{"git", "docker"})
	end := Serve(l, mux)
	return l.Addr().String(), hasGit, func() { end(); remove() }, nil
}
