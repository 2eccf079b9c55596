package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// maxFetch limits the request of a fetch, which says what the client has already.
const maxFetch = 8 << 20

// gitServer serves the bare repositories below folder over git's smart HTTP protocol (gitprotocol-http(5)), to read.
func gitServer(folder string) (func(http.ResponseWriter, *http.Request, Caller), error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	backend := &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Dir:  folder,
		Env: []string{"GIT_PROJECT_ROOT=" + folder, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + folder,
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull},
		Stderr: io.Discard,
	}
	return func(w http.ResponseWriter, r *http.Request, _ Caller) {
		if !isFetch(r) {
			http.Error(w, "this server gives repositories out and takes nothing", http.StatusForbidden)
			return
		}
		// git may send a long request in chunks, and CGI has none (RFC 3875 §4.2).
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFetch))
		if err != nil {
			http.Error(w, "the request is too large, or did not arrive", http.StatusRequestEntityTooLarge)
			return
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		r.Header.Del("Authorization") // or the token would be in the environment of git
		backend.ServeHTTP(w, r)
	}, nil
}

// isFetch reports whether a request is one of the two of a clone or fetch. All others are refused: pushes, and the
// files of a repository.
func isFetch(r *http.Request) bool {
	if path.Clean(r.URL.Path) != r.URL.Path || strings.Contains(r.URL.Path, "/.") {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		return strings.HasSuffix(r.URL.Path, "/info/refs") && r.URL.RawQuery == "service=git-upload-pack"
	case http.MethodPost:
		return strings.HasSuffix(r.URL.Path, "/git-upload-pack") && r.URL.RawQuery == ""
	}
	return false
}
