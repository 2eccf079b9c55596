package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	maxPush    = 64 << 20 // bytes of a request to the git server that came without its length
	gitTimeout = 30 * time.Second
)

// bearer returns the access token of a request: a Bearer token, or the password of Basic with any user name.
func bearer(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// Git serves the bare repositories below the folder root, for reading and writing, over git's smart HTTP protocol, to
// every client with an access token of s as the password of Basic or as a Bearer token. The challenges are the
// WWW-Authenticate fields of a 401, `Basic realm="git"` if none is given. It needs git; without one it answers 500.
func (s *Server) Git(root string, challenges ...string) http.Handler {
	if len(challenges) == 0 {
		challenges = []string{`Basic realm="git"`}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		person, err := s.Verify(bearer(r))
		if err != nil {
			w.Header()["Www-Authenticate"] = slices.Clone(challenges)
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		git, err := gitPath()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		folder, err := filepath.Abs(root)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r = r.Clone(r.Context())
		r.Header.Del("Authorization") // it would be in the environment of git
		if r.ContentLength < 0 {
			// git sends a large push in chunks, and CGI has none (RFC 3875 §4.2).
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPush))
			if err != nil {
				http.Error(w, "the push is too large", http.StatusRequestEntityTooLarge)
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		handler := cgi.Handler{
			Path: git,
			Args: []string{"http-backend"},
			Dir:  folder,
			// REMOTE_USER is what makes http-backend accept a push.
			Env:    append(gitEnvironment(folder), "GIT_PROJECT_ROOT="+folder, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+person.Email),
			Stderr: io.Discard,
			Logger: log.New(io.Discard, "", 0),
		}
		handler.ServeHTTP(w, r)
	})
}

// gitPath returns the absolute path of git.
func gitPath() (string, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return "", fmt.Errorf("finding git: %w", err)
	}
	return filepath.Abs(path)
}

// gitEnvironment is an environment in which git reads no configuration of the machine or the user and never prompts.
func gitEnvironment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0"}
}

// NewRepository makes a bare git repository in dir, which must not exist or be empty, with one commit of the given
// files on the branch main. The names are slash-separated, relative and clean, as fs.ValidPath has them. The same files
// make the same commit. It needs git 2.28 or later and ends after 30 s at most.
func NewRepository(ctx context.Context, dir string, files map[string]string) error {
	git, err := gitPath()
	if err != nil {
		return err
	}
	var stream bytes.Buffer
	const message = "Say hello\n"
	// The language of git-fast-import(1).
	fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Sandbox <sandbox@acme.dev> 1767225600 +0000\ndata %d\n%s", len(message), message)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\"\n") {
			return fmt.Errorf("file name %q cannot be used", name)
		}
		fmt.Fprintf(&stream, "M 100644 inline %s\ndata %d\n%s\n", name, len(files[name]), files[name])
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	run := func(stdin io.Reader, args ...string) error {
		cmd := exec.CommandContext(ctx, git, args...)
		cmd.Env, cmd.Stdin = gitEnvironment(dir), stdin
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %q", args[0], err, out)
		}
		return nil
	}
	if err := run(nil, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", dir); err != nil {
		return err
	}
	return run(&stream, "--git-dir="+dir, "fast-import", "--quiet")
}
