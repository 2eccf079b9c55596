//go:build unix

package platform

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/term"
)

// openBrowser starts one launcher after the other until one does not fail before the page is fetched.
func openBrowser(ctx context.Context, url string, getenv func(string) string, stderr io.Writer, opened <-chan struct{}) error {
	failed := ErrNoBrowser
	for _, argv := range append(BrowserCommands(getenv("BROWSER")), launchers(getenv)...) {
		if noBrowser(argv) {
			return failed
		}
		path, err := lookAbsolute(argv[0], getenv("PATH"))
		if err != nil {
			continue
		}
		err = launch(ctx, path, withURL(argv[1:], url), stderr, opened)
		if err == nil || ctx.Err() != nil {
			return err
		}
		failed = fmt.Errorf("%w; %s: %v", failed, path, err)
	}
	return failed
}

const browserSeparator = ":"

// browserCommand splits a command at blanks: there is no shell and no quoting.
func browserCommand(command string) []string { return strings.Fields(command) }

// lookAbsolute finds a program. It never looks into the current folder, which may be a checkout of foreign code.
func lookAbsolute(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		return exec.LookPath(name)
	}
	if strings.Contains(name, "/") {
		return "", exec.ErrNotFound
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	return "", exec.ErrNotFound
}

// launch starts a launcher and watches it until it ends or the page is fetched. The context ends the watching, never the
// launcher.
func launch(ctx context.Context, path string, args []string, stderr io.Writer, opened <-chan struct{}) error {
	cmd := exec.Command(path, args...)
	cmd.Env = WithoutSecrets(os.Environ())
	cmd.Dir = "/" // the browser outlives us, and would keep our folder's file system busy
	OwnSession(cmd)
	if f, ok := stderr.(*os.File); ok && f != nil && term.IsTerminal(int(f.Fd())) {
		cmd.Stdout, cmd.Stderr = f, f
	}
	if err := startAlone(cmd); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
