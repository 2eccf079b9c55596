package main

import (
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxFetch  = 8 << 20 // the request of a fetch says what the client has already
	maxPush   = 1 << 30
	pushLimit = 10 * time.Minute
)

// gitServer serves the bare repositories below folder over git's smart HTTP protocol (gitprotocol-http(5)): to read, and
// with push to write as well.
func gitServer(folder string, push bool) (func(http.ResponseWriter, *http.Request, Caller), error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	env := []string{"GIT_PROJECT_ROOT=" + folder, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + folder,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull}
	return func(w http.ResponseWriter, r *http.Request, caller Caller) {
		limit := int64(maxFetch)
		backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Dir: folder, Env: env, Stderr: io.Discard}
		switch {
		case isRequest(r, "git-upload-pack"):
		case push && isRequest(r, "git-receive-pack"):
			limit = maxPush
			backend.Env = append(slices.Clip(env), "REMOTE_USER="+caller.Subject) // which allows the push, too
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(pushLimit))
		default:
			http.Error(w, "this server gives repositories out and takes nothing", http.StatusForbidden)
			return
		}
		r = r.Clone(r.Context())
		// git sends a long request in chunks, which CGI does not have (RFC 3875 §4.2); http-backend reads to the end.
		r.Body, r.TransferEncoding = http.MaxBytesReader(w, r.Body, limit), nil
		r.Header.Del("Authorization") // or the token would be in the environment of git
		backend.ServeHTTP(w, r)
	}, nil
}

// isRequest reports whether a request is one of the two of a clone or fetch (git-upload-pack), or of a push
// (git-receive-pack). All others are refused: the files of a repository.
func isRequest(r *http.Request, service string) bool {
	if path.Clean(r.URL.Path) != r.URL.Path || strings.Contains(r.URL.Path, "/.") {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		return strings.HasSuffix(r.URL.Path, "/info/refs") && r.URL.RawQuery == "service="+service
	case http.MethodPost:
		return strings.HasSuffix(r.URL.Path, "/"+service) && r.URL.RawQuery == ""
	}
	return false
}
